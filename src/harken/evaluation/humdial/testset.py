"""A test set of HumDial's Track 1 in a folder: dialogues by language and task, with the users' recordings.

Every JSON lines file under the folder is read. A dialogue's task and language are in its id
(`task2_4_en_0002_0014`), else in the name of its file or folder (`en/HD-Track1-T2.jsonl`). A turn's recording
is named relative to its file, to the folder, or lies beside the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from harken.errors import DataError
from harken.evaluation.asking.recordings import find
from harken.evaluation.humdial.dialogues import Dialogue, excluded, read_dialogues
from harken.evaluation.language import LANGUAGES, Language
from harken.evaluation.problems import Problem

_TASK = re.compile(r"(?<![a-z])t(?:ask)?_?([123])(?![0-9])", re.IGNORECASE)
_LANGUAGE = re.compile(r"(?<![a-z])(zh|en)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One dialogue that a system is to be asked about."""

    language: Language
    task: int
    dialogue: Dialogue
    recordings: tuple[Path, ...]
    """Of each turn."""
    file: Path
    """That the dialogue is from."""


def read_test_set(folder: Path, limit: int | None = None) -> tuple[list[Case], list[Problem]]:
    """The cases in a folder by language, task and order of the files, and what is wrong with the rest.

    Problems are those of `read_dialogues`, dialogues of an unknown task or language, ids that occur in an
    earlier file, and turns whose recording is missing: a dialogue without one of its recordings is no case.
    Dialogues that the challenge withdrew are left out.

    Args: limit: so many cases of each task and language at most, the first.
    Raises: DataError where the folder holds no case.
    """
    cases: dict[tuple[Language, int, str], Case] = {}
    problems: list[Problem] = []
    for path in sorted(folder.rglob("*.jsonl")):
        dialogues, found = read_dialogues(path)
        problems += found
        for dialogue in dialogues:
            if excluded(dialogue.dialogue_id):
                continue
            case = _case(folder, path, dialogue)
            if isinstance(case, Problem):
                problems.append(case)
            elif (key := (case.language, case.task, dialogue.dialogue_id)) in cases:
                problems.append(Problem(path, dialogue.dialogue_id, "occurs in an earlier file"))
            else:
                cases[key] = case
    if not cases:
        first = f"; {problems[0]}" if problems else ""
        raise DataError(
            f"{folder} holds no dialogue of HumDial that can be asked{first}",
            "name the folder with the challenge's JSON lines and the users' recordings",
        )
    return [case for chosen in by_task(tuple(cases.values())).values() for case in chosen[:limit]], problems


def by_task(cases: Sequence[Case]) -> Mapping[tuple[Language, int], list[Case]]:
    """(language, task) -> its cases, Chinese first, without those that have none."""
    sorted_out: dict[tuple[Language, int], list[Case]] = {
        (language, task): [] for language in LANGUAGES for task in (1, 2, 3)
    }
    for case in cases:
        sorted_out[case.language, case.task].append(case)
    return {key: chosen for key, chosen in sorted_out.items() if chosen}


def _case(folder: Path, path: Path, dialogue: Dialogue) -> Case | Problem:
    name, within = dialogue.dialogue_id, str(path.relative_to(folder))
    task = _TASK.search(name) or _TASK.search(within)
    language = _LANGUAGE.search(name) or _LANGUAGE.search(within)
    if task is None or language is None:
        what = "task" if task is None else "language"
        return Problem(path, name, f"neither its id nor its file says of which {what} it is")
    recordings = []
    for turn in dialogue.turns:
        if turn.split_audio_file is None:
            return Problem(path, name, f"turn {turn.turn_id} names no recording")
        recording = find(turn.split_audio_file, path, folder)
        if recording is None:
            return Problem(
                path, name, f"turn {turn.turn_id}: the recording {turn.split_audio_file} is missing"
            )
        recordings.append(recording)
    return Case(cast(Language, language[1].lower()), int(task[1]), dialogue, tuple(recordings), path)
