"""Dialogues on a report's page: what was said, replied and scored, with the sound in the page itself.

Recordings become Ogg Opus at 24 kHz. One that cannot be heard is named on the page, not left out in silence.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harken.audio.io import encode, read
from harken.errors import InputError

SAMPLE_RATE_HZ = 24_000
LONGEST_CLIP_S = 60.0


@dataclass(frozen=True)
class ExampleTurn:
    """What the user said, and what was replied. None is what there is not."""

    text: str
    emotion: str | None = None
    """As annotated."""
    recording: Path | None = None
    reply: str | None = None
    reply_recording: Path | None = None
    scored: bool = False
    """Is it the reply that the scores are for?"""


@dataclass(frozen=True)
class Example:
    """One dialogue."""

    name: str
    language: str
    about: str
    """What was asked of the system, in a word or two."""
    turns: tuple[ExampleTurn, ...]
    facts: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """What else there is to read, such as the gold answer, by what it is."""
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """By dimension; None where it is unscored."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """The judge's, by dimension."""
    comment: str = ""
    """The judge's, on the whole."""


@dataclass(frozen=True)
class Clip:
    """A recording on the page: a data URI, or why there is none."""

    uri: str = ""
    fault: str = ""


def clip(recording: Path) -> Clip:
    """A recording as it is put into the page, its first minute where it is longer."""
    try:
        samples = read(recording, recording.name, SAMPLE_RATE_HZ).samples
    except InputError as error:
        return Clip(fault=error.message)
    sound = encode(samples[: int(LONGEST_CLIP_S * SAMPLE_RATE_HZ)], SAMPLE_RATE_HZ, "opus")
    return Clip(f"data:audio/ogg;base64,{base64.b64encode(sound).decode()}")
