"""HumDial's dialogues: JSON lines of turns with the emotion they were said in, and a system's replies.

The field names are the challenge's own. Tags such as `[sigh]` are part of a turn's text. Asking a system for
its replies, and judging them, is left to others.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harken.data.files import write_text
from harken.errors import DataError
from harken.evaluation.problems import Problem, json_objects

Reading = Literal["second", "last"]
"""Which turn with an emotion task 3 judges the reply to: the second, as the official script has it, or the
last, as the official guide says. They differ in dialogues with three or more."""

EXCLUDED = ("task2_4_en_0002_0014",)
EXCLUDED_PREFIXES = ("task2_3_zh_0015", "task2_4_zh_0015", "task2_5_zh_0015")
"""Test dialogues that the challenge withdrew."""


@dataclass(frozen=True)
class Turn:
    """What the user said, and what a system replied. None is what the file does not say."""

    turn_id: int
    text: str
    emotion: str | None = None
    """As annotated; the challenge has no list of them."""
    split_audio_file: str | None = None
    """The recording of the turn, as the file names it."""
    response_text: str | None = None
    response_audio: str | None = None

    @property
    def emotional(self) -> bool:
        """Whether an emotion is given and is not neutral."""
        return self.emotion is not None and self.emotion.strip().lower() != "neutral"


@dataclass(frozen=True)
class Dialogue:
    """Turns in the order of the file."""

    dialogue_id: str
    turns: tuple[Turn, ...]


def excluded(dialogue_id: str) -> bool:
    """Whether the challenge withdrew a dialogue of its test set: it is neither judged nor handed in."""
    return dialogue_id in EXCLUDED or dialogue_id.startswith(EXCLUDED_PREFIXES)


def read_dialogues(path: Path) -> tuple[list[Dialogue], list[Problem]]:
    """The dialogues of a file, and what is wrong with the rest of it.

    Problems are lines that are no JSON object, fields that are missing or of the wrong type, dialogues
    without turns, turn ids that occur twice in a dialogue, and dialogue ids that occur twice, where the first
    dialogue stays. `input_text` and `input_emotion`, where given, are read for `text` and `emotion`.

    Raises: DataError where the file is missing or cannot be read.
    """
    objects, problems = json_objects(path)
    dialogues: dict[str, Dialogue] = {}
    for number, row in objects:
        name = row.get("dialogue_id")
        if not isinstance(name, str) or not name:
            problems.append(Problem(path, None, f"line {number} has no dialogue_id"))
        elif name in dialogues:
            problems.append(Problem(path, name, f"occurs again in line {number}"))
        else:
            try:
                dialogues[name] = Dialogue(name, _turns(row.get("turns")))
            except ValueError as error:
                problems.append(Problem(path, name, str(error)))
    return list(dialogues.values()), problems


def write_dialogues(path: Path, dialogues: Iterable[Dialogue]) -> None:
    """Write dialogues as `read_dialogues` reads them, whole or not at all; what is None is left out.

    Raises: DataError where the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(json.dumps(_row(d), ensure_ascii=False) + "\n" for d in dialogues))
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}", "name another place") from None


def target_turn(dialogue: Dialogue, reading: Reading) -> Turn:
    """The turn whose reply task 3 judges.

    Raises: DataError where the dialogue has too few turns with an emotion other than neutral: two are needed
        for the second, one for the last.
    """
    emotional = [turn for turn in dialogue.turns if turn.emotional]
    needed = {"second": 2, "last": 1}[reading]
    if len(emotional) < needed:
        raise DataError(
            f"{dialogue.dialogue_id}: too few turns with an emotion other than neutral: "
            f"{len(emotional)}, not {needed}",
            "label the emotions of its turns, or leave it out",
        )
    return emotional[1] if reading == "second" else emotional[-1]


def _turns(rows: object) -> tuple[Turn, ...]:
    if not isinstance(rows, list) or not rows:
        raise ValueError("has no turns")
    turns = tuple(_turn(row, f"turn {place} of the list") for place, row in enumerate(rows, 1))
    ids = [turn.turn_id for turn in turns]
    if doubled := sorted({name for name in ids if ids.count(name) > 1}):
        raise ValueError(f"turn_id {', '.join(map(str, doubled))} occurs more than once")
    return turns


def _turn(row: object, where: str) -> Turn:
    if not isinstance(row, dict):
        raise ValueError(f"{where} is not an object")
    number = row.get("turn_id")
    if isinstance(number, str) and number.isdecimal():
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"{where} has no turn_id")
    text = _text(row, where, "input_text", "text")
    if text is None:
        raise ValueError(f"{where} has no text")
    return Turn(
        number,
        text,
        _text(row, where, "input_emotion", "emotion"),
        _text(row, where, "split_audio_file"),
        _text(row, where, "response_text"),
        _text(row, where, "response_audio"),
    )


def _text(row: dict[str, Any], where: str, *names: str) -> str | None:
    """The first of the fields `names` that says something."""
    for name in names:
        if (value := row.get(name)) not in (None, ""):
            if not isinstance(value, str):
                raise ValueError(f"{where}: {name} is not text")
            return value
    return None


def _row(dialogue: Dialogue) -> dict[str, object]:
    turns = [{k: v for k, v in asdict(turn).items() if v is not None} for turn in dialogue.turns]
    return {"dialogue_id": dialogue.dialogue_id, "turns": turns}
