"""What a system is told of the voice beside a question: emotion and gender, as labelled or as a readout heard
them, in the words in which `harken data build` writes them for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from harken.audio.io import read
from harken.data.labelers.base import Labeler, Reading
from harken.data.rows import Affect, Speaker, Turn
from harken.data.steps.paralinguistic_clip import with_metadata
from harken.data.steps.paralinguistic_templates import GENDER
from harken.errors import HarkenError
from harken.evaluation.paralinguistic.items import Item
from harken.evaluation.progress import steps

_SPEAKER = {"en": "Speaker: {}", "zh": "说话人：{}"}


def told(item: Item) -> str:
    """The question and, as far as known, a line on how the voice sounds and one on whose it is."""
    text = with_metadata(item.question, item.turns, item.lang)
    if item.gender is None:
        return text
    return f"{text}\n{_SPEAKER[item.lang].format(GENDER[item.lang][item.gender])}"


def as_heard(items: Sequence[Item], labeler: Labeler) -> list[Item]:
    """The items with what a labeler hears in the place of their labels; nothing where it cannot."""

    @cache
    def reading(recording: Path) -> Reading | None:
        try:
            (found,) = labeler.label([read(recording)])
        except HarkenError:  # counted as a question without metadata
            return None
        return None if isinstance(found, HarkenError) else found

    return [_heard(item, [reading(place) for place in item.recordings]) for item in steps(items, "hearing")]


def _heard(item: Item, readings: Sequence[Reading | None]) -> Item:
    left = iter(readings)
    turns = [_with(turn, next(left)) if turn.role == "user" else turn for turn in item.turns]
    return replace(item, turns=tuple(turns))


def _with(turn: Turn, reading: Reading | None) -> Turn:
    if reading is None or reading.label == "other":
        affect: tuple[Affect, ...] = ()
    else:
        affect = (Affect(reading.label, "model", reading.confidence),)
    return replace(turn, affect=affect, speaker=Speaker(gender=reading.gender if reading else None))
