"""Questions about recordings: what is asked, what answers it, and what is known of the voice.

They are read from JSON lines with `id, audio, question, answer, type, lang` and, where known, `label` (of E
and CE the emotion, of G and CG the gender), `emotion` and `gender`; or from what `harken data build` made
(`paralinguistic.built`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from harken.affect.labels import GENDERS, to_emotion
from harken.data.rows import Affect, Speaker, Turn
from harken.evaluation.asking.recordings import find
from harken.evaluation.language import LANGUAGES
from harken.evaluation.problems import Problem, json_objects
from harken.evaluation.systems.base import Question

Type = Literal["C", "CE", "CG", "E", "G"]
TYPES: tuple[Type, ...] = get_args(Type)
CONTEXTUAL: tuple[Type, ...] = ("C", "CE", "CG")
DIRECT: tuple[Type, ...] = ("E", "G")
"""What metadata about the voice give away."""

Metadata = Literal["none", "heard", "labelled"]
"""What a system is told of the voice beside the question: nothing, what a readout heard, or the labels."""

DATASET = "paralinguistic"


@dataclass(frozen=True)
class Item:
    """One question. `turns` are the conversation up to the turn that it is about, as far as known."""

    id: str
    question: str
    answer: str
    type: Type
    lang: str
    turns: tuple[Turn, ...]
    recordings: tuple[Path, ...]
    """Of each user's turn."""
    file: Path
    """That the question is from."""
    replies: tuple[str | None, ...] = ()
    """To each recording but the last."""

    @property
    def emotion(self) -> str | None:
        """The label of the turn asked about; None where there is none, or several."""
        labels = {affect.label for affect in self.turns[-1].affect}
        return labels.pop() if len(labels) == 1 else None

    @property
    def gender(self) -> str | None:
        """That of the speaker."""
        return self.turns[-1].speaker.gender

    @property
    def label(self) -> str | None:
        """What a direct question asks for; None for other types too."""
        return {"E": self.emotion, "G": self.gender}.get(self.type)

    def asked(self, instruction: str, spoken: bool) -> Question:
        """As it is put to a system."""
        return Question(DATASET, self.id, self.recordings, self.replies, instruction, spoken)


def read_lines(paths: Iterable[Path], root: Path, hears: bool) -> tuple[list[Item], list[Problem]]:
    """The questions of files of JSON lines, and what is wrong with the rest.

    Args: root: recordings may be named relative to it. hears: do recordings have to be there?
    """
    items: dict[str, Item] = {}
    problems: list[Problem] = []
    for path in paths:
        objects, faults = json_objects(path)
        problems += faults
        for number, row in objects:
            name = row.get("id")
            if not isinstance(name, str) or not name:
                problems.append(Problem(path, None, f"line {number} has no id"))
            elif name in items:
                problems.append(Problem(path, name, f"occurs again in line {number}"))
            else:
                item = _item(path, root, name, row, hears)
                if isinstance(item, Problem):
                    problems.append(item)
                    continue
                items[name] = item
                if unknown := _unknown_label(row, item):
                    problems.append(Problem(path, name, f"the label {unknown!r} is not known, and left out"))
    return list(items.values()), problems


def _item(path: Path, root: Path, name: str, row: Mapping[str, Any], hears: bool) -> Item | Problem:
    for field in ("audio", "question", "answer"):
        if not isinstance(row.get(field), str) or not row[field].strip():
            return Problem(path, name, f"has no {field}")
    if row.get("type") not in TYPES:
        return Problem(path, name, f"its type is none of {', '.join(TYPES)}")
    if row.get("lang") not in LANGUAGES:
        return Problem(path, name, f"its lang is none of {', '.join(LANGUAGES)}")
    recording = find(row["audio"], path, root)
    if recording is None and hears:
        return Problem(path, name, f"the recording {row['audio']} is missing")
    asked = cast(Type, row["type"])
    turn = Turn("user", "", speaker=Speaker(gender=_gender(row, asked)), affect=_affect(row, asked))
    place = recording or Path(row["audio"])
    return Item(name, row["question"], row["answer"], asked, row["lang"], (turn,), (place,), path)


def _affect(row: Mapping[str, Any], asked: Type) -> tuple[Affect, ...]:
    named = row.get("emotion") or (row.get("label") if asked in ("E", "CE") else None)
    label = to_emotion(named) if isinstance(named, str) else "other"
    return () if label == "other" else (Affect(label, "human"),)


def _gender(row: Mapping[str, Any], asked: Type) -> str | None:
    named = row.get("gender") or (row.get("label") if asked in ("G", "CG") else None)
    return named if named in GENDERS else None


def _unknown_label(row: Mapping[str, Any], item: Item) -> object:
    """The label of a row that says nothing."""
    known = item.gender if item.type in ("G", "CG") else item.emotion
    return row.get("label") if known is None and item.type != "C" else None
