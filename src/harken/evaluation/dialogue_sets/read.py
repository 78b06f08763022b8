"""A set of dialogues read back: items with the conversations that they are about.

What cannot be asked is a problem, and the rest goes on. How a set is made is left to `build`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from harken.errors import DataError
from harken.evaluation.dialogue_sets.build import ITEMS, SET
from harken.evaluation.dialogue_sets.items import Item, Task
from harken.evaluation.humdial.dialogues import Dialogue, Turn, read_dialogues
from harken.evaluation.language import LANGUAGES
from harken.evaluation.problems import Problem, json_objects

TASKS: tuple[Task, ...] = get_args(Task)
_ITEM = TypeAdapter(Item)


@dataclass(frozen=True)
class Case:
    """One item, ready to be asked."""

    item: Item
    dialogue: Dialogue
    """Up to the last turn that is heard."""
    recordings: tuple[Path, ...]
    """Of each turn of it."""

    @property
    def target(self) -> Turn:
        """The last turn."""
        return self.dialogue.turns[-1]


@dataclass(frozen=True)
class DialogueSet:
    """What a folder holds."""

    cases: tuple[Case, ...]
    """By language, Chinese first, and by task."""
    problems: tuple[Problem, ...]
    fingerprint: str
    """Of the items: sets with another are not to be compared."""
    files: tuple[Path, ...]
    """That the items and their dialogues are from."""


def read_set(folder: Path, limit: int | None = None, only: Collection[str] = ()) -> DialogueSet:
    """The set in a folder.

    Problems are what `read_dialogues` finds, items that are malformed or occur twice, whose dialogue, turn or
    recording is missing, that have no gold answer, or whose candidates do not hold the right one once.

    Args:
        limit: so many cases of each task and language at most, the first.
        only: the languages and tasks that are wanted, such as "en contrast"; none named takes all.

    Raises: DataError where there is no finished set, or nothing of it can be asked.
    """
    if not (folder / SET).is_file():
        raise DataError(
            f"{folder} is no finished set: {SET} is missing", "harken evaluate build-dialogues --out DIR"
        )
    sources = _sources(folder)
    dialogues, problems = _dialogues(sources)
    rows, broken = json_objects(folder / ITEMS)
    problems += broken
    cases: dict[str, Case] = {}
    for number, row in rows:
        case = _case(folder, number, row, dialogues)
        if isinstance(case, Case) and case.item.id in cases:
            case = Problem(folder / ITEMS, case.item.id, f"occurs again in line {number}")
        if isinstance(case, Problem):
            problems.append(case)
        else:
            cases[case.item.id] = case
    if not cases:
        first = f"; {problems[0]}" if problems else ""
        raise DataError(f"{folder} holds no item that can be asked{first}", "build the set again")
    groups = {" ".join(key): group for key, group in by_task(tuple(cases.values())).items()}
    if missing := sorted(set(only) - set(groups)):
        raise DataError(f"{folder} holds no {', '.join(missing)}", f"it holds: {', '.join(groups)}")
    chosen = tuple(case for name in only or groups for case in groups[name][:limit])
    fingerprint = hashlib.sha256((folder / ITEMS).read_bytes()).hexdigest()[:16]
    return DialogueSet(chosen, tuple(problems), fingerprint, (folder / ITEMS, *sources))


def by_task(cases: Sequence[Case]) -> dict[tuple[str, Task], list[Case]]:
    """(language, task) -> its cases, without those that have none."""
    found: dict[tuple[str, Task], list[Case]] = {(lang, task): [] for lang in LANGUAGES for task in TASKS}
    for case in cases:
        found[case.item.lang, case.item.task].append(case)
    return {key: group for key, group in found.items() if group}


def _sources(folder: Path) -> list[Path]:
    paths = [folder / f"{kind}-{lang}.jsonl" for kind in ("dialogues", "contrast") for lang in LANGUAGES]
    return [path for path in paths if path.is_file()]


def _dialogues(sources: Sequence[Path]) -> tuple[dict[str, Dialogue], list[Problem]]:
    found: dict[str, Dialogue] = {}
    problems: list[Problem] = []
    for path in sources:
        dialogues, broken = read_dialogues(path)
        problems += broken
        found |= {dialogue.dialogue_id: dialogue for dialogue in dialogues}
    return found, problems


def _case(folder: Path, number: int, row: dict[str, Any], dialogues: dict[str, Dialogue]) -> Case | Problem:
    path = folder / ITEMS
    try:
        item = _ITEM.validate_python(row)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"line {number} is no item: {'.'.join(map(str, first['loc']))}: {first['msg']}"
        return Problem(path, str(row.get("id")), what)
    dialogue = dialogues.get(item.dialogue_id)
    if dialogue is None:
        return Problem(path, item.id, f"its dialogue {item.dialogue_id} is missing")
    last = max((item.turn_id, *item.cause_turns)) if item.turn_id is not None else None
    heard = tuple(turn for turn in dialogue.turns if last is None or turn.turn_id <= last)
    if last is not None and (not heard or heard[-1].turn_id != last):
        return Problem(path, item.id, f"its dialogue {item.dialogue_id} has no turn {last}")
    if (fault := next(_faults(folder, item, heard), None)) is not None:
        return Problem(path, item.id, fault)
    recordings = tuple(folder / str(turn.split_audio_file) for turn in heard)
    return Case(item, replace(dialogue, turns=heard), recordings)


def _faults(folder: Path, item: Item, heard: Sequence[Turn]) -> Iterator[str]:
    if item.lang not in LANGUAGES:
        yield f"its language {item.lang!r} is not one of {', '.join(LANGUAGES)}"
    if item.task != "empathy":
        if not item.gold:
            yield "has no gold answer"
        if len(item.candidates) < 2:
            yield "has no candidates to choose from"
        if item.candidates.count(item.answer or "") != 1:
            yield f"its candidates hold the answer {item.candidates.count(item.answer or '')} times, not once"
    for turn in heard:
        if turn.split_audio_file is None or not (folder / turn.split_audio_file).is_file():
            yield f"turn {turn.turn_id}: the recording {turn.split_audio_file} is missing"
