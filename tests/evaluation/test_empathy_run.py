"""Replies to turns with an emotion: read, asked, described and then scored, and compared with people."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pages import read

from harken.cli import main
from harken.errors import DataError
from harken.evaluation.empathy.items import read_turns
from harken.evaluation.empathy.run import read_people, run_empathy
from harken.evaluation.humdial.dialogues import Dialogue, Turn, write_dialogues
from harken.evaluation.item_scores import read_scores
from harken.evaluation.judges.judging import NO_ANSWER
from harken.evaluation.report import Report
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.llm.base import LLMError
from harken.testing import FakeLLM

TONE = (0.3 * np.sin(np.arange(4000) / 10)).astype(np.float32)
SCORES = {"t1": 5, "t2": 3, "t3": 1}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [
        {"id": name, "audio": f"{name}.wav", "emotion": "sad", "text": f"words of {name}"} for name in SCORES
    ]
    (folder / "turns.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in SCORES:
        soundfile.write(folder / f"{name}.wav", TONE, 16_000)
    return folder


@dataclass
class FakeSystem:
    reply: Callable[[Question], Answer] = lambda question: Answer(f"I hear you, {question.key}.")
    name: str = "fake system"
    concurrency: int = 1
    asked: list[Question] = field(default_factory=list)

    def answer(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.reply(question)


def describe(prompt: str, seed: int) -> str:
    """NS as `SCORES` has it, the others 3."""
    name = next(name for name in SCORES if f"words of {name}" in prompt)
    scores = {"NS": SCORES[name], "WA": 3, "EU": 3, "ES": 3}
    return json.dumps({"comment": f"It meets {name}.", "reasons": {}, "scores": scores})


def run(data: Path, system: FakeSystem, judge: FakeLLM | None, ratings: Path | None = None) -> Report:
    items, problems = read_turns(data, hears=True)
    people = read_people(ratings) if ratings else None
    return run_empathy(items, problems, system, judge, data.parent / "out", ratings=people)


def figures(report: Report, measure: str) -> dict[object, tuple[object, object, object]]:
    return {
        row["data"]: (row["value"][0] if row["value"] else None, row["n"], row["unscored"])  # type: ignore[index]
        for row in report.rows
        if row["measure"] == measure
    }


def test_replies_are_described_first_and_scored_by_dimension(data: Path) -> None:
    report = run(data, system := FakeSystem(), judge := FakeLLM(describe))
    assert [(q.instruction, q.recordings[-1].name) for q in system.asked] == [
        (None, f"{name}.wav") for name in SCORES
    ]
    form = judge.asked[0]
    assert form.index('"comment"') < form.index('"reasons"') < form.index('"scores"')
    assert "User (sad): words of t1" in form and "I hear you, t1." in form
    dimensions = ("NS", "WA", "EU", "ES", "mean")
    assert figures(report, "judged, 1 to 5") == dict.fromkeys(dimensions, (3.0, 3, 0))
    lines = (data.parent / "out" / "verdicts.jsonl").read_text().splitlines()
    assert [json.loads(line)["comment"] for line in lines] == [f"It meets {name}." for name in SCORES]
    assert json.loads(lines[0])["scores"] == {"NS": 5, "WA": 3, "EU": 3, "ES": 3}
    by_item = {(score.id, score.measure): score for score in read_scores(data.parent / "out")[1]}
    assert (
        len(by_item) == 15
        and by_item["t1", "judged NS"].score == 5
        and by_item["t1", "judged mean"].score == 3.5
    )
    assert by_item["t1", "judged NS"].judge == report.setting["judge"] + f", {report.setting['rubric']}"


def test_a_run_goes_on_and_counts_what_is_missing(data: Path) -> None:
    def deaf(question: Question) -> Answer:
        if question.key == "t2":
            raise Unanswered("too quiet")
        return Answer("Oh.")

    down = FakeLLM(lambda *_: LLMError("fake: connection refused"))
    report = run(data, FakeSystem(deaf), down)
    assert report.setting["unscored replies"] == {NO_ANSWER: 2, "no reply": 1}
    assert figures(report, "judged, 1 to 5")["mean"] == (None, 0, 3)
    unscored = {score.id: score.why for score in read_scores(data.parent / "out")[1]}
    assert unscored == {"t1": NO_ANSWER, "t2": "no reply", "t3": NO_ANSWER}
    assert (data.parent / "out" / "empathy-problems.txt").read_text() == "t2: unanswered: too quiet\n"
    run(data, again := FakeSystem(), FakeLLM(describe))
    run(data, silent := FakeSystem(), None)
    assert [q.key for q in again.asked] == ["t2"] and silent.asked == []


def test_the_judge_is_held_against_peoples_ratings(data: Path) -> None:
    ratings = data.parent / "ratings.csv"
    rows = [f"{name},{d},{s},ann" for d in ("NS", "WA") for name, s in (("t1", 5), ("t2", 4), ("t3", 2))]
    ratings.write_text("\n".join(["id,dimension,rating,rater", *rows, "other,NS,1,ann"]))
    report = run(data, FakeSystem(), FakeLLM(describe), ratings)
    agreement = figures(report, "Pearson of judge and people")
    assert agreement["NS"] == (pytest.approx(0.982, abs=1e-3), 3, None)
    assert agreement["WA"] == (None, 3, None)  # the judge gives everything the same
    assert "mean" not in agreement  # the judge's is of four dimensions
    assert figures(report, "rated by people")["NS"] == (pytest.approx(11 / 3), 3, None)
    rows += [f"{name},{d},{s},ann" for d in ("EU", "ES") for name, s in (("t1", 5), ("t2", 3))]
    ratings.write_text("\n".join(["id,dimension,rating,rater", *rows]))
    whole = figures(run(data, FakeSystem(), FakeLLM(describe), ratings), "rated by people")
    assert whole["mean"] == (pytest.approx((5 + 3.5) / 2), 2, None)
    ratings.write_text("id,dimension,rating,rater\nt1,warmth,3,ann\n")
    with pytest.raises(DataError, match="rates none of NS, WA, EU, ES"):
        read_people(ratings)


def test_the_page_plays_turns_and_has_the_judges_description(data: Path) -> None:
    rows = [json.loads(line) for line in (data / "turns.jsonl").read_text().splitlines()]
    rows[2]["emotion"] = "happy"
    (data / "turns.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    items, problems = read_turns(data, hears=True)
    system = FakeSystem(lambda q: Answer(f"I hear you, {q.key}.", TONE, 16_000))
    out = data.parent / "out"
    run_empathy(items, problems, system, FakeLLM(describe), out, spoken=True, command="harken evaluate …")
    page = read(out / "empathy.html")
    assert set(page.text_of("span", "tag")[:4:2]) == {"sad", "happy"}  # each emotion before any twice
    assert len(page.sounds) == 6 and all(np.abs(samples).max() > 0.2 for samples, _ in page.sounds)
    assert "user, annotated: sad words of t1 reply, scored I hear you, t1." in page.text
    assert "NS 5 WA 3 EU 3 ES 3 mean 3.5 The judge: It meets t1." in page.text
    assert page.titles == ["judged mean by the user's emotion"]
    assert "diamonds their means: sad 3.25, happy 2.50." in page.text
    assert "data/turns.jsonl sha256" in page.text and "rubric empathy-eval version" in page.text
    assert "harken evaluate …" in page.text


def test_of_a_dialogue_the_last_turn_with_an_emotion_is_asked(data: Path) -> None:
    turns = [("a", "happy"), ("b", "sad"), ("c", "neutral")]
    told = tuple(Turn(n, text, emotion, f"t{n}.wav") for n, (text, emotion) in enumerate(turns, 1))
    calm = Dialogue("calm", told[2:])
    write_dialogues(data / "turns.jsonl", [Dialogue("moved", told), calm])
    (item,), (problem,) = read_turns(data, hears=True)
    assert (item.id, item.told, item.recording.name) == ("moved", "User (sad): b", "t2.wav")
    assert str(problem).endswith("calm: has no turn with an emotion other than neutral")


def test_bad_lines_are_named_and_the_rest_is_asked(data: Path) -> None:
    good = {"id": "x", "audio": "t1.wav", "emotion": "sad", "text": "words"}
    bad = [{**good, "id": "t1"}, {**good, "audio": "t9.wav"}, {**good, "emotion": ""}, {"id": "y"}]
    with (data / "turns.jsonl").open("a") as file:
        file.write("no JSON\n" + "".join(json.dumps(row) + "\n" for row in bad))
    items, problems = read_turns(data, hears=True, limit=2)
    assert [item.id for item in items] == ["t1", "t2"]
    said = "\n".join(map(str, problems))
    for what in (
        "t1: occurs again",
        "x: the recording t9.wav is missing",
        "x: line 7 has no emotion",
        "not JSON",
    ):
        assert what in said
    (data / "turns.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no turn"):
        read_turns(data, hears=True)


def test_the_command_takes_a_file_and_predictions(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data.parent / "made" / "prediction" / "made" / "empathy.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"key": "t1", "pred": "Oh.", "ref": "-"}) + "\n")
    (data / "t2.wav").unlink()
    command = [
        "evaluate",
        "empathy",
        "--data",
        str(data / "turns.jsonl"),
        "--system",
        str(data.parent / "made"),
    ]
    assert main([*command, "--out", str(data.parent / "out"), "--json"]) == 0
    setting, *_ = map(json.loads, capsys.readouterr().out.splitlines())
    assert setting["unscored replies"] == {"no judge": 1, "no reply": 2}
    page = read(data.parent / "out" / "empathy.html")
    assert len(page.sounds) == 2 and page.titles == [] and page.text.count("reply none") == 2
    assert "no sound: t2.wav: no such file" in page.text
