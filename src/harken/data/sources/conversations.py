"""From a dialogue to source rows: one for each turn of a user that is answered, with what came before.

What one speaker says in a row is one turn. It keeps an annotated emotion where its parts agree, and the
causes that are in the turns the row has. Where dialogues come from is left to the sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from harken.data.rows import Affect, Cause, Row, Speaker, Turn
from harken.data.sources.base import Source, said

NOBODY = Speaker()

HISTORY = 4
"""Turns before the user's that a row has at most."""


@dataclass(frozen=True)
class Line:
    """What somebody says in a dialogue, as annotated."""

    number: int
    speaker: str
    text: str
    affect: tuple[Affect, ...] = ()
    causes: tuple[tuple[int, str], ...] = ()  # (the line's number, words in it)
    who: Speaker = NOBODY


@dataclass(frozen=True)
class Run:
    """Lines of one speaker that follow each other."""

    speaker: str
    text: str
    numbers: tuple[int, ...]
    affect: tuple[Affect, ...]
    causes: tuple[tuple[int, str], ...]
    who: Speaker


def dialogue_rows(
    source: Source,
    key: str,
    lines: Sequence[Line],
    lang: str,
    *,
    group: str | None = None,
    split: str = "train",
    user: str | None = None,
    unanswered: bool = False,
    licence: str | None = None,
) -> Iterator[Row]:
    """The rows of one dialogue; the answer that was given is the target.

    Args:
        user: the speaker who is the user; by default anybody, each in their own turns.
        unanswered: gives a row for a last turn of the user's too, without a target.

    Raises:
        Unusable: a line is empty or in another language.
    """
    said_in_a_row = runs(lines, lang)
    for index, run in enumerate(said_in_a_row):
        answer = said_in_a_row[index + 1].text if index + 1 < len(said_in_a_row) else None
        if (user is not None and run.speaker != user) or (answer is None and not unanswered):
            continue
        window = said_in_a_row[max(0, index - HISTORY) : index + 1]
        turns = [_turn(each, run.speaker, window) for each in window]
        numbered = f"{key}-t{run.numbers[-1]}"
        yield source.row(
            numbered,
            turns,
            lang,
            group=group or f"{source.name}-{key}",
            split=split,
            target=answer,
            licence=licence,
        )


def runs(lines: Sequence[Line], lang: str) -> list[Run]:
    """What each speaker says without a break.

    Raises: Unusable where a line is empty or in another language.
    """
    whole = [replace(line, text=said(line.text, lang)) for line in lines]
    return [_run(list(together), lang) for _, together in groupby(whole, key=lambda line: line.speaker)]


def _run(parts: Sequence[Line], lang: str) -> Run:
    labels = {line.affect for line in parts if line.affect}
    return Run(
        parts[0].speaker,
        ("，" if lang == "zh" else " ").join(line.text for line in parts),
        tuple(line.number for line in parts),
        labels.pop() if len(labels) == 1 else (),
        tuple(cause for line in parts for cause in line.causes),
        parts[-1].who,
    )


def _turn(run: Run, user: str, window: Sequence[Run]) -> Turn:
    """A run as a turn of the row whose turns are `window`."""
    causes = (
        Cause(index, span)
        for number, span in run.causes
        for index, other in enumerate(window)
        if number in other.numbers and span in other.text
    )
    return Turn(
        "user" if run.speaker == user else "assistant",
        run.text,
        speaker=run.who,
        affect=run.affect,
        cause=tuple(dict.fromkeys(causes)),
    )
