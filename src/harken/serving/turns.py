"""When a turn of the user's begins and ends: from how likely each 32 ms are speech (silero-VAD) to moments in
the stream. What follows from them is `session`'s.

Shapes: N samples at 16 kHz.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harken.audio.io import Samples
from harken.errors import MissingExtra

WINDOW = 512
"""Samples that are judged at once, 32 ms."""
HYSTERESIS = 0.15
"""Speech goes on until it is so much less likely than it had to be to begin."""
Probability = Callable[[Samples], float]
"""(WINDOW,) samples, the next of a stream -> how likely they are speech."""


@dataclass(frozen=True)
class Started:
    """The user speaks. `at`: samples from the start of the stream."""

    at: int


@dataclass(frozen=True)
class Stopped:
    """The user has been quiet for long enough. `at`: samples from the start of the stream, up to now."""

    at: int


def open_vad() -> Callable[[], Probability]:
    """Gives a judge for each new stream; they share one model. Raises MissingExtra."""
    import torch

    threads = torch.get_num_threads()
    try:
        from silero_vad import load_silero_vad
    except ImportError as error:
        raise MissingExtra("turn detection", "serve") from error
    torch.set_num_threads(threads)  # importing it leaves torch, and so the model, one thread
    shared = load_silero_vad(onnx=True)

    def stream() -> Probability:
        judge = copy.copy(shared)
        judge.reset_states()
        return lambda samples: float(judge(torch.from_numpy(samples), 16_000))

    return stream


class TurnDetector:
    """Follows one stream."""

    def __init__(self, probability: Probability, threshold: float, silence_ms: int, at: int = 0) -> None:
        """Args: at: where in the stream it begins."""
        self.speaking = False
        self._probability = probability
        self._threshold, self._silence = threshold, silence_ms * 16
        self._at = at  # samples that were judged
        self._quiet_from: int | None = None
        self._rest: Samples = np.zeros(0, np.float32)

    def hear(self, samples: Samples) -> list[Started | Stopped]:
        """What the next samples (N,) tell."""
        told: list[Started | Stopped] = []
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // WINDOW * WINDOW
        self._rest = samples[whole:]
        for start in range(0, whole, WINDOW):
            told += self._judge(self._probability(samples[start : start + WINDOW]))
        return told

    def stop(self) -> Stopped:
        """The turn is over in any case."""
        self.speaking, self._quiet_from = False, None
        return Stopped(self._at)

    def _judge(self, probability: float) -> list[Started | Stopped]:
        begun, self._at = self._at, self._at + WINDOW
        if probability >= self._threshold:
            self._quiet_from = None
            if not self.speaking:
                self.speaking = True
                return [Started(begun)]
        elif self.speaking and (self._quiet_from is not None or probability < self._threshold - HYSTERESIS):
            self._quiet_from = begun if self._quiet_from is None else self._quiet_from
            if self._at - self._quiet_from >= self._silence:
                return [self.stop()]
        return []
