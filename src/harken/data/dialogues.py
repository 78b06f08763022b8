"""Annotated text dialogues (JSONL, plain or gzipped): turns with emotions and, where annotated, causes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harken.data.files import json_rows
from harken.errors import DataError


@dataclass(frozen=True)
class Utterance:
    """One turn of a dialogue."""

    number: int
    speaker: str
    text: str
    emotion: str | None
    causes: tuple[str, ...]
    """Annotated cause spans, each found in the dialogue so far; empty where none or only background."""


@dataclass(frozen=True)
class Dialogue:
    """Turns in order; dialogues of one group share a source and stay in one split."""

    id: str
    split: str
    group: str
    turns: tuple[Utterance, ...]

    def before(self, number: int) -> tuple[Utterance, ...]:
        """The turns before turn `number`."""
        return tuple(turn for turn in self.turns if turn.number < number)


def read_dialogues(path: Path) -> list[Dialogue]:
    """Dialogues with `turns[{turn, speaker, text, emotion?, cause_spans?}]`, one JSON object a line.

    Raises:
        DataError: the file is missing or torn, or a row is not of that form (the message names it).
    """
    if not path.exists():
        raise DataError(f"{path} does not exist", "name a JSONL file of annotated dialogues")
    dialogues = []
    for number, row in json_rows(path):
        try:
            turns = tuple(
                Utterance(
                    t["turn"], t["speaker"], t["text"], t.get("emotion"),
                    tuple(span for span in t.get("cause_spans", ()) if span != "b"),
                )
                for t in row["turns"]
            )  # fmt: skip
            dialogues.append(Dialogue(row["id"], row["split"], row["group"], turns))
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path} row {number}: {error!r}", "each row needs id, split, group, turns"
            ) from None
    return dialogues
