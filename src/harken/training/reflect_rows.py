"""Rows of task "reflect" of a built data set: replies with what is thought of them while they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harken.data.rows import Reflection, Row
from harken.data.shards import read_rows
from harken.errors import DataError
from harken.training.affect_rows import Talk, talks
from harken.training.states import CachedClip


@dataclass(frozen=True)
class Reflecting:
    """A conversation, and what is thought of the reply while it is given."""

    talk: Talk
    reflections: tuple[Reflection, ...]
    given: int
    """Characters of the reply that were said already, weakly: read, and not learned."""
    rejected: str | None
    """A weaker reply."""

    @property
    def id(self) -> str:
        return self.talk.id

    @property
    def split(self) -> str:
        return self.talk.split


def reflect_rows(folder: Path, languages: Sequence[str]) -> list[Row]:
    """The rows of task "reflect" in some languages.

    Raises: DataError where `folder` is no data set, has no such row of split train, or one whose reflections
    are not places of its reply in their order.
    """
    rows = [
        row for row in read_rows(folder) if row.task == "reflect" and row.lang in languages and row.target
    ]
    if not any(row.split == "train" for row in rows):
        raise DataError(
            f"{folder} holds no row of task reflect and split train in {', '.join(languages)}",
            "build some: harken data build reflect",
        )
    for row in rows:
        places = [0, *(reflection.at for reflection in row.reflections), len(row.target or "")]
        if places != sorted(places) or not 0 <= row.given < len(row.target or ""):
            raise DataError(
                f"{folder}: the reflections of row {row.id} are not places of its reply, in their order",
                "build it again: harken data build reflect",
            )
    return rows


def reflecting(rows: Sequence[Row], clips: Mapping[str, CachedClip]) -> list[Reflecting]:
    """The rows as conversations. Args: clips: by the name of the recording in its tar."""
    return [
        Reflecting(talk, row.reflections, row.given, row.rejected)
        for row, talk in zip(rows, talks(rows, clips), strict=True)
    ]
