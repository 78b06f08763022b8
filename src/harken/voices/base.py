"""What a voice is: text and a style in, chunks of sound out. The voices are in the modules beside this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Style:
    """How something is said, each as a factor on the voice's own manner."""

    speed: float = 1.0  # 2 = twice as fast
    prosody_scale: float = 1.0  # how far pitch and stress swing; 0 = flat
    gain: float = 1.0  # amplitude

    def __post_init__(self) -> None:
        if self.speed <= 0 or self.gain <= 0 or self.prosody_scale < 0:
            raise ValueError(f"speed and gain are above 0 and prosody_scale at least 0, not {self}")


NEUTRAL = Style()


@dataclass(frozen=True)
class TimedWord:
    """When a word was said, symbol by symbol."""

    start: int  # characters of the text
    end: int
    symbols: str  # the last one is a space: what parts it from the next word
    ends_s: tuple[float, ...]  # of each symbol, seconds into the sound


class Voice(Protocol):
    """Anything that speaks."""

    @property
    def name(self) -> str: ...

    @property
    def sample_rate(self) -> int:
        """Hz of what `speak` gives."""
        ...

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        """Float32 chunks (N,) within [-1, 1], sentence by sentence, so that sound starts before all is made.

        Text in which nothing can be spoken gives no chunks.
        """
        ...


@runtime_checkable
class TimedVoice(Voice, Protocol):
    """A voice that tells when it says what."""

    def speak_timed(self, text: str, style: Style = NEUTRAL) -> tuple[Samples, list[TimedWord]]:
        """All of a text at once, (N,), and its words; none where nothing in it can be spoken."""
        ...


def level(samples: Samples, gain: float) -> Samples:
    """`samples` times `gain`; where that would pass ±1 all is scaled down to fit rather than clipped."""
    peak = float(np.abs(samples).max(initial=0.0)) * gain
    return (samples * (gain if peak <= 1.0 else gain / peak)).astype(np.float32)
