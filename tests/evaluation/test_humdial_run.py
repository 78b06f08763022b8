"""HumDial as a run: what is asked, kept, handed in, judged and reported, with fakes for system and judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harken.cli import main
from harken.errors import DataError, HarkenError
from harken.evaluation.asking.answers import FILE
from harken.evaluation.asking.options import Asking
from harken.evaluation.humdial.dialogues import Dialogue, Turn, read_dialogues, write_dialogues
from harken.evaluation.humdial.replies import QUESTIONS, Replies
from harken.evaluation.humdial.run import PROBLEMS, run_humdial
from harken.evaluation.humdial.scores import D1, D2, D3, TASKS
from harken.evaluation.humdial.submission import reply_file, task_file
from harken.evaluation.humdial.testset import read_test_set
from harken.evaluation.humdial.verdicts import NO_REPLY, NO_TARGET, told
from harken.evaluation.judges.judging import NO_ANSWER
from harken.evaluation.judges.verdicts import NO_JSON
from harken.evaluation.language import LANGUAGES
from harken.evaluation.report import Report
from harken.evaluation.systems import cascade
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.evaluation.systems.predictions import Predictions
from harken.llm.base import LLMError
from harken.testing import FakeLLM

TONE = (0.3 * np.sin(np.arange(4000) / 10)).astype(np.float32)
SAID = {"en": "I hear you.", "zh": "我听到了。"}


@pytest.fixture
def folder_of_tests(tmp_path: Path) -> Path:
    """Two dialogues a task and language, two turns each, with their recordings."""
    folder = tmp_path / "data"
    for language in LANGUAGES:
        for task in TASKS:
            path = folder / language / f"HD-Track1-T{task}.jsonl"
            names = [f"task{task}_2_{language}_0001_{number:04}" for number in (1, 2)]
            write_dialogues(path, [dialogue(name) for name in names])
            for name in names:
                for turn in (1, 2):
                    sound = path.parent / f"{name}_{turn}.wav"
                    soundfile.write(sound, TONE, 16_000)
    return folder


def dialogue(name: str) -> Dialogue:
    told_of = ("I failed.", "sad"), ("I passed!", "happy")
    turns = [Turn(n, text, emotion, f"{name}_{n}.wav") for n, (text, emotion) in enumerate(told_of, 1)]
    return Dialogue(name, tuple(turns))


def in_its_language(question: Question) -> Answer:
    text = SAID["zh" if "/zh/" in question.dataset else "en"] + f" {question.key}"
    return Answer(text, TONE, 16_000, 0.5) if question.spoken else Answer(text)


@dataclass
class FakeSystem:
    reply: Callable[[Question], Answer] = in_its_language
    name: str = "fake system"
    concurrency: int = 1
    asked: list[Question] = field(default_factory=list)
    voice: str | None = None

    def answer(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.reply(question)


def fake_judge(score: int = 3) -> FakeLLM:
    scores = {name: score for task in TASKS.values() for name in task.dimensions}
    return FakeLLM(lambda prompt, seed: json.dumps({"comment": "", "reasons": {}, "scores": scores}))


def run(
    data: Path, system: FakeSystem | Predictions, judge: FakeLLM | None, asking: Asking | None = None
) -> Report:
    """Without a trial of the judge, where `asking` does not want one."""
    cases, problems = read_test_set(data)
    return run_humdial(cases, problems, system, judge, asking or Asking(trial=0), data.parent / "out")


def value(report: Report, data: str, measure: str) -> tuple[object, object, object]:
    """A measured figure (without its interval), how many are in it and how many unscored."""
    (row,) = (
        r for r in report.rows
        if (r["data"], r["measure"], r["from"]) == (data, measure, "measured here")
    )  # fmt: skip
    shown = row["value"]
    return shown[0] if isinstance(shown, list) else shown, row["n"], row["unscored"]


def test_dialogues_are_held_turn_by_turn_and_only_task_3_is_spoken(folder_of_tests: Path) -> None:
    system = FakeSystem()
    run(folder_of_tests, system, None)
    first, second = (q for q in system.asked if "task1_2_en_0001_0001" in q.key)
    assert [p.name for p in second.recordings] == [f"task1_2_en_0001_0001_{n}.wav" for n in (1, 2)]
    assert (first.replies, second.replies) == ((), (f"I hear you. {first.key}",))
    assert {(q.instruction, q.spoken) for q in system.asked} == {(None, False), (None, True)}
    assert {q.dataset for q in system.asked if q.spoken} == {
        f"HD-Track1/{language}/HD-Track1-T3" for language in LANGUAGES
    }
    assert len(system.asked) == 2 * 3 * 2 * 2


def test_the_tasks_questions_are_put_beside_the_last_turn_where_that_is_asked_for(
    folder_of_tests: Path,
) -> None:
    system, judge = FakeSystem(), fake_judge()
    run(folder_of_tests, system, judge, Asking(ask=True, trial=0))
    asked = {q.key: q.instruction for q in system.asked}
    assert asked["task1_2_zh_0001_0001_2"] == QUESTIONS["zh", 1]
    assert asked["task2_2_en_0001_0001_2"] == QUESTIONS["en", 2]
    assert asked["task1_2_zh_0001_0001_1"] is None and asked["task3_2_zh_0001_0001_2"] is None
    assert any(f"I passed! {QUESTIONS['en', 1]}" in prompt for prompt in judge.asked)


def test_the_submission_is_whole_and_has_no_problem(folder_of_tests: Path) -> None:
    report = run(folder_of_tests, FakeSystem(), None)
    out = folder_of_tests.parent / "out"
    assert report.setting["problems of submission"] == 0 and (out / PROBLEMS).read_text() == ""
    dialogues, _ = read_dialogues(task_file(out, "zh", 3))
    last = dialogues[0].turns[-1]
    assert last.response_text == "我听到了。 task3_2_zh_0001_0001_2"
    assert last.response_audio == "HD-Track1-T3/task3_2_zh_0001_0001_2_response.wav"
    samples, rate = soundfile.read(reply_file(out, "zh", "task3_2_zh_0001_0001", 2))
    assert (len(samples), rate) == (4000, 16_000)


def test_a_run_that_was_killed_asks_nothing_twice(folder_of_tests: Path) -> None:
    class Killed(BaseException):
        pass

    def killed_at_the_tenth(question: Question) -> Answer:
        if len(killed.asked) == 10:
            raise Killed
        return in_its_language(question)

    killed = FakeSystem(killed_at_the_tenth)
    with pytest.raises(Killed):
        run(folder_of_tests, killed, None)
    path = folder_of_tests.parent / "out" / FILE
    path.write_bytes(path.read_bytes() + b'{"dataset": "HD", "ke')  # torn
    system, again = FakeSystem(), FakeSystem()
    run(folder_of_tests, system, None)
    assert len(killed.asked) == 10 and len(system.asked) == 24 - 9
    assert {q.key for q in killed.asked[:9]}.isdisjoint(q.key for q in system.asked)
    report = run(folder_of_tests, again, None)
    assert again.asked == [] and report.setting["unanswered turns"] == 0


def test_a_run_that_was_killed_at_its_first_line_begins_anew(folder_of_tests: Path) -> None:
    out = folder_of_tests.parent / "out"
    out.mkdir()
    for torn in (b"", b'{"system": "fa'):
        (out / FILE).write_bytes(torn)
        run(folder_of_tests, system := FakeSystem(), None)
        assert len(system.asked) == 24


def test_a_system_that_answers_several_at_once_gives_the_same_report(folder_of_tests: Path) -> None:
    one = run(folder_of_tests, FakeSystem(), fake_judge())
    for path in (folder_of_tests.parent / "out").rglob("*"):
        if path.is_file():
            path.unlink()
    assert run(folder_of_tests, FakeSystem(concurrency=4), fake_judge()).rows == one.rows


def test_replies_of_another_system_or_to_other_questions_are_not_mixed(folder_of_tests: Path) -> None:
    run(folder_of_tests, FakeSystem(), None)
    with pytest.raises(DataError, match="holds other answers"):
        run(folder_of_tests, FakeSystem(name="another"), None)
    with pytest.raises(DataError, match="holds other answers"):
        Replies.open(folder_of_tests.parent / "out", FakeSystem(), [], ask=True)
    with pytest.raises(DataError, match="holds other answers"):  # what was not spoken stays without sound
        run(folder_of_tests, FakeSystem(voice="anna"), None)


def test_turns_that_are_not_answered_are_counted_unscored_and_asked_for_again(folder_of_tests: Path) -> None:
    def half_deaf(question: Question) -> Answer:
        if question.key in ("task1_2_en_0001_0001_2", "task2_2_en_0001_0001_1"):
            raise Unanswered("too quiet")
        return in_its_language(question)

    system = FakeSystem(half_deaf)
    report = run(folder_of_tests, system, fake_judge())
    after = next(q for q in system.asked if q.key == "task2_2_en_0001_0001_2")
    assert after.replies == (None,)
    assert report.setting["unanswered turns"] == 2 and report.setting["unscored dialogues"] == {NO_REPLY: 1}
    assert value(report, "en task 1 trajectory", "mean") == (3.0, 1, 1)
    assert value(report, "en task 2 reasoning", "mean") == (3.0, 2, 0)
    problems = (folder_of_tests.parent / "out" / PROBLEMS).read_text()
    assert "task1_2_en_0001_0001: turn 2: unanswered: too quiet" in problems
    again = FakeSystem()
    run(folder_of_tests, again, None)
    assert {q.key for q in again.asked} == {"task1_2_en_0001_0001_2", "task2_2_en_0001_0001_1"}


def test_a_system_that_is_down_ends_the_run_and_what_it_said_stays(folder_of_tests: Path) -> None:
    def down_after_five(question: Question) -> Answer:
        if len(system.asked) > 5:
            raise HarkenError("no server answers")
        return in_its_language(question)

    system = FakeSystem(down_after_five)
    with pytest.raises(HarkenError, match="no server answers"):
        run(folder_of_tests, system, None)
    assert len(system.asked) == 6  # nothing is asked after that
    again = FakeSystem()
    run(folder_of_tests, again, None)
    assert len(again.asked) == 24 - 5


def test_dialogues_without_a_recording_are_not_asked_and_reported(folder_of_tests: Path) -> None:
    (folder_of_tests / "en" / "task1_2_en_0001_0001_2.wav").unlink()
    write_dialogues(folder_of_tests / "more.jsonl", [dialogue("nobody knows")])
    report = run(folder_of_tests, system := FakeSystem(), fake_judge())
    assert not any(q.key.startswith("task1_2_en_0001_0001") for q in system.asked)
    assert report.setting["problems of files"] == 2
    problems = (folder_of_tests.parent / "out" / PROBLEMS).read_text()
    assert "turn 2: the recording task1_2_en_0001_0001_2.wav is missing" in problems
    assert "neither its id nor its file says of which task" in problems
    assert value(report, "en task 1 trajectory", "mean") == (3.0, 1, 0)
    with pytest.raises(DataError, match="holds no dialogue"):
        read_test_set(folder_of_tests.parent / "out" / "HD-Track1")


def test_withdrawn_dialogues_are_not_asked_and_the_limit_is_of_each_task(folder_of_tests: Path) -> None:
    path = folder_of_tests / "en" / "HD-Track1-T2.jsonl"
    write_dialogues(path, [dialogue("task2_4_en_0002_0014"), *read_dialogues(path)[0]])
    soundfile.write(path.parent / "task2_4_en_0002_0014_1.wav", TONE, 16_000)
    cases, problems = read_test_set(folder_of_tests, limit=1)
    assert problems == [] and [(c.language, c.task) for c in cases] == [
        (language, task) for language in LANGUAGES for task in TASKS
    ]
    assert all(case.dialogue.dialogue_id.endswith("_0001_0001") for case in cases)


def test_a_dialogue_whose_id_is_silent_is_told_by_its_file(tmp_path: Path) -> None:
    write_dialogues(tmp_path / "zh" / "task3.jsonl", [dialogue("d")])
    for turn in (1, 2):
        soundfile.write(tmp_path / f"d_{turn}.wav", TONE, 16_000)
    ((case,), problems) = read_test_set(tmp_path)
    assert (case.language, case.task, problems) == ("zh", 3, [])


def test_texts_are_judged_and_without_ears_there_is_no_final_score(folder_of_tests: Path) -> None:
    judge = fake_judge(5)
    report = run(folder_of_tests, FakeSystem(), judge)
    assert len(judge.asked) == 12
    assert value(report, "zh task 2 reasoning", "mean") == (5.0, 2, 0)
    assert value(report, "zh task 3 empathy", D1) == (5.0, 2, 0)
    assert value(report, "zh task 3 empathy", D2) == (None, 0, 2)
    measured = [row["measure"] for row in report.rows if row["from"] == "measured here"]
    assert "final score" not in measured
    assert "take people's ratings" in str(report.setting["final score"])
    assert report.setting["judge"] == "fake@1"
    assert value(report, "zh task 3 empathy", "first audio, median s") == (0.5, 4, None)


def test_with_ratings_there_is_a_final_score_in_each_language_and_in_both(folder_of_tests: Path) -> None:
    rows = [
        f"task3_2_{language}_0001_000{n},{dimension},{rating},{rater}"
        for language, rating in (("zh", 4), ("en", 2))
        for n in (1, 2)
        for dimension in (D2, D3)
        for rater in ("ann", "bo")
    ]
    ratings = folder_of_tests.parent / "ratings.csv"
    ratings.write_text("\n".join(["id,dimension,rating,rater", *rows]))
    report = run(folder_of_tests, FakeSystem(), fake_judge(5), Asking(ratings=ratings, trial=0))
    finals = {row["data"]: row["value"] for row in report.rows if row["measure"] == "final score"}
    assert {data: v[0] for data, v in finals.items()} == pytest.approx(  # type: ignore[index]
        {"zh": 0.5 * 5 + 0.5 * 4, "en": 0.5 * 5 + 0.5 * 2, "zh and en": 4.0}
    )
    assert value(report, "en task 3 empathy", D2) == (2.0, 2, 0)


def test_a_judge_that_is_down_or_writes_prose_leaves_all_unscored(folder_of_tests: Path) -> None:
    report = run(folder_of_tests, FakeSystem(), FakeLLM(lambda *_: LLMError("fake: connection refused")))
    assert report.setting["unscored dialogues"] == {NO_ANSWER: 12}
    assert value(report, "en task 1 trajectory", "mean") == (None, 0, 2)
    again = run(folder_of_tests, silent := FakeSystem(), FakeLLM(lambda *_: "Very nice."))
    assert silent.asked == [] and again.setting["unscored dialogues"] == {NO_JSON: 12}


def test_a_reply_in_the_other_language_is_a_1_that_no_judge_is_asked_for(folder_of_tests: Path) -> None:
    report = run(folder_of_tests, FakeSystem(lambda question: Answer("I hear you.")), judge := fake_judge(5))
    assert len(judge.asked) == 6 and report.setting["replies in the other language"] == 6
    assert value(report, "zh task 1 trajectory", "mean") == (1.0, 2, 0)
    assert value(report, "en task 1 trajectory", "mean") == (5.0, 2, 0)
    assert value(report, "zh task 3 empathy", D2) == (None, 0, 2)  # nobody listened
    unjudged = run(folder_of_tests, FakeSystem(), None)
    assert value(unjudged, "zh task 1 trajectory", TASKS[1].dimensions[0]) == (None, 0, 2)
    assert "no judge" in str(unjudged.setting["final score"])


def test_task_3_judges_the_target_turn_in_either_reading(folder_of_tests: Path) -> None:
    turns = [Turn(n, f"turn {n}", "sad", f"task3_2_en_0001_0001_{min(n, 2)}.wav") for n in (1, 2, 3)]
    calm = Dialogue("calm", (Turn(1, "hello", "neutral", turns[0].split_audio_file),))
    write_dialogues(folder_of_tests / "en" / "HD-Track1-T3.jsonl", [Dialogue("sad", tuple(turns)), calm])
    prompts = {}
    for reading in ("second", "last"):
        report = run(folder_of_tests, FakeSystem(), judge := fake_judge(), Asking(reading=reading, trial=0))  # type: ignore[arg-type]
        (prompts[reading],) = (p for p in judge.asked if "turn 1" in p)
        assert report.setting["unscored dialogues"] == {NO_TARGET: 1}
        assert value(report, "en task 3 empathy", D1) == (3.0, 1, 1)
    assert "turn 3" in prompts["last"] and "turn 3" not in prompts["second"]
    assert "I hear you. sad_2" in prompts["second"].split("<reply>")[1]


def test_the_judge_reads_emotions_and_earlier_replies() -> None:
    turns = Turn(1, "I failed.", "sad", response_text="Oh."), Turn(2, "I passed!", response_text="Hooray!")
    said = Dialogue("d", turns)
    assert told(said, turns[1]) == "User (sad): I failed.\nAssistant: Oh.\nUser: I passed!"
    assert told(said, turns[0], "Why?") == "User (sad): I failed."


def test_a_folder_of_predictions_is_scored_as_the_system_that_made_it(folder_of_tests: Path) -> None:
    run(folder_of_tests, FakeSystem(), None)
    made = folder_of_tests.parent / "made elsewhere"
    (folder_of_tests.parent / "out").rename(made)
    missing = reply_file(made, "en", "task3_2_en_0001_0001", 1)
    missing.unlink()
    report = run(folder_of_tests, Predictions(made, "theirs"), fake_judge(5))
    out = folder_of_tests.parent / "out"
    for language, task in ((language, task) for language in LANGUAGES for task in TASKS):
        theirs, ours = (read_dialogues(task_file(place, language, task))[0] for place in (made, out))
        texts = [[turn.response_text for d in side for turn in d.turns] for side in (theirs, ours)]
        assert texts[0] == texts[1] and all(texts[0])
    assert report.setting["problems of submission"] == 1  # the recording that they do not have
    assert report.setting["system"] == "theirs"
    assert value(report, "en task 3 empathy", D1) == (5.0, 2, 0)


def test_the_papers_figures_stand_beside_ours_marked_as_published(folder_of_tests: Path) -> None:
    report = run(folder_of_tests, FakeSystem(), None)
    published = [row for row in report.rows if row["from"] == "published"]
    figures = {(row["data"], row["system"], row["measure"]): row["value"] for row in published}
    assert figures["test set", "TeleAI (IEAT)", "Final"] == 4.27
    assert figures["dev set", "Freeze-Omni", "Task1-zh"] == 3.11
    assert not any(str(measure).startswith("AQA") for _, _, measure in figures)
    out = folder_of_tests.parent / "out"
    report.save(out)
    assert "| published |" in (out / "humdial.md").read_text()
    lines = [json.loads(line) for line in (out / "humdial.jsonl").read_text().splitlines()]
    assert lines[0]["benchmark"] == "humdial" and len(lines) == 1 + len(report.rows)


def test_the_command_scores_predictions_and_goes_on(
    folder_of_tests: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(folder_of_tests, FakeSystem(), None)
    made, out = folder_of_tests.parent / "made", folder_of_tests.parent / "again"
    (folder_of_tests.parent / "out").rename(made)
    command = ["evaluate", "humdial", "--data", str(folder_of_tests), "--system", str(made), "--json"]
    assert main([*command, "--out", str(out), "--limit", "1"]) == 0
    setting, *rows = map(json.loads, capsys.readouterr().out.splitlines())
    assert (setting["system"], setting["recipe"], setting["unanswered turns"]) == ("made", "none", 0)
    assert len(read_dialogues(task_file(out, "en", 1))[0]) == 1 and len(rows) > 60
    assert main([*command, "--out", str(out)]) == 0
    assert len((out / FILE).read_text().splitlines()) == 1 + 24
    assert main([*command, "--out", str(made)]) == 1
    assert "holds the predictions that are scored" in capsys.readouterr().err


def test_the_command_scores_the_cascade_of_a_recipe(
    folder_of_tests: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cascade, "open_cascade", lambda recipe, voice: FakeSystem(name=f"of {recipe.name}"))
    monkeypatch.chdir(folder_of_tests.parent)
    command = ["evaluate", "humdial", "--data", str(folder_of_tests), "--system", "cascade", "--json"]
    assert main([*command, "--out", "cascade", "--limit", "1"]) == 0  # a folder of its name is no predictions
    setting = json.loads(capsys.readouterr().out.splitlines()[0])
    assert [setting[name] for name in ("system", "recipe", "checkpoint")] == ["of mini", "mini", "none"]
