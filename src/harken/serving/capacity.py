"""How many a machine can speak to at once without pauses in what they hear: tried before anybody comes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from harken.api import Harken
from harken.dialogue.events import AudioChunk

SAID = "I had a long day, and nothing went as I had planned it."
SHARE = 0.8
"""Of the time, for speech; the rest is for hearing the others."""
MOST = 32
"""At once, however quick the machine is, and where nothing is spoken."""


def pace(harken: Harken, clock: Callable[[], float] = perf_counter) -> float | None:
    """Seconds that making a second of speech takes, once a reply has begun to be heard, or of all of it where
    it comes in one piece; None where nothing is spoken. The first reply warms up, the second is timed.
    """
    found = None
    for _ in range(2):
        arrivals, lengths = [clock()], [0.0]
        for event in harken.reply(SAID, think="off"):
            if isinstance(event, AudioChunk):
                arrivals.append(clock())
                lengths.append((event.end_ms - event.start_ms) / 1000)
        first = min(1, len(lengths) - 2)
        if first >= 0:
            found = (arrivals[-1] - arrivals[first]) / sum(lengths[first + 1 :])
    return found


def sessions_at(pace: float | None) -> int:
    """So many may be spoken to at the same moment; one at least."""
    return MOST if pace is None else max(1, min(MOST, int(SHARE / max(pace, SHARE / MOST))))
