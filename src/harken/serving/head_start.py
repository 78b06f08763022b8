"""How much of a reply's sound is made before any of it is sent, so that it lasts until the rest is there.

Where speech is made much faster than it is heard nothing is held back. Where it is made hardly faster, or
slower, or not evenly, a reply that begins at once falls silent in between. Learned from the replies before.
"""

from __future__ import annotations

EASY = 0.5
"""Seconds that making a second of speech may take without a head start."""
RESERVE_S = 3.0
"""For each second that it takes longer."""
SHORTEST_S = 1.0
"""Less sound tells nothing of how quickly sound is made."""


class HeadStart:
    """Of all replies of one server."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self.pace: float | None = None
        """Seconds that making a second of speech took of late; None as long as nothing was made."""

    @property
    def seconds(self) -> float:
        """Of sound that a reply begins with."""
        return min(self._most_s, max(0.0, RESERVE_S * ((self.pace or 0.0) - EASY)))

    def learn(self, pace: float | None) -> None:
        """What a reply took, half of it new."""
        if pace is not None:
            self.pace = pace if self.pace is None else (self.pace + pace) / 2


class Making:
    """When the sound of one reply was made."""

    def __init__(self) -> None:
        self._first_s = self._last_s = self._sound_s = 0.0
        self._begun = False

    def made(self, sound_s: float, now_s: float) -> None:
        """There is more, so long."""
        if self._begun:
            self._sound_s += sound_s
        else:
            self._begun, self._first_s = True, now_s
        self._last_s = now_s

    @property
    def pace(self) -> float | None:
        """Seconds that a second took after the first sound; None where there was too little."""
        return (self._last_s - self._first_s) / self._sound_s if self._sound_s >= SHORTEST_S else None
