"""A submission to HumDial's Track 1: written as the challenge wants it, and every fault of it found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harken.audio.io import write
from harken.errors import DataError
from harken.evaluation.humdial.dialogues import Dialogue, Turn
from harken.evaluation.humdial.scores import TASKS
from harken.evaluation.humdial.submission import check, reply_file, task_file, write_task
from harken.evaluation.language import LANGUAGES, Language


def dialogue(*emotions: str, name: str) -> Dialogue:
    return Dialogue(name, tuple(Turn(n, f"turn {n}", emotion) for n, emotion in enumerate(emotions, 1)))


REPLIES: dict[Language, str] = {"zh": "听起来你很难过。", "en": "That sounds hard."}
TONE = (0.3 * np.sin(np.arange(4000) / 10)).astype(np.float32)
TEST_SET = {
    (language, task): [dialogue("sad", "happy", name=f"task{task}_2_{language}_0001_{n:04}") for n in (1, 2)]
    for language in LANGUAGES
    for task in TASKS
}


def replied(told: Dialogue, reply: str) -> Dialogue:
    return replace(told, turns=tuple(replace(turn, response_text=reply) for turn in told.turns))


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """One that may be handed in."""
    for (language, task), dialogues in TEST_SET.items():
        write_task(tmp_path, language, task, [replied(d, REPLIES[language]) for d in dialogues])
        if task == 3:
            for told in dialogues:
                for turn in told.turns:
                    place = reply_file(tmp_path, language, told.dialogue_id, turn.turn_id)
                    place.parent.mkdir(exist_ok=True)
                    write(place, TONE, 16_000)
    return tmp_path


def test_a_whole_submission_lies_as_the_challenge_wants_it_and_has_no_problem(submission: Path) -> None:
    files = {str(p.relative_to(submission)) for p in submission.rglob("*") if p.is_file()}
    assert "HD-Track1/zh/HD-Track1-T1.jsonl" in files
    assert "HD-Track1/en/HD-Track1-T3/task3_2_en_0001_0002_1_response.wav" in files
    assert len(files) == 6 + 2 * 2 * 2
    assert check(submission, TEST_SET) == [] == check(submission)


def test_withdrawn_dialogues_are_not_written_and_not_missed(submission: Path) -> None:
    withdrawn = dialogue("sad", name="task2_3_zh_0015_0001")
    whole = [*TEST_SET["zh", 2], withdrawn]
    path = write_task(submission, "zh", 2, [replied(d, REPLIES["zh"]) for d in whole])
    assert withdrawn.dialogue_id not in path.read_text()
    assert check(submission, {("zh", 2): whole}) == []


def test_every_fault_of_a_tasks_file_is_found(submission: Path) -> None:
    path = task_file(submission, "en", 2)
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    third = dict(first, dialogue_id="task2_4_en_0002_0014")
    first["turns"][0]["response_text"], first["turns"][1]["response_text"] = "我很抱歉。", " "
    expected = [*TEST_SET["en", 2], dialogue("sad", name="not there")]
    short = dict(second, turns=[{"turn_id": 1, "text": "x", "response_text": "?!"}])
    path.write_text("\n".join([*map(json.dumps, (first, short, second, third)), '{"torn']))
    problems = check(submission, {("en", 2): expected})
    assert {problem.file for problem in problems} == {path}
    one, two = (d.dialogue_id for d in TEST_SET["en", 2])
    assert [(problem.id, problem.what.split(":")[0]) for problem in problems[:1]] == [
        (None, "line 5 is not JSON")
    ]
    assert [(problem.id, problem.what) for problem in problems[1:]] == [
        (two, "occurs again in line 3"),
        ("not there", "is missing"),
        (two, "has turns [1], not [1, 2]"),
        ("task2_4_en_0002_0014", "is not in the test set"),
        (one, "turn 1: response_text is in zh, not in en"),
        (one, "turn 2: has no response_text"),
        (two, "turn 1: response_text is in neither Chinese nor English"),
        ("task2_4_en_0002_0014", "was withdrawn from the test set"),
        ("task2_4_en_0002_0014", "turn 1: response_text is in zh, not in en"),
        ("task2_4_en_0002_0014", "turn 2: has no response_text"),
    ]


def test_a_dialogue_that_cannot_be_read_is_not_also_missing(submission: Path) -> None:
    path = task_file(submission, "zh", 1)
    first, second = path.read_text().splitlines()
    path.write_text(first + "\n" + json.dumps(json.loads(second) | {"turns": []}))
    (problem,) = check(submission, TEST_SET)
    assert (problem.id, problem.what) == (TEST_SET["zh", 1][1].dialogue_id, "has no turns")


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("missing", "is missing"),
        ("no bytes", "is empty (0 bytes)"),
        ("no samples", "is empty (0 samples)"),
        ("text", "is not audio that can be decoded"),
        ("cut", "is cut short"),
        ("silent", "is silent"),
        ("folder", "is a directory"),
    ],
)
def test_every_fault_of_a_recording_is_found(submission: Path, fault: str, what: str) -> None:
    name = TEST_SET["zh", 3][0].dialogue_id
    path = reply_file(submission, "zh", name, 2)
    whole = path.read_bytes()
    path.unlink()
    match fault:
        case "no bytes":
            path.write_bytes(b"")
        case "no samples":
            soundfile.write(path, np.zeros(0), 16_000)
        case "text":
            path.write_text("not a recording, but long enough to be taken for one")
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "silent":
            soundfile.write(path, np.zeros(4000), 16_000)
        case "folder":
            path.mkdir()
    (problem,) = check(submission, TEST_SET)
    assert (problem.file, problem.id) == (path, name)
    assert problem.what.startswith(what)


def test_files_that_are_not_there(submission: Path) -> None:
    path = task_file(submission, "en", 1)
    path.unlink()
    assert [str(problem) for problem in check(submission, TEST_SET)] == [f"{path}: is missing"]
    with pytest.raises(DataError, match="holds no folder HD-Track1"):
        check(submission / "HD-Track1")
