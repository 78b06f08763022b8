"""What a voice is: text and a style in, chunks of sound out. The voices are in the modules beside this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

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


def level(samples: Samples, gain: float) -> Samples:
    """`samples` times `gain`; where that would pass ±1 all is scaled down to fit rather than clipped."""
    peak = float(np.abs(samples).max(initial=0.0)) * gain
    return (samples * (gain if peak <= 1.0 else gain / peak)).astype(np.float32)
