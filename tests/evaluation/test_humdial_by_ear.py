"""HumDial with a judge that hears, behind a real socket: who scores the sound, and when it is withheld."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fake_ears import EarServer, hears_nothing, roughness
from fake_servers import serving

from harken.cli import main
from harken.errors import InputError
from harken.evaluation.asking.options import Asking
from harken.evaluation.humdial.dialogues import Dialogue, Turn, write_dialogues
from harken.evaluation.humdial.figures import MEASURED
from harken.evaluation.humdial.run import run_humdial
from harken.evaluation.humdial.scores import D1, D2, D3, TASKS
from harken.evaluation.humdial.submission import reply_file
from harken.evaluation.humdial.testset import read_test_set
from harken.evaluation.judges.by_ear import BY_EAR, TRUST_BY_EAR, WITHHELD_BY_EAR
from harken.evaluation.judges.hearing import NO_SOUND, UNHEARD
from harken.evaluation.judges.hearing_trial import noisy
from harken.evaluation.judges.select import open_hearing_judge
from harken.evaluation.judges.trial import starter_dialogues
from harken.evaluation.judges.verdicts import NO_JSON
from harken.evaluation.language import LANGUAGES
from harken.evaluation.report import Report
from harken.evaluation.systems.base import Answer, Question
from harken.testing import FakeLLM

pytest.importorskip("openai")
DIALOGUES = 4
UNSCORED = f"replies unscored by the {BY_EAR}"


def tone(pitch: float, size: int = 4000) -> Any:
    return (0.3 * np.sin(np.arange(size) * pitch)).astype(np.float32)


class Kind:
    """Says something kind in the language it is asked in, in a tone of its own for each question."""

    name = "kind"
    concurrency = 1

    def __init__(self, speaks: bool = True) -> None:
        self._speaks = speaks

    def answer(self, question: Question) -> Answer:
        text = ("我听到了。" if "/zh/" in question.dataset else "I hear you.") + f" [{question.key}]"
        if not (question.spoken and self._speaks):
            return Answer(text)
        return Answer(text, tone(0.05 + 0.01 * (sum(question.key.encode()) % 20)), 16_000, 0.5)


@pytest.fixture
def server() -> Iterator[EarServer]:
    with serving(EarServer()) as served:
        yield served


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A few dialogues of two turns for each task and language; the second turn is twice as long."""
    monkeypatch.setenv("HARKEN_HOME", str(tmp_path / "home"))
    for language in LANGUAGES:
        for task in TASKS:
            path = tmp_path / "data" / language / f"HD-Track1-T{task}.jsonl"
            names = [f"task{task}_2_{language}_0001_000{number}" for number in range(DIALOGUES)]
            turns = tuple(Turn(n, f"turn {n}", "sad", f"said_{n}.wav") for n in (1, 2))
            write_dialogues(path, [Dialogue(name, turns) for name in names])
    for n in (1, 2):
        soundfile.write(tmp_path / "data" / f"said_{n}.wav", tone(0.1, 4000 * n), 16_000)
    return tmp_path / "data"


def judge() -> FakeLLM:
    scores = {name: 3 for task in TASKS.values() for name in task.dimensions}
    return FakeLLM(lambda *_: json.dumps({"comment": "", "reasons": {}, "scores": scores}))


def run(
    data: Path,
    server: EarServer,
    asking: Asking | None = None,
    system: Kind | None = None,
    trial: bool = True,
) -> Report:
    """With a judge of texts that is not tried, and one that hears that is, unless `trial` is off."""
    cases, problems = read_test_set(data)
    hearing = open_hearing_judge(server.url, "ears", None)
    asking = asking or Asking(trial=12 if trial else 0)
    text = judge() if asking.trial == 0 else None
    return run_humdial(cases, problems, system or Kind(), text, asking, data.parent / "out", 0, hearing)


def measured(report: Report, language: str) -> dict[str, tuple[Any, object, object]]:
    """Measure of task 3 -> value, n, unscored."""
    data = f"{language} task 3 empathy"
    rows = [row for row in report.rows if row["from"] == MEASURED and row["data"] == data]
    return {str(row["measure"]): (_mean(row["value"]), row["n"], row["unscored"]) for row in rows}


def _mean(value: object) -> object:
    return value[0] if isinstance(value, list) else value


def test_a_whole_run_has_a_final_score_by_ear(data: Path, server: EarServer) -> None:
    report = run(data, server, trial=False)
    for language in LANGUAGES:
        found = measured(report, language)
        assert (found[D2], found[D3]) == ((4.0, DIALOGUES, 0), (5.0, DIALOGUES, 0))
    finals = {row["data"]: _mean(row["value"]) for row in report.rows if row["measure"] == "final score"}
    assert finals == pytest.approx(dict.fromkeys(("zh", "en", "zh and en"), 0.5 * 3 + 0.25 * 4 + 0.25 * 5))
    assert str(report.setting["final score"]).endswith("D2 and D3 by a judge that hears")
    assert report.setting["D2 and D3 scored by"] == dict.fromkeys((D2, D3), "a judge that hears 8")
    assert report.setting[TRUST_BY_EAR] == "not tried"
    assert str(report.setting[BY_EAR]).startswith("ears@served-")


