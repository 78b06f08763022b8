"""Questions about recordings as a run: read, asked with and without metadata, judged, scored by keyword."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pages import read as read_page

from harken.audio.io import Recording, read
from harken.cli import main
from harken.data.labelers.base import Reading
from harken.data.rows import Affect, Instruction, Row, Speaker, Turn
from harken.data.rows import Question as Asked
from harken.data.shards import write_shard
from harken.data.workspace import Workspace
from harken.errors import DataError, HarkenError
from harken.evaluation.judges.judging import NO_ANSWER
from harken.evaluation.paralinguistic.items import Item, Metadata
from harken.evaluation.paralinguistic.objective import label_named
from harken.evaluation.paralinguistic.run import read_items, run_paralinguistic
from harken.evaluation.report import Report
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.llm.base import LLMError
from harken.testing import FakeLLM

TONE = (0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)
ROWS = [
    ("c1", "1.wav", "What is said?", "A train left.", "C", None),
    ("ce1", "1.wav", "Why that tone?", "Sad, as the train left.", "CE", "sad"),
    ("cg1", "2.wav", "Who says what?", "A man asks the way.", "CG", "male"),
    ("e1", "1.wav", "How does it sound?", "Sad.", "E", "sadness"),
    ("e2", "2.wav", "How does it sound?", "Angry.", "E", "anger"),
    ("g1", "1.wav", "Who speaks?", "A woman.", "G", "female"),
    ("g2", "2.wav", "Who speaks?", "A man.", "G", "male"),
]
SAID = {
    "c1": "A train left.",
    "ce1": "They are sad that the train left.",
    "cg1": "no idea",
    "e1": "The speaker sounds sad.",
    "e2": "Happy or angry.",
    "g1": "It is a woman.",
    "g2": "A woman.",
}
GRADES = {"c1": 100, "ce1": 80, "cg1": 0, "e1": 100, "e2": 40, "g1": 80, "g2": 0}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("1.wav", "2.wav"):
        soundfile.write(folder / name, TONE, 16_000)
    names = ("id", "audio", "question", "answer", "type", "label")
    rows = [{**dict(zip(names, row, strict=True)), "lang": "en"} for row in ROWS]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@dataclass
class FakeSystem:
    reply: Callable[[Question], Answer] = lambda question: Answer(SAID[question.key])
    name: str = "fake system"
    concurrency: int = 1
    asked: list[Question] = field(default_factory=list)

    def answer(self, question: Question) -> Answer:
        self.asked.append(question)
        return self.reply(question)


def grade(prompt: str, seed: int) -> str:
    """The grade of the answer in the prompt."""
    (said,) = re.findall(r"<answer>\n(.*)\n</answer>", prompt)
    key = next(key for key, text in SAID.items() if text == said)
    return json.dumps({"comment": "so so", "scores": {"correctness": GRADES[key]}})


class FakeLabeler:
    name, revision = "ears", "1"

    def __init__(self) -> None:
        self.heard = 0

    def label(self, recordings: Sequence[Recording]) -> list[Reading | HarkenError]:
        self.heard += len(recordings)
        return [Reading({"fear": 0.75, "neutral": 0.25}, "male", 0.9) for _ in recordings]


def run(data: Path, system: FakeSystem, judge: FakeLLM | None, metadata: Metadata = "none") -> Report:
    out = data.parent / f"out {metadata}"
    items, problems = read_items(data, out / "questions")
    labeler = FakeLabeler() if metadata == "heard" else None
    return run_paralinguistic(items, problems, system, judge, out, metadata=metadata, labeler=labeler)


def figures(report: Report, measure: str) -> dict[object, tuple[object, object, object]]:
    """Data -> value without its interval, questions in it, unscored ones."""

    def value(row: object) -> object:
        return row[0] if isinstance(row, list) else row

    return {
        row["data"]: (value(row["value"]), row["n"], row["unscored"])
        for row in report.rows
        if row["measure"] == measure
    }


def test_means_by_type_and_the_direct_types_apart(data: Path) -> None:
    report = run(data, system := FakeSystem(), FakeLLM(grade))
    assert [q.instruction for q in system.asked][:2] == ["What is said?", "Why that tone?"]
    assert figures(report, "judged correctness") == {
        "C": (100.0, 1, 0),
        "CE": (80.0, 1, 0),
        "CG": (0.0, 1, 0),
        "E": (70.0, 2, 0),
        "G": (40.0, 2, 0),
        "C CE CG": (60.0, 3, 0),
        "E G": (55.0, 4, 0),
        "all types": (pytest.approx(400 / 7), 7, 0),
    }
    assert str(report.setting["headline"]).startswith("all types")


@pytest.mark.parametrize("metadata", ["labelled", "heard"])
def test_with_metadata_the_direct_types_are_in_no_mean_with_others(data: Path, metadata: Metadata) -> None:
    report = run(data, system := FakeSystem(), FakeLLM(grade), metadata)
    assert set(figures(report, "judged correctness")) == {"C", "CE", "CG", "E", "G", "C CE CG", "E G"}
    assert str(report.setting["headline"]).startswith("C CE CG; E G stand apart")
    asked = {q.key: q.instruction for q in system.asked}
    if metadata == "labelled":
        assert "as labelled" in str(report.setting["metadata"])
        assert asked["ce1"] == "Why that tone?\nHow it sounds: [whole turn: sad]"
        assert asked["g2"] == "Who speaks?\nSpeaker: a man"
        assert report.setting["questions without metadata, as nothing is known"] == 1
    else:
        assert report.setting["metadata"] == "emotion and gender as heard by ears@1 (explicit)"
        assert asked["c1"] == "What is said?\nHow it sounds: [whole turn: fear, 0.75]\nSpeaker: a man"
    assert figures(report, "weighted accuracy, by keyword")["E"] == (
        0.5,
        2,
        0,
    )  # by the labels, not what was heard


def test_answers_in_two_conditions_are_not_mixed(data: Path) -> None:
    run(data, FakeSystem(), None)
    (data.parent / "out none").rename(data.parent / "out labelled")
    with pytest.raises(DataError, match="holds other answers"):
        run(data, FakeSystem(), None, "labelled")


def test_keywords_score_direct_questions_and_validate_the_judge(data: Path) -> None:
    report = run(data, FakeSystem(), FakeLLM(grade))
    assert figures(report, "weighted accuracy, by keyword") == {"E": (0.5, 2, 0), "G": (0.5, 2, 0)}
    f1 = figures(report, "F1, mean of classes, by keyword")
    assert f1 == {"E": (0.5, 2, 0), "G": (pytest.approx((2 / 3 + 0) / 2), 2, 0)}
    assert report.setting["direct answers without one label"] == 1  # happy or angry
    (rank,) = figures(report, "Spearman of judged and right by keyword").values()
    assert rank == (pytest.approx(0.894, abs=1e-3), 4, None)
    assert figures(report, "P(right by keyword | judged 100)") == {"E G": (1.0, 1, None)}
    assert figures(report, "P(right by keyword | judged 40)") == {"E G": (0.0, 1, None)}


def test_the_page_plays_questions_of_every_type_and_says_what_a_score_is_worth(data: Path) -> None:
    items, problems = read_items(data, None)
    out = data.parent / "out"
    run_paralinguistic(items, problems, FakeSystem(), FakeLLM(grade), out, command="harken evaluate …")
    page = read_page(out / "paralinguistic.html")
    tags = page.text_of("span", "tag")[::2]
    assert tags[:5] == ["type C", "type CE", "type CG", "type E", "type G"] and len(tags) == 7
    assert len(page.sounds) == 7 and all(np.abs(samples).max() > 0.2 for samples, _ in page.sounds)
    assert page.titles == ["What a score is worth: judged correctness against right by keyword"]
    assert "isotonic fit over 4 items: 0: 0.00, 40: 0.00, 80: 1.00, 100: 1.00." in page.text
    assert (
        "reply, scored Happy or angry. asked How does it sound? reference Angry. label anger "
        "label that the answer names none judged correctness 40 right by keyword 0 The judge: so so"
    ) in page.text
    assert "data/questions.jsonl sha256" in page.text and "recordings 2, sha256" in page.text
    assert "rubric paralinguistic-qa version" in page.text and "harken evaluate …" in page.text


def test_the_page_says_what_could_not_be_heard_answered_or_judged(data: Path) -> None:
    def deaf(question: Question) -> Answer:
        raise Unanswered("too quiet")

    for name in ("1.wav", "2.wav"):
        (data / name).write_bytes(b"no sound")
    run(data, FakeSystem(deaf), None)
    page = read_page(data.parent / "out none" / "paralinguistic.html")
    assert page.all("audio") == page.titles == [] and page.text.count("answer none") == 7
    assert page.text.count("no sound: ") == 7


@pytest.mark.parametrize(
    ("text", "asked", "lang", "label"),
    [
        ("She sounds frightened.", "E", "en", "fear"),
        ("Calm at first, then furious.", "E", "en", "none"),
        ("I cannot tell.", "E", "en", "none"),
        ("说话人很难过。", "E", "zh", "sad"),
        ("It is a man's voice.", "G", "en", "male"),
        ("说话的是女性。", "G", "zh", "female"),
    ],
)
def test_an_answer_stands_for_the_one_label_it_names(text: str, asked: str, lang: str, label: str) -> None:
    item = Item("i", "?", "!", asked, lang, (Turn("user", ""),), (Path("a.wav"),), Path())  # type: ignore[arg-type]
    assert label_named(text, item) == label


def test_a_run_goes_on_and_counts_what_is_not_answered_or_judged(data: Path) -> None:
    def deaf(question: Question) -> Answer:
        if question.key in ("e1", "c1"):
            raise Unanswered("too quiet")
        return Answer(SAID[question.key])

    down = FakeLLM(lambda *_: LLMError("fake: connection refused"))
    report = run(data, FakeSystem(deaf), down)
    assert report.setting["unscored questions"] == {NO_ANSWER: 5, "no answer of the system's": 2}
    assert figures(report, "judged correctness")["C"] == (None, 0, 1)
    assert figures(report, "weighted accuracy, by keyword")["E"] == (0.0, 1, 1)
    out = data.parent / "out none"
    assert (out / "paralinguistic-problems.txt").read_text().splitlines() == [
        "c1: unanswered: too quiet",
        "e1: unanswered: too quiet",
    ]
    run(data, again := FakeSystem(), FakeLLM(grade))
    assert [q.key for q in again.asked] == ["c1", "e1"]
    unjudged = run(data, silent := FakeSystem(), None)
    assert silent.asked == [] and unjudged.setting["unscored questions"] == {"no judge": 7}
    verdicts = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    assert verdicts[0]["scores"] == {"correctness": 100} and verdicts[0]["comment"] == "so so"


def test_bad_lines_are_named_and_the_rest_is_asked(data: Path) -> None:
    good = {"id": "x", "audio": "1.wav", "question": "?", "answer": "!", "type": "E", "lang": "en"}
    bad = [
        {**good, "id": "c1"},
        {**good, "id": ""},
        {**good, "id": "x1", "audio": "3.wav"},
        {**good, "id": "x2", "type": "EG"},
        {**good, "id": "x3", "lang": "pl"},
        {**good, "id": "x4", "answer": ""},
        {**good, "id": "x5", "label": "wistful"},
    ]
    with (data / "questions.jsonl").open("a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in bad))
    items, problems = read_items(data / "questions.jsonl", data.parent / "q")
    assert len(items) == 8
    said = "\n".join(map(str, problems))
    for what in (
        "c1: occurs again in line 8",
        "line 9 has no id",
        "x1: the recording 3.wav is missing",
        "x2: its type is none of C, CE",
        "x3: its lang is none of",
        "x4: has no answer",
        "x5: the label 'wistful' is not known",
    ):
        assert what in said
    assert [item.id for item in read_items(data, None, limit=1)[0]] == ["c1", "ce1", "cg1", "e1", "g1"]
    (data / "questions.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no question about a recording"):
        read_items(data, None)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A data set with a dialogue's question in both conditions, one of split train, and one unspoken."""
    workspace = Workspace(tmp_path / "work")
    first, last = (workspace.save(name, TONE, 16_000) for name in ("first", "last"))
    heard = (Affect("fear", "model", 0.7), Affect("sad", "human"))
    turns = (
        Turn("assistant", "Hello."),
        Turn("user", "Hi.", first, 0.5),
        Turn("assistant", "How are you?"),
        Turn("user", "My cat died.", last, 0.5, speaker=Speaker(gender="female"), affect=heard),
        Turn("assistant", "Sad."),
    )
    plain = Row(
        "plain", "g", "dev", "paralinguistic", "1-2", "en", "ours", "CC0-1.0", True, turns,
        instruction=Instruction("How does it sound?"),
        qa=Asked("How does it sound?", "E", "simple"), target="Sad.",
    )  # fmt: skip
    rows = [
        plain,
        replace(plain, id="explicit", instruction=Instruction("How does it sound?\nHow it sounds: […]")),
        replace(plain, id="train", split="train"),
        replace(plain, id="unspoken", turns=(replace(turns[3], audio=None),)),
        replace(plain, id="source", task="source", qa=None),
    ]
    assert write_shard(tmp_path / "built", 0, rows, workspace) == []
    return tmp_path / "built"


