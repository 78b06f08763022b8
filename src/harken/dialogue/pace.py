"""How long a reply may fall silent without anybody hearing it: what a reflection can hide behind.

Sound is made faster than it is played, so while a reply is spoken some of it lies ahead. With a seconds
ahead, g seconds the longest that this reply took to make more sound, and d tokens read a second, all of them
measured, there is time for (a - MARGIN g) d tokens. docs/reflection.md says where that comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from harken.dialogue.playback import Playback

MARGIN = 1.5
"""So many times the longest wait for sound stays ahead: the next sound may take longer than any before."""


class Pace:
    """One reply's."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.clock = clock
        self._playback = Playback()
        self._tokens, self._reading_s = 0, 0.0
        self._last_s = clock()  # when there was sound last; at first, when writing began
        self._aside_s = 0.0  # since then, spent reflecting
        self._wait_s = 0.0  # the longest between two sounds, reflecting left out

    def read(self, tokens: int, seconds: float) -> None:
        """Tokens were read, and what follows them chosen, in so much time."""
        self._tokens, self._reading_s = self._tokens + tokens, self._reading_s + seconds

    def made(self, seconds: float) -> None:
        """There is more sound, so long."""
        now_s = self.clock()
        self._wait_s = max(self._wait_s, now_s - self._last_s - self._aside_s)
        self._last_s, self._aside_s = now_s, 0.0
        self._playback.add(seconds, now_s)

    def stood_aside(self, seconds: float) -> None:
        """So long there was no sound because of a reflection."""
        self._aside_s += seconds

    @property
    def ahead_s(self) -> float:
        """Sound that is there and was not played yet."""
        now_s = self.clock()
        return max(0.0, (self._playback.ends_s or now_s) - now_s)

    @property
    def reserve_s(self) -> float:
        """Sound that has to stay ahead."""
        return MARGIN * self._wait_s

    @property
    def tokens_per_s(self) -> float:
        return self._tokens / self._reading_s if self._reading_s else 0.0

    def hidden_tokens(self) -> int:
        """How many tokens can be read now, while what is ahead is played."""
        return max(0, int((self.ahead_s - self.reserve_s) * self.tokens_per_s))
