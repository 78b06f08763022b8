"""How many a machine can speak to at once without pauses in what they hear: tried before anybody comes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from harken.api import Harken
from harken.dialogue.events import AudioChunk

SAID = "I had a long day, and nothing went as I had planned it."
MOST = 32
"""At once, however quick the machine is."""


def pace(harken: Harken, clock: Callable[[], float] = perf_counter) -> float | None:
    """Seconds that making a second of speech takes, once a reply has begun to be heard; None where nothing is
    said, or all of it at once. The first reply warms up, the second is timed.
    """
    found = None
    for _ in range(2):
        arrivals, lengths = [], []
        for event in harken.reply(SAID, think="off"):
            if isinstance(event, AudioChunk):
                arrivals.append(clock())
                lengths.append((event.end_ms - event.start_ms) / 1000)
        played_s = sum(lengths[:-1])  # while the last one is made
        found = (arrivals[-1] - arrivals[0]) / played_s if played_s else None
    return found


def sessions_at(pace: float | None) -> int:
    """So many may be spoken to at the same moment; one at least."""
    return MOST if pace is None else max(1, min(MOST, int(1 / max(pace, 1 / MOST))))