def test_it_hears_the_turn_that_is_answered_and_the_reply_with_the_rubrics_text(
    data: Path, server: EarServer
) -> None:
    run(data, server, trial=False)
    assert len(server.asked) == 2 * DIALOGUES
    replies = {
        reply.tobytes()
        for reply, _ in (
            soundfile.read(reply_file(data.parent / "out", language, f"task3_2_{language}_0001_000{n}", 2))
            for language in LANGUAGES
            for n in range(DIALOGUES)
        )
    }
    for _, text, user, reply in server.asked:
        assert len(user) == 8000 and reply.tobytes() in replies
        assert D2 in text and "User (sad): turn 2\n</conversation>" in text


def test_it_is_tried_on_replies_made_worse_before_its_scores_are_shown(data: Path, server: EarServer) -> None:
    report = run(data, server)
    why = str(report.setting[TRUST_BY_EAR])
    assert "are shown" in why and "AUC of 1.00" in why and "over 6 replies" in why and "another reply" in why
    rough = sum(roughness(reply) > 0.2 for *_, reply in server.asked)
    short = sum(len(reply) == 2000 for *_, reply in server.asked)
    assert (rough, short, len(server.asked)) == (6, 6, 6 * 4 + 2)
    assert measured(report, "en")[D3] == (5.0, DIALOGUES, 0)


def test_one_that_does_not_hear_noise_is_withheld_and_saved(data: Path, server: EarServer) -> None:
    server.listener = hears_nothing
    report = run(data, server)
    found = measured(report, "en")
    assert "are withheld" in str(report.setting[TRUST_BY_EAR])
    assert found[f"{D3}: {WITHHELD_BY_EAR}"] == (None, 0, DIALOGUES) and D3 not in found
    rows = [json.loads(line) for line in (data.parent / "out" / "verdicts.jsonl").read_text().splitlines()]
    assert [row["scores"][D3] for row in rows] == [3] * 2 * DIALOGUES
    assert {row["lang"] for row in rows} == set(LANGUAGES) and {row["task"] for row in rows} == {3}
    assert report.setting["D2 and D3 scored by"] == dict.fromkeys((D2, D3), "nobody")


def test_a_final_score_is_withheld_with_the_sound_in_it(data: Path, server: EarServer) -> None:
    def knows_gold(prompt: str, seed: int) -> str:
        gold = any(
            f"\n{reply}\n</reply>" in prompt for lang in LANGUAGES for _, reply in starter_dialogues(lang)
        )
        scores = {name: 5 if gold else 3 for task in TASKS.values() for name in task.dimensions}
        return json.dumps({"scores": scores})

    server.listener = hears_nothing
    cases, problems = read_test_set(data)
    hearing, out = open_hearing_judge(server.url, "ears", None), data.parent / "out"
    report = run_humdial(cases, problems, Kind(), FakeLLM(knows_gold), Asking(trial=2), out, 0, hearing)
    assert report.setting["final score"] == f"withheld: see {TRUST_BY_EAR}"
    assert measured(report, "en")[D1] == (3.0, DIALOGUES, 0)
    assert "final score" not in {row["measure"] for row in report.rows if row["from"] == MEASURED}


def test_nothing_is_asked_twice_over_two_runs(data: Path, server: EarServer) -> None:
    first = run(data, server)
    asked = len(server.asked)
    assert run(data, server).rows == first.rows and len(server.asked) == asked
    soundfile.write(data / "said_2.wav", tone(0.2, 8000), 16_000)  # another recording is another question
    run(data, server)
    assert len(server.asked) == 2 * asked


def test_peoples_ratings_stand_over_the_judges_for_what_they_rated(data: Path, server: EarServer) -> None:
    ratings = data.parent / "ratings.csv"
    ratings.write_text(f"id,dimension,rating,rater\ntask3_2_en_0001_0000,{D2},1,ann\nnobody's,{D2},2,ann\n")
    report = run(data, server, Asking(ratings=ratings, trial=0))
    assert measured(report, "en")[D2] == ((1 + 3 * 4) / 4, DIALOGUES, 0)
    assert measured(report, "zh")[D2] == (4.0, DIALOGUES, 0)
    assert report.setting["D2 and D3 scored by"] == {
        D2: "people 1, a judge that hears 7",
        D3: "a judge that hears 8",
    }
    assert "by people and a judge that hears" in str(report.setting["final score"])
    server.listener = hears_nothing
    (data.parent / "home").rename(data.parent / "before")  # what it said is asked anew
    withheld = run(data, server, Asking(ratings=ratings))
    found = measured(withheld, "en")
    assert found[D2] == (1.0, 1, DIALOGUES - 1) and f"{D3}: {WITHHELD_BY_EAR}" in found
    assert withheld.setting["D2 and D3 scored by"] == {D2: "people 1", D3: "nobody"}