def test_a_built_data_set_gives_its_dev_questions_with_their_conversation(built: Path) -> None:
    (item,), (problem,) = read_items(built, built.parent / "q")
    assert (item.id, item.type, item.emotion, item.gender, item.answer) == (
        "plain",
        "E",
        "sad",
        "female",
        "Sad.",
    )
    assert item.replies == ("How are you?",) and len(item.recordings) == 2
    assert all(read(place).seconds == pytest.approx(0.5, abs=0.1) for place in item.recordings)
    assert str(problem).endswith("unspoken: a turn has no recording")
    report = run_paralinguistic(
        [item], [problem], system := FakeSystem(lambda q: Answer("Sad.")), None, built.parent / "out"
    )
    assert system.asked[0].turns == [(item.recordings[0], "How are you?"), (item.recordings[1], None)]
    assert report.setting["emotion labels by"] == {"human": 1} and report.setting["problems of files"] == 1


def test_the_command_scores_predictions(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = data.parent / "made"
    path = made / "prediction" / "made" / "paralinguistic.jsonl"
    path.parent.mkdir(parents=True)
    rows = [{"key": key, "pred": text, "ref": "-"} for key, text in SAID.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["evaluate", "paralinguistic", "--data", str(data / "questions.jsonl"), "--system", str(made)]
    assert main([*command, "--metadata", "labelled", "--out", str(data.parent / "out"), "--json"]) == 0
    setting, *figures = map(json.loads, capsys.readouterr().out.splitlines())
    assert setting["unscored questions"] == {"no judge": 7} and "as labelled" in setting["metadata"]
    assert {row["data"] for row in figures if row["n"]} == {"E", "G"}
