"""Turns with an emotion, each to be replied to: JSON lines with `id, audio, emotion, text`, or the last such
turn of each dialogue in HumDial's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harken.errors import DataError
from harken.evaluation.asking.recordings import find
from harken.evaluation.humdial.dialogues import Dialogue, read_dialogues, target_turn
from harken.evaluation.language import Language, written_in
from harken.evaluation.problems import Problem, json_objects
from harken.evaluation.systems.base import Question

DATASET = "empathy"


@dataclass(frozen=True)
class Item:
    """One turn."""

    id: str
    text: str
    emotion: str
    recording: Path
    file: Path
    """That the turn is from."""

    @property
    def lang(self) -> Language:
        return written_in(self.text) or "en"

    @property
    def told(self) -> str:
        """As the judge reads it."""
        return f"User ({self.emotion}): {self.text}"

    def asked(self, spoken: bool) -> Question:
        """As it is put to a system, which hears nothing of what came before."""
        return Question(DATASET, self.id, (self.recording,), spoken=spoken)


def read_turns(data: Path, hears: bool, limit: int | None = None) -> tuple[list[Item], list[Problem]]:
    """The turns in a file or folder of JSON lines, and what is wrong with the rest.

    Problems are those of `read_dialogues`, dialogues without an emotion, fields and recordings that are
    missing, and ids that occur twice, where the first turn stays.

    Args: hears: do recordings have to be there? limit: so many at most, the first.
    Raises: DataError where there is no turn at all.
    """
    paths = [data] if data.is_file() else sorted(data.rglob("*.jsonl"))
    root = data.parent if data.is_file() else data
    items: dict[str, Item] = {}
    problems: list[Problem] = []
    for path in paths:
        for item in _turns(path, root, hears):
            if isinstance(item, Problem):
                problems.append(item)
            elif item.id in items:
                problems.append(Problem(path, item.id, "occurs again"))
            else:
                items[item.id] = item
    if not items:
        first = f"; {problems[0]}" if problems else ""
        raise DataError(
            f"{data} holds no turn that can be replied to{first}",
            "name dialogues in HumDial's form, or JSON lines with id, audio, emotion, text",
        )
    return list(items.values())[:limit], problems


def _turns(path: Path, root: Path, hears: bool) -> Iterator[Item | Problem]:
    objects, faults = json_objects(path)
    if any("turns" in row for _, row in objects):
        dialogues, faults = read_dialogues(path)
        yield from (_of_dialogue(path, root, dialogue, hears) for dialogue in dialogues)
    else:
        yield from (_of_line(path, root, number, row, hears) for number, row in objects)
    yield from faults


def _of_dialogue(path: Path, root: Path, dialogue: Dialogue, hears: bool) -> Item | Problem:
    try:
        turn = target_turn(dialogue, "last")
    except DataError:
        return Problem(path, dialogue.dialogue_id, "has no turn with an emotion other than neutral")
    if turn.split_audio_file is None:
        return Problem(path, dialogue.dialogue_id, f"turn {turn.turn_id} names no recording")
    return _item(
        path, root, (dialogue.dialogue_id, turn.text, turn.emotion or ""), turn.split_audio_file, hears
    )


def _of_line(path: Path, root: Path, number: int, row: Mapping[str, Any], hears: bool) -> Item | Problem:
    values = {name: row.get(name) for name in ("id", "text", "emotion", "audio")}
    texts = {name: value for name, value in values.items() if isinstance(value, str) and value.strip()}
    if lacking := [name for name in values if name not in texts]:
        return Problem(path, texts.get("id"), f"line {number} has no {lacking[0]}")
    return _item(path, root, (texts["id"], texts["text"], texts["emotion"]), texts["audio"], hears)


def _item(path: Path, root: Path, said: tuple[str, str, str], recording: str, hears: bool) -> Item | Problem:
    """Args: said: id, text, emotion."""
    place = find(recording, path, root)
    if place is None and hears:
        return Problem(path, said[0], f"the recording {recording} is missing")
    return Item(*said, place or Path(recording), path)
