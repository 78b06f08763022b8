"""What happens during a reply, as it happens: the one stream that command line, server and evaluation read.

`Heard` comes first and `Done` last. Text and audio are never held back for attribution or trace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Heard:
    """What the model made of the user's turn."""

    emotion: str
    scores: dict[str, float]  # label -> probability
    gender: str | None
    transcript: str | None
    confidence: float  # mean probability of the heard words, 0 to 1
    seconds: float
    words_from_s: float = 0.0  # > 0 where the core reads only the end of a very long recording


@dataclass(frozen=True)
class TextDelta:
    """The next piece of the reply's text."""

    text: str


@dataclass(frozen=True)
class AudioChunk:
    """The next piece of the reply's sound; the text up to `text_end` is spoken when it has been played."""

    samples: NDArray[np.float32]  # (N,)
    sample_rate: int
    start_ms: float
    end_ms: float
    text_end: int  # characters of the reply's text


@dataclass(frozen=True)
class TraceDelta:
    """The next piece of what the model thinks; never spoken."""

    text: str


@dataclass(frozen=True)
class ReflectionDelta:
    """The next piece of what the model reflects on between two chunks of its reply; never spoken."""

    text: str


Limit = Literal["length", "playback", "context"]
"""What set the length that a reflection could have: the recipe, the sound that was ahead, or the context."""


@dataclass(frozen=True)
class Reflected:
    """A chunk of the reply is written: the reflection after it, whole, or why there was none."""

    text: str
    tokens: int
    allowed: int  # tokens; 0 where there was no time or no room
    limit: Limit
    closed: bool  # by the model; else it was cut
    ahead_ms: float | None  # sound that was there and not played; None where nothing waits for it
    reserve_ms: float | None  # how much of that had to stay
    tokens_per_s: float  # measured in this reply


@dataclass(frozen=True)
class Attribution:
    """How the speaker feels and why, as the trace states it; None where it states nothing."""

    emotion: str | None
    cause: str | None


@dataclass(frozen=True)
class Notice:
    """Something that the user should know: a language the model does not speak, turns that no longer fit."""

    text: str


@dataclass(frozen=True)
class Done:
    """The whole turn, and how long it took; times run from the moment the last input sample was available."""

    reply: str
    trace: str
    attribution: Attribution
    timings_ms: dict[str, float] = field(default_factory=dict)  # first_text, first_audio, total


Event = (
    Heard | TextDelta | AudioChunk | TraceDelta | ReflectionDelta | Reflected | Attribution | Notice | Done
)
