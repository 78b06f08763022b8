"""A submission to HumDial's Track 1 on disk: written, and checked before it is handed in.

    HD-Track1/{zh,en}/HD-Track1-T{1,2,3}.jsonl
    HD-Track1/{zh,en}/HD-Track1-T3/{dialogue_id}_{turn_id}_response.wav

The check goes to the end and gives all that is wrong. What the replies are worth is `scores`' matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harken.audio.io import read
from harken.errors import DataError, InputError
from harken.evaluation.humdial.dialogues import (
    Dialogue,
    Turn,
    excluded,
    read_dialogues,
    write_dialogues,
)
from harken.evaluation.humdial.scores import TASKS
from harken.evaluation.language import LANGUAGES, Language, written_in
from harken.evaluation.problems import Problem

NAME = "HD-Track1"
Expected = Mapping[tuple[Language, int], Sequence[Dialogue]]
"""(language, task number) -> the test set's dialogues."""


def task_file(folder: Path, language: Language, task: int) -> Path:
    """The file of a task's replies in the submission under `folder`."""
    return folder / NAME / language / f"{NAME}-T{task}.jsonl"


def reply_file(folder: Path, language: Language, dialogue_id: str, turn_id: int) -> Path:
    """The file of a spoken reply of task 3 in the submission under `folder`."""
    return folder / NAME / language / f"{NAME}-T3" / f"{dialogue_id}_{turn_id}_response.wav"


def write_task(folder: Path, language: Language, task: int, dialogues: Iterable[Dialogue]) -> Path:
    """Write a task's dialogues with their replies, without those that were withdrawn; gives the file.

    Raises: DataError where it cannot be written.
    """
    path = task_file(folder, language, task)
    write_dialogues(path, (d for d in dialogues if not excluded(d.dialogue_id)))
    return path


def check(folder: Path, expected: Expected | None = None) -> list[Problem]:
    """All that is wrong with the submission under `folder`; nothing for one that may be handed in.

    Files, lines, ids, replies without text or in the other language, recordings that are missing or cannot be
    heard, and withdrawn dialogues. Of the tasks in `expected`, all dialogues and turns have to be there, and
    no others.

    Raises: DataError where there is no submission.
    """
    if not (folder / NAME).is_dir():
        raise DataError(f"{folder} holds no folder {NAME}", f"name the folder that {NAME} lies in")
    problems: list[Problem] = []
    for language in LANGUAGES:
        for task in TASKS:
            path = task_file(folder, language, task)
            if not path.is_file():
                problems.append(Problem(path, None, "is missing"))
                continue
            dialogues, found = read_dialogues(path)
            problems += found
            if (wanted := (expected or {}).get((language, task))) is not None:
                problems += _against(path, dialogues, wanted, {problem.id for problem in found})
            for dialogue in dialogues:
                problems += _check_dialogue(folder, language, task, dialogue)
    return problems


def _against(
    path: Path, dialogues: Sequence[Dialogue], expected: Sequence[Dialogue], named: set[str | None]
) -> list[Problem]:
    """What is missing or unknown, but for dialogues that a problem is `named` for already."""
    there = {dialogue.dialogue_id: {turn.turn_id for turn in dialogue.turns} for dialogue in dialogues}
    wanted = {dialogue.dialogue_id: {turn.turn_id for turn in dialogue.turns} for dialogue in expected}
    problems = [
        Problem(path, name, "is missing")
        for name in wanted
        if name not in there and name not in named and not excluded(name)
    ]
    for name, turns in there.items():
        if name not in wanted:
            problems.append(Problem(path, name, "is not in the test set"))
        elif turns != wanted[name]:
            problems.append(Problem(path, name, f"has turns {sorted(turns)}, not {sorted(wanted[name])}"))
    return problems


def _check_dialogue(folder: Path, language: Language, task: int, dialogue: Dialogue) -> list[Problem]:
    path, name = task_file(folder, language, task), dialogue.dialogue_id
    problems = [Problem(path, name, "was withdrawn from the test set")] if excluded(name) else []
    for turn in dialogue.turns:
        if (what := _fault_of_text(turn, language)) is not None:
            problems.append(Problem(path, name, f"turn {turn.turn_id}: {what}"))
        recording = reply_file(folder, language, name, turn.turn_id)
        if task == 3 and (what := _fault_of_recording(recording)) is not None:
            problems.append(Problem(recording, name, what))
    return problems


def _fault_of_text(turn: Turn, language: Language) -> str | None:
    if turn.response_text is None or not turn.response_text.strip():
        return "has no response_text"
    written = written_in(turn.response_text)
    if written is None:
        return "response_text is in neither Chinese nor English"
    return None if written == language else f"response_text is in {written}, not in {language}"


def _fault_of_recording(path: Path) -> str | None:
    if not path.exists():
        return "is missing"
    try:
        read(path)
    except InputError as error:
        return error.message.removeprefix(f"{path}: ")
    return None
