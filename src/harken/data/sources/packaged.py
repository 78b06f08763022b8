"""Dialogues that come with the package: `harken/data/starter/*.jsonl` and `harken/data/listening/*.jsonl`.

Each has `id, lang, topic` and turns of `user` and `assistant`; a user's turn has its emotion and, unless that
is neutral, words of this or an earlier turn of the user that say why. A dialogue may say its `split`, train
or dev; it is train where it does not. Every turn of a user gives a row. Files are read by turns, so that the
first few rows are of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from itertools import zip_longest
from typing import Any

from harken.data.rows import Row
from harken.data.sources.base import Place, Source, Unread, Unusable, affect_of, items_to_rows
from harken.data.sources.conversations import Line, dialogue_rows
from harken.data.sources.hub import list_files
from harken.data.sources.json_items import json_items
from harken.errors import DataError

_TURNS = ("all", "last")


def read(place: Place) -> Iterator[Row | Unread]:
    """The rows of the dialogues in the package, or of others of that form in a folder."""
    found = list_files(place.path or str(files("harken.data") / place.source.name), "*.jsonl")
    rounds = zip_longest(*map(json_items, found))
    items = (item for one_of_each in rounds for item in one_of_each if item is not None)
    turns = place.options.get("turns", "all")
    if turns not in _TURNS:
        raise DataError(f"turns {turns!r} of source {place.source.name!r}", f"one of: {', '.join(_TURNS)}")
    chosen = slice(None) if turns == "all" else slice(-1, None)
    return items_to_rows(items, lambda data: _rows(place.source, data)[chosen])


def lines_of(data: dict[str, Any]) -> list[Line]:
    """The lines of a dialogue. Raises Unusable where it is not of the packaged dialogues' form."""
    lines: list[Line] = []
    for number, turn in enumerate(data["turns"], 1):
        speaker, text = turn["speaker"], turn["text"].strip()
        if speaker not in ("user", "assistant"):
            raise Unusable("label outside the set", f"speaker {speaker!r}")
        if lines and lines[-1].speaker == speaker:
            raise Unusable("not of the source's form", f"turn {number}: {speaker} speaks twice in a row")
        line = Line(number, speaker, text)
        if speaker == "user":
            affect = affect_of(turn["emotion"], "human")
            line = Line(number, speaker, text, affect, _causes(turn, [*lines, line]))
        lines.append(line)
    return lines


def _rows(source: Source, data: dict[str, Any]) -> list[Row]:
    lines = lines_of(data)
    lang = data["lang"]
    if lang not in source.langs:
        raise Unusable("other language", lang)
    split = data.get("split", "train")
    if split not in ("train", "dev"):
        raise Unusable("label outside the set", f"split {split!r}")
    return list(
        dialogue_rows(
            source, data["id"], lines, lang, group=data["id"], split=split, user="user", unanswered=True
        )
    )


def _causes(turn: dict[str, Any], lines: list[Line]) -> tuple[tuple[int, str], ...]:
    """Where the words of the cause were said last. Raises Unusable where they were not, or are wanting."""
    if "cause" not in turn:
        if turn["emotion"] != "neutral":
            raise Unusable("lacks a field", f"turn {lines[-1].number}: cause")
        return ()
    for line in reversed(lines):
        if line.speaker == "user" and turn["cause"] in line.text:
            return ((line.number, turn["cause"]),)
    raise Unusable("cause is not in the dialogue", turn["cause"])


def _source(name: str, about: str, *langs: str) -> Source:
    return Source(
        name=name,
        about=about,
        licence="CC0-1.0",
        shippable=True,
        langs=langs,
        form_of=f"harken/data/{name}/README.md of this version of Harken",
        url="https://creativecommons.org/publicdomain/zero/1.0/",
        read=read,
        options={"turns": "all: a row for each turn of the user, or last: one a dialogue"},
    )


SOURCES = (
    _source("starter", "200 short dialogues written for Harken, with emotions and their causes", "en", "zh"),
    _source(
        "listening", "1,392 dialogues written for Harken in which each reply takes up what was said", "en"
    ),
)
