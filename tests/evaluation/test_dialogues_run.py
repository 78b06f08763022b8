"""Scoring systems on a set of dialogues: what is asked, how answers are read, what is reported and compared,
with fakes for system, judge and what listens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dialogue_set import (
    LETTER,
    LIKELY,
    FakeEars,
    FakeScorer,
    fake_judge,
    only_words,
    perfect,
    rows_of,
    run,
    system,
    write_items,
    write_set,
)
from inspect_ai.log import read_eval_log

from harken.cli import main
from harken.errors import DataError, HarkenError
from harken.evaluation.asking.answers import FILE
from harken.evaluation.asking.exchanges import LOGS
from harken.evaluation.dialogue_sets.build import SET
from harken.evaluation.dialogue_sets.items import Item
from harken.evaluation.dialogue_sets.read import read_set
from harken.evaluation.dialogue_sets.run import run_dialogues
from harken.evaluation.humdial.scores import D1, TASKS
from harken.evaluation.item_scores import read_scores
from harken.evaluation.judges.trial import TRUST, WITHHELD
from harken.evaluation.judges.verdicts import NO_JSON
from harken.evaluation.language import LANGUAGES
from harken.evaluation.report import Report
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.testing import FakeLLM


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


def value(report: Report, data: str, measure: str, by: str | None = None) -> tuple[Any, object, object]:
    """A figure (without its interval), how many are in it and how many unscored."""
    (row,) = (
        r for r in report.rows
        if (r["data"], r["measure"], r["system"]) == (data, measure, by or report.setting["system"])
    )  # fmt: skip
    shown = row["value"]
    return shown[0] if isinstance(shown, list) else shown, row["n"], row["unscored"]


def test_a_perfect_system_has_all_right_by_letter_and_by_text_in_both_languages(folder: Path) -> None:
    report = run(folder, system(folder, perfect))
    for lang in LANGUAGES:
        assert value(report, f"{lang} trajectory", LETTER) == (1.0, 4, 0)
        assert value(report, f"{lang} trajectory", "trajectory exact, own words") == (1.0, 4, 0)
        assert value(report, f"{lang} trajectory", "trajectory edits, own words") == (0.0, 4, 0)
        assert value(report, f"{lang} reasoning", LETTER) == (1.0, 4, 0)
        assert value(report, f"{lang} reasoning", "cause F1, own words") == (1.0, 4, 0)
        assert value(report, f"{lang} contrast", LETTER) == (1.0, 8, 0)
        assert value(report, f"{lang} contrast", "right emotion, own words") == (1.0, 8, 0)
        assert value(report, f"{lang} empathy", "reply in the user's language") == (1.0, 4, 0)
    chances = {row["data"]: row["chance"] for row in report.rows if row["measure"] == LETTER}
    assert set(chances.values()) == {0.25} and len(chances) == 6
    assert report.setting["unscored scores"] == report.setting["answers counted as wrong"] == "none"


def test_a_system_that_reads_only_words_is_at_chance_on_contrast(folder: Path) -> None:
    report = run(folder, system(folder, only_words))
    for lang in LANGUAGES:
        (row,) = (r for r in report.rows if (r["data"], r["measure"]) == (f"{lang} contrast", LETTER))
        assert row["value"] == [0.25, 0.25, 0.25] and row["chance"] == 0.25
        assert value(report, f"{lang} contrast", "right emotion, own words") == (0.0, 8, 0), "names none"


def test_a_trained_scorer_scores_the_replies_of_empathy_and_nothing_else(folder: Path) -> None:
    report = run(folder, system(folder, perfect), FakeScorer())
    for name in ("NS", "WA", "EU", "ES", "mean"):
        assert value(report, "en empathy", f"judged {name}") == (4.5, 4, 0)
    judged = {row["data"] for row in report.rows if str(row["measure"]).startswith("judged")}
    assert judged == {"en empathy", "zh empathy"}
    assert [label.split("@")[0] for label in report.setting["rubrics"]] == ["empathy-eval"]
    assert (folder.parent / "out" / "verdicts.jsonl").read_text().count("fake scorer@1") == 8


def test_what_is_asked_and_of_which_part_of_the_conversation(folder: Path) -> None:
    rows = rows_of(folder)
    late = next(row for row in rows if row["id"] == "en-d0-empathy")
    late["turn_id"] = 1
    write_items(folder, rows)
    run(folder, asked := system(folder, perfect))
    by_key = {question.key: question for question in asked.asked}
    assert len(asked.asked) == len(by_key) == 2 * (4 * 5 + 2 * 8)
    whole = by_key["en-d0-trajectory-free"]
    assert [path.name for path in whole.recordings] == ["en-d0_1.ogg", "en-d0_2.ogg"]
    assert (whole.replies, whole.instruction, whole.spoken) == (("so 1?",), "What of it?", False)
    assert by_key["zh-d1-reasoning-choice"].instruction == "\n".join(
        ["What of it?", "A) 狗叫了", "B) 下雨了", "C) 商店关门了", "D) 我的火车晚点了", "请只回答字母。"]
    )
    reply = by_key["en-d0-empathy-reply"]
    assert (len(reply.recordings), reply.replies, reply.instruction, reply.spoken) == (1, (), None, True)
    assert not any(question.candidates for question in asked.asked)


def test_a_system_that_ranks_is_not_shown_candidates_and_tells_what_it_felt(folder: Path) -> None:
    def happy(item: Item, question: Question) -> Answer:
        answer = perfect(item, question)
        return replace(answer, felt=replace(answer.felt, heard="happy")) if answer.felt else answer

    report = run(folder, asked := system(folder, happy, ranks=True))
    assert not any("A)" in str(question.instruction) for question in asked.asked)
    assert {q.key.rsplit("-", 2)[1] for q in asked.asked if q.felt} == {"reasoning", "contrast"}
    assert value(report, "en contrast", LIKELY) == (1.0, 8, 0)
    assert value(report, "zh contrast", "right emotion", "trace") == (1.0, 8, 0)
    assert value(report, "zh contrast", "right emotion", "readout") == (0.25, 8, 0)
    assert value(report, "en reasoning", "cause F1", "trace") == (1.0, 4, 0)
    again = run(folder, silent := system(folder, happy, ranks=True))
    assert silent.asked == [] and again.rows == report.rows  # what it felt was kept


def test_replies_that_cannot_be_heard_are_unscored_and_the_rest_goes_on(folder: Path) -> None:
    def once_silent(item: Item, question: Question) -> Answer:
        answer = perfect(item, question)
        if question.spoken and item.id == "en-d0-empathy":
            return replace(answer, samples=np.zeros(4000, np.float32))
        return answer

    report = run(folder, system(folder, once_silent))
    assert value(report, "en empathy", "DNSMOS overall")[1:] == (3, 1)
    assert value(report, "zh empathy", "DNSMOS overall")[1:] == (4, 0)
    assert report.setting["unscored scores"] == {"its sound cannot be heard": 4}


def test_answers_that_name_nothing_are_wrong_and_those_that_are_missing_unscored(folder: Path) -> None:
    def vague(item: Item, question: Question) -> Answer:
        if item.id == "en-d0-trajectory":
            raise Unanswered("too quiet")
        return perfect(item, question) if item.lang == "zh" else Answer("Hard to say.")

    report = run(folder, system(folder, vague))
    assert value(report, "en trajectory", LETTER) == (0.0, 3, 1)
    assert value(report, "en trajectory", "trajectory edits, own words") == (2.0, 3, 1)
    assert value(report, "en empathy", "DNSMOS overall") == (None, 0, 4)
    assert value(report, "en empathy", "to sad minus to happy turns: pitch, semitones") == (None, 0, 4)
    assert report.setting["answers counted as wrong"] == {
        "names no candidate": 3 + 4 + 8,
        "names no emotion": 3 + 8,
    }
    assert report.setting["unscored scores"] == {"no answer": 3, "no sound": 16}
    assert report.setting["unanswered questions"] == 2
    problems = (folder.parent / "out" / "dialogues-problems.txt").read_text()
    assert "en-d0-trajectory-free: unanswered: too quiet" in problems


def test_spoken_replies_are_read_back_and_their_manner_is_compared(folder: Path) -> None:
    report = run(folder, system(folder, perfect))
    assert value(report, "en empathy", "word error rate (Moonshine)") == (0.2, 4, 0)
    assert value(report, "zh empathy", "character error rate (Whisper)") == (0.25, 4, 0)
    assert value(report, "zh empathy", "DNSMOS overall") == (3.0, 4, 0)
    assert value(report, "en empathy", "reply, s") == (1.5, 4, 0)
    assert value(report, "en empathy", "first audio, median s") == (0.5, 4, 0)
    against = "to sad minus to happy turns: "
    assert value(report, "en empathy", f"{against}pitch, semitones") == (-1.0, 4, 0)
    slower = value(report, "zh empathy", f"{against}seconds a letter, log ratio")
    assert slower == (pytest.approx(np.log(2)), 4, 0)
    one_each = run_dialogues(
        read_set(folder, limit=2), system(folder, perfect), None, folder.parent / "few", ears=FakeEars()
    )
    assert value(one_each, "zh empathy", f"{against}pitch, effect size d") == (None, 2, 0)
    assert "voice" in str(report.setting["not measured"])


def test_a_reply_in_another_language_has_no_character_errors(folder: Path) -> None:
    def english(item: Item, question: Question) -> Answer:
        found = perfect(item, question)
        return replace(found, text="I hear you.") if question.spoken else found

    report = run(folder, system(folder, english))
    assert value(report, "zh empathy", "character error rate (Whisper)") == (None, 0, 4)
    assert report.setting["unscored scores"] == {"no words to read back": 4}


def test_words_are_judged_by_humdials_rubrics_and_replies_in_the_other_language_are_a_1(folder: Path) -> None:
    def english(item: Item, question: Question) -> Answer:
        return Answer("I hear you.") if question.spoken else perfect(item, question)

    report = run(folder, system(folder, english), judge := fake_judge(5))
    assert value(report, "en empathy", f"judged {D1}") == (5.0, 4, 0)
    assert value(report, "zh empathy", f"judged {D1}") == (1.0, 4, 0)
    assert value(report, "en trajectory", "judged mean") == (5.0, 4, 0)
    assert value(report, "zh reasoning", f"judged {TASKS[2].dimensions[1]}") == (5.0, 4, 0)
    assert len(judge.asked) == 3 * 4 + 2 * 4
    assert report.setting["judge"] == "fake@1"
    silent = run(folder, system(folder, english), FakeLLM(lambda *_: "Very nice."))
    assert value(silent, "en trajectory", "judged mean") == (None, 0, 4)
    assert silent.setting["unscored scores"][f"judge: {NO_JSON}"] > 0  # type: ignore[index]


def test_a_judge_that_cannot_tell_good_replies_from_empty_ones_is_withheld(folder: Path) -> None:
    found, out = read_set(folder), folder.parent / "out"
    asked = system(folder, perfect)
    report = run_dialogues(found, asked, fake_judge(5), out, ears=FakeEars(), trial=2)
    assert not [row for row in report.rows if str(row["measure"]).startswith("judged ") and row["n"]]
    assert value(report, "en empathy", WITHHELD) == (None, 0, 4)
    assert value(report, "en trajectory", "trajectory exact, own words") == (1.0, 4, 0)
    assert "withheld" in report.setting[TRUST]["zh"]  # type: ignore[index]
    rows = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    assert {row["task"] for row in rows} == {"trajectory", "reasoning", "empathy"}


def test_a_run_that_was_killed_asks_nothing_twice(folder: Path) -> None:
    def down_after_ten(item: Item, question: Question) -> Answer:
        if len(down.asked) > 10:
            raise HarkenError("no server answers")
        return perfect(item, question)

    down = system(folder, down_after_ten)
    with pytest.raises(HarkenError, match="no server answers"):
        run(folder, down)
    rest = system(folder, perfect)
    run(folder, rest)
    assert {q.key for q in down.asked[:10]}.isdisjoint(q.key for q in rest.asked)
    assert len(rest.asked) == 2 * (4 * 5 + 2 * 8) - 10
    run(folder, again := system(folder, perfect))
    assert again.asked == []


def test_a_folder_holds_answers_of_one_system_to_one_set(folder: Path) -> None:
    run(folder, system(folder, perfect))
    with pytest.raises(DataError, match="holds other answers"):
        run(folder, system(folder, perfect, name="another"))
    write_items(folder, rows_of(folder)[:-1])
    with pytest.raises(DataError, match="holds other answers"):
        run(folder, system(folder, perfect))


def test_problems_of_a_set_are_listed_and_the_rest_goes_on(folder: Path) -> None:
    rows = rows_of(folder)
    by_id = {row["id"]: row for row in rows}
    (folder / "audio" / "en-d0_2.ogg").unlink()
    by_id["en-d1-trajectory"]["answer"] = "never said"
    by_id["en-d1-reasoning"]["dialogue_id"] = "nowhere"
    by_id["en-d1-empathy"]["turn_id"] = 9
    by_id["en-d2-reasoning"]["gold"] = []
    write_items(folder, [*rows, by_id["en-d3-empathy"], {"id": "x", "task": "singing"}])
    report = run(folder, system(folder, perfect))
    problems = (folder.parent / "out" / "dialogues-problems.txt").read_text()
    for what in (
        "en-d0-empathy: turn 2: the recording audio/en-d0_2.ogg is missing",
        "en-d1-trajectory: its candidates hold the answer 0 times, not once",
        "en-d1-reasoning: its dialogue nowhere is missing",
        "en-d1-empathy: its dialogue en-d1 has no turn 9",
        "en-d2-reasoning: has no gold answer",
        "en-d3-empathy: occurs again in line 41",
        "x: line 42 is no item: task",
    ):
        assert what in problems
    assert report.setting["problems of the set"] == 9
    assert value(report, "en trajectory", LETTER) == (1.0, 2, 0)
    assert value(report, "zh trajectory", LETTER) == (1.0, 4, 0)


def test_a_set_that_is_not_finished_or_empty_is_refused_and_the_limit_is_of_each_task(folder: Path) -> None:
    limited = read_set(folder, limit=1).cases
    assert [(case.item.lang, case.item.task) for case in limited] == [
        (lang, task) for lang in LANGUAGES for task in ("trajectory", "reasoning", "empathy", "contrast")
    ]
    chosen = read_set(folder, only=("en contrast",)).cases
    assert chosen and {(case.item.lang, case.item.task) for case in chosen} == {("en", "contrast")}
    with pytest.raises(DataError, match="holds no fr contrast") as refused:
        read_set(folder, only=("fr contrast",))
    assert "en contrast" in refused.value.hint
    write_items(folder, [])
    with pytest.raises(DataError, match="holds no item that can be asked"):
        read_set(folder)
    (folder / SET).unlink()
    with pytest.raises(DataError, match="no finished set"):
        read_set(folder)


def test_logs_have_the_scores_of_each_exchange(folder: Path) -> None:
    run(folder, system(folder, perfect), fake_judge())
    logs = {path.name.split("_")[1]: path for path in sorted((folder.parent / "out" / LOGS).glob("*.eval"))}
    log = read_eval_log(str(logs["dialogues-en-trajectory"]))
    scores = {str(s.id): s.scores["harken"].as_dict() for s in log.samples or [] if s.scores}
    assert scores["en-d0-trajectory-choice"][LETTER] == 1.0
    free = scores["en-d0-trajectory-free"]
    assert free["trajectory exact, own words"] == 1.0 and free["judged mean"] == 3.0
    assert np.isnan(free[LETTER])


def test_the_commands_score_predictions_and_compare(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harken.evaluation.dialogue_sets import run as room

    monkeypatch.setattr(room, "Ears", FakeEars)
    theirs, out = folder.parent / "theirs", folder.parent / "run"
    for lang in LANGUAGES:
        path = theirs / "prediction" / "theirs" / f"dialogues-{lang}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"key": f"{lang}-d0-trajectory-choice", "pred": "B", "ref": ""}]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["evaluate", "dialogues", "--data", str(folder), "--system", str(theirs), "--limit", "1"]
    assert main([*command, "--out", str(out), "--json"]) == 0
    setting, *rows = map(json.loads, capsys.readouterr().out.splitlines())
    assert (setting["system"], setting["recipe"], setting["unanswered questions"]) == ("theirs", "none", 12)
    assert [row["value"] for row in rows if row["measure"] == LETTER and row["n"]] == [[1.0] * 3] * 2
    head, scores = read_scores(out)
    assert head["system"] == "theirs" and len((out / FILE).read_text().splitlines()) == 1 + 2 and scores
    assert main(["evaluate", "compare", str(out), str(out), "--json"]) == 0
    assert '"value": [0.0, 0.0, 0.0]' in capsys.readouterr().out
    assert main([*command, "--out", str(theirs)]) == 1
    assert "holds the predictions that are scored" in capsys.readouterr().err
