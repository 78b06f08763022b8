"""What a session hears: the stream of the client's sound, what of it is kept for the next turn, and when
turns begin and end in it.

Positions are samples at 16 kHz since the stream began.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import numpy as np

from harken.audio.io import SAMPLE_RATE_HZ, Samples
from harken.serving.settings import Settings, TurnDetection
from harken.serving.sound import Ears
from harken.serving.turns import WINDOW, Probability, Started, Stopped, TurnDetector
from harken.serving.wire import Refused

SHORTEST_S = 0.1
SLICE = 16 * WINDOW
"""Judged before others have their turn on the event loop."""
LONG_TEXT = 1 << 16
"""Sound whose base64 is longer is decoded beside the event loop."""


def milliseconds(position: int) -> int:
    """Of a position."""
    return 1000 * position // SAMPLE_RATE_HZ


class Listening:
    """The buffer of one session."""

    def __init__(self, settings: Settings, open_vad: Callable[[], Probability], most_s: float) -> None:
        """Args: most_s: how much is kept at most."""
        self.position = 0
        self._most = int(most_s * SAMPLE_RATE_HZ)
        self._open_vad = open_vad
        self._kept: list[Samples] = []
        self._kept_from = 0
        self._ears = Ears(settings.hears)
        self._turns: TurnDetection | None = None
        self._detector: TurnDetector | None = None
        self.set(settings)

    def set(self, settings: Settings) -> None:
        """Go on by new settings."""
        if settings.hears != self._ears.form:
            self._ears = Ears(settings.hears)
        if settings.turns != self._turns:
            self._turns = settings.turns
            self._watch()

    async def append(self, audio: str) -> AsyncIterator[Started | Stopped]:
        """Take in base64, and tell where turns begin and end in it. Raises Refused where it is too much."""
        form = self._ears.form
        length = (
            len(audio) * 3 // 4 // (2 if form.kind == "audio/pcm" else 1) * SAMPLE_RATE_HZ // form.rate_hz
        )
        held = self.position - self._kept_from if self._detector is None else 0
        if held + length > self._most:
            raise Refused(
                f"the buffer holds {self._most // SAMPLE_RATE_HZ} s of sound: commit or clear it before more",
                "input_audio_buffer_full",
            )
        if len(audio) > LONG_TEXT:
            samples = await asyncio.to_thread(self._ears.hear, audio)
        else:
            samples = self._ears.hear(audio)
        for start in range(0, len(samples), SLICE):
            for turn in self._hear(samples[start : start + SLICE]):
                yield turn
            if start:
                await asyncio.sleep(0)

    def take(self, begin: int, end: int) -> Samples:
        """The samples (N,) between two positions; what was before them is let go, too."""
        samples = np.concatenate([np.zeros(0, np.float32), *self._kept])
        begin, end = max(begin - self._kept_from, 0), end - self._kept_from
        self._kept, self._kept_from = [samples[end:]], self._kept_from + min(end, len(samples))
        return samples[begin:end]

    def padded(self, started: int) -> int:
        """Where a turn begins whose speech began there."""
        padding = self._turns.prefix_padding_ms * SAMPLE_RATE_HZ // 1000 if self._turns else 0
        return max(started - padding, self._kept_from)

    def commit(self) -> Samples:
        """All that is kept, (N,). Raises Refused where that is nothing."""
        self._keep(self._ears.end())
        if self.position - self._kept_from < SHORTEST_S * SAMPLE_RATE_HZ:
            raise Refused(
                f"the buffer holds less than {1000 * SHORTEST_S:.0f} ms of sound",
                "input_audio_buffer_commit_empty",
            )
        self._watch()
        return self.take(self._kept_from, self.position)

    def clear(self) -> None:
        """Let go of all that is kept."""
        self._kept, self._kept_from = [], self.position
        self._ears = Ears(self._ears.form)
        self._watch()

    def _watch(self) -> None:
        """Look for a new turn from here on."""
        self._detector = None
        if (turns := self._turns) is not None:
            judge, silence_ms = self._open_vad(), turns.silence_duration_ms
            self._detector = TurnDetector(judge, turns.threshold, silence_ms, self.position)

    def _hear(self, samples: Samples) -> list[Started | Stopped]:
        self._keep(samples)
        if self._detector is None:
            return []
        told = self._detector.hear(samples)
        if self._detector.speaking and self.position - self._kept_from > self._most:
            told.append(self._detector.stop())
        if not self._detector.speaking and not told:
            self._keep_padding()
        return told

    def _keep(self, samples: Samples) -> None:
        """Short pieces become one, so that many of them take no more room than few."""
        self.position += len(samples)
        if self._kept and len(self._kept[-1]) + len(samples) <= SLICE:
            samples = np.concatenate([self._kept.pop(), samples])
        self._kept.append(samples.copy())

    def _keep_padding(self) -> None:
        """Before speech only so much is kept as a turn begins with."""
        assert self._turns is not None
        keep = self._turns.prefix_padding_ms * SAMPLE_RATE_HZ // 1000 + 2 * WINDOW
        while self._kept and self.position - self._kept_from - len(self._kept[0]) >= keep:
            self._kept_from += len(self._kept.pop(0))
