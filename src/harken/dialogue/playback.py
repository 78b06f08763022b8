"""How much of a reply's sound has been played, if it is played as it comes: an estimate, since only who plays
it knows.
"""

from __future__ import annotations


class Playback:
    """One reply's sound. A chunk starts to play when it is there and the one before is over."""

    def __init__(self) -> None:
        self._chunks: list[tuple[float, float]] = []  # when it starts, how long it is, in seconds

    @property
    def ends_s(self) -> float | None:
        """When all of it has been played; None where there is none."""
        if not self._chunks:
            return None
        start, length = self._chunks[-1]
        return start + length

    def add(self, length_s: float, now_s: float) -> None:
        """A chunk is there."""
        self._chunks.append((max(now_s, self.ends_s or now_s), length_s))

    def played_ms(self, now_s: float) -> float:
        """How much has been played."""
        return 1000 * sum(min(max(0.0, now_s - start), length) for start, length in self._chunks)
