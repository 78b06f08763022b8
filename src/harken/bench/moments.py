"""When things happen in one spoken reply, counted from the last input sample, and how its sound would play.

A player starts with the first chunk and plays each next one as soon as it is there and the one before is
over. The first *audible* sound is 20 ms above -45 dB of full scale: silence at the start counts as waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from harken.audio.silence import audible_s
from harken.dialogue.events import AudioChunk, Done, Event, TextDelta

LATE_S = 0.001


@dataclass
class Moments:
    """One reply, in seconds."""

    first_text_s: float | None = None
    arrivals_s: list[float] = field(default_factory=list)
    """Of each chunk."""
    chunks: list[AudioChunk] = field(default_factory=list)
    total_s: float = 0.0
    text: str = ""

    @property
    def first_chunk_s(self) -> float | None:
        return self.arrivals_s[0] if self.arrivals_s else None

    @property
    def starts_s(self) -> list[float]:
        """When each chunk starts to play."""
        starts: list[float] = []
        over = 0.0
        for arrival, chunk in zip(self.arrivals_s, self.chunks, strict=True):
            starts.append(max(arrival, over))
            over = starts[-1] + len(chunk.samples) / chunk.sample_rate
        return starts

    @property
    def underruns(self) -> int:
        """Chunks that came after the one before was over."""
        starts = self.starts_s
        lengths = [len(chunk.samples) / chunk.sample_rate for chunk in self.chunks]
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
        return sum(start > end + LATE_S for start, end in zip(starts[1:], ends[:-1], strict=True))

    @property
    def audible_s(self) -> float | None:
        """When the first sound is heard; None where none ever is."""
        for start, chunk in zip(self.starts_s, self.chunks, strict=True):
            found = audible_s(chunk.samples, chunk.sample_rate)
            if found is not None:
                return start + found[0]
        return None

    @property
    def seconds(self) -> float:
        """Of sound."""
        return sum(len(chunk.samples) / chunk.sample_rate for chunk in self.chunks)

    @property
    def real_time_factor(self) -> float | None:
        """Time until all sound was made, over its length."""
        return self.arrivals_s[-1] / self.seconds if self.seconds else None

    def samples(self) -> NDArray[np.float32]:
        """All sound, (N,)."""
        return np.concatenate([np.zeros(0, np.float32), *(chunk.samples for chunk in self.chunks)])


def moments(events: Iterator[Event]) -> Moments:
    """Run a reply to its end. Args: events: not begun yet; the clock starts now."""
    begun, found = perf_counter(), Moments()
    for event in events:
        now_s = perf_counter() - begun
        match event:
            case TextDelta():
                found.first_text_s = now_s if found.first_text_s is None else found.first_text_s
                found.text += event.text
            case AudioChunk():
                found.arrivals_s.append(now_s)
                found.chunks.append(event)
            case Done():
                found.total_s = now_s
    return found
