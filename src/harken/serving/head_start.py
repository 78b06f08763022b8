"""How much of a reply's sound is made before any of it is heard, so that it lasts until the rest is there.

Where speech is made much faster than it is heard nothing is held back. Where it is made hardly faster, or
slower, or not evenly, a reply that begins at once falls silent in between. Learned from the replies before.
"""

from __future__ import annotations

from collections.abc import Callable

from harken.dialogue.events import AudioChunk

EASY = 0.5
"""Seconds that making a second of speech may take without a head start."""
RESERVE_S = 3.0
"""For each second that it takes longer."""
MOST_S = 4.0
"""Where nobody says otherwise."""
SHORTEST_S = 1.0
"""Less sound tells nothing of how quickly sound is made."""


class HeadStart:
    """Of all replies that one machine makes."""

    def __init__(self, most_s: float) -> None:
        self._most_s = most_s
        self.pace: float | None = None
        """Seconds that making a second of speech took of late; None as long as nothing was made."""

    @property
    def seconds(self) -> float:
        """Of sound that a reply begins with."""
        return min(self._most_s, max(0.0, RESERVE_S * ((self.pace or 0.0) - EASY)))

    def learn(self, pace: float | None) -> None:
        """What a reply took, half of it new; no more than what has the longest start."""
        if pace is not None:
            pace = min(pace, EASY + self._most_s / RESERVE_S)
            self.pace = pace if self.pace is None else (self.pace + pace) / 2


class Start:
    """Of one reply: holds its sound back until there is enough of it."""

    def __init__(self, ahead: HeadStart, say: Callable[[AudioChunk], None]) -> None:
        """Args: say: is given each chunk, when it is time."""
        self._ahead, self._say = ahead, say
        self._begin()

    def _begin(self) -> None:
        self._held: list[AudioChunk] | None = []
        """None once sound is given on as it comes."""
        self._first_s: float | None = None
        self._last_s = self._sound_s = 0.0  # when the last was made, and how much after the first

    def made(self, chunk: AudioChunk, now_s: float) -> None:
        """There is more."""
        if self._first_s is None:
            self._first_s = now_s
        else:
            self._sound_s += (chunk.end_ms - chunk.start_ms) / 1000
        self._last_s = now_s
        if self._held is None:
            self._say(chunk)
            return
        self._held.append(chunk)
        if chunk.end_ms - self._held[0].start_ms >= 1000 * self._ahead.seconds:
            self._say_held()

    def over(self) -> float | None:
        """What was made is out, if anything was; the next is another reply. Gives the seconds that a second
        took after the first sound, None where there was too little.
        """
        self._say_held()
        took_s, sound_s = self._last_s - (self._first_s or 0.0), self._sound_s
        self._begin()
        return took_s / sound_s if sound_s >= SHORTEST_S else None

    def _say_held(self) -> None:
        held, self._held = self._held, None
        for chunk in held or ():
            self._say(chunk)