def test_an_unreadable_answer_is_asked_again_and_left_unscored_where_it_stays(
    data: Path, server: EarServer
) -> None:
    server.spoilt = lambda seed: "Very nice." if seed == 0 else None
    report = run(data, server, trial=False)
    assert measured(report, "en")[D3] == (5.0, DIALOGUES, 0)
    assert [seed for seed, *_ in server.asked] == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4
    server.spoilt = lambda seed: "Very nice."
    (data.parent / "home").rename(data.parent / "before")
    again = run(data, server, trial=False)
    assert measured(again, "en")[D3] == (None, 0, DIALOGUES)
    assert again.setting[UNSCORED] == {NO_JSON: 2 * DIALOGUES}
    assert "a dimension of zh has no score" in str(again.setting["final score"])


def test_a_score_off_the_scale_is_asked_again_too(data: Path, server: EarServer) -> None:
    off = json.dumps({"scores": {D2: 4, D3: 9}})
    server.spoilt = lambda seed: off if seed < 2 else None
    assert measured(run(data, server, trial=False), "zh")[D3] == (5.0, DIALOGUES, 0)


def test_replies_without_sound_or_with_silence_are_unscored_with_the_reason(
    data: Path, server: EarServer
) -> None:
    mute = run(data, server, system=Kind(speaks=False))
    assert server.asked == [] and mute.setting[UNSCORED] == {NO_SOUND: 2 * DIALOGUES}
    assert "fewer than two replies" in str(mute.setting[TRUST_BY_EAR])
    (data.parent / "out").rename(data.parent / "mute")
    run(data, server, trial=False)
    for number, samples in enumerate((tone(0.1, 0), 0 * tone(0.1))):
        path = reply_file(data.parent / "out", "en", f"task3_2_en_0001_000{number}", 2)
        soundfile.write(path, samples, 16_000)
    report = run(data, server, trial=False)
    assert report.setting[UNSCORED] == {UNHEARD: 2}
    assert measured(report, "en")[D3] == (5.0, DIALOGUES - 2, 2)
    rows = [json.loads(line) for line in (data.parent / "out" / "verdicts.jsonl").read_text().splitlines()]
    details = [row["detail"] for row in rows if row.get("fault") == UNHEARD]
    assert "is empty" in details[0] and "is silent" in details[1]


def test_a_reply_in_the_other_language_is_a_1_that_nobody_listens_to(data: Path, server: EarServer) -> None:
    class English(Kind):
        def answer(self, question: Question) -> Answer:
            return Answer("I hear you.", tone(0.1), 16_000, 0.5) if question.spoken else Answer("I see.")

    report = run(data, server, system=English(), trial=False)
    assert len(server.asked) == 1  # the same words, turn and sound
    assert measured(report, "zh")[D2] == (1.0, DIALOGUES, 0)
    assert report.setting["D2 and D3 scored by"] == dict.fromkeys((D2, D3), "a judge that hears 4")


def test_the_command_takes_ears_and_says_what_is_wrong_with_them_in_a_line(
    data: Path, server: EarServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run(data, server, trial=False)
    made = data.parent / "made"
    (data.parent / "out").rename(made)
    command = ["evaluate", "humdial", "--data", str(data), "--system", str(made), "--json"]
    ears = ["--out", str(data.parent / "again"), "--ears", server.url, "--ears-model"]
    assert main([*command, *ears, "ears"]) == 0
    setting = json.loads(capsys.readouterr().out.splitlines()[0])
    assert setting[BY_EAR].startswith("ears@") and "are shown" in setting[TRUST_BY_EAR]
    assert main([*command, *ears, "others"]) == 1
    assert "no model named 'others'" in capsys.readouterr().err
    server.refuses = "this model does not support audio input"
    (data.parent / "home").rename(data.parent / "before")
    assert main([*command, *ears, "ears"]) == 1
    said = capsys.readouterr().err
    assert "does not hear" in said and "hint: serve a model" in said and "Traceback" not in said
    with pytest.raises(InputError, match="has no model"):
        open_hearing_judge(server.url, None, None)
    with pytest.raises(InputError, match="no judge that hears"):
        open_hearing_judge("local", "ears", None)


def test_noise_at_0_db_has_the_power_of_the_reply() -> None:
    samples = tone(0.1, 16_000)
    noise = noisy(samples) - samples
    assert np.mean(noise**2) == pytest.approx(np.mean(samples**2), rel=0.05)
    assert (noisy(samples) == noisy(samples)).all()


def test_with_a_judge_of_texts_alone_the_way_to_a_final_score_is_said(data: Path) -> None:
    cases, problems = read_test_set(data)
    report = run_humdial(cases, problems, Kind(), judge(), Asking(trial=0), data.parent / "out")
    assert report.setting[BY_EAR] == "none" and measured(report, "en")[D1][0] == 3.0
    assert "--ears" in str(report.setting["final score"])
