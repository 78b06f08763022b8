"""Which prompt a model reads in which of its slots: the one that goes on most from what the slot read last.

A slot keeps its last prompt, and reads of the next only what is new. Prompts of one step begin alike, those
of another step or language do not, and they come mixed: given out as they come, most are read whole.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class _Waiting:
    """A prompt, the slot that it is given, and how many characters of it were read there before."""

    prompt: str
    given: threading.Event = field(default_factory=threading.Event)
    slot: int = -1
    read: int = 0


class Slots:
    """`count` slots, shared by any number of threads that each wait with a prompt."""

    def __init__(self, count: int) -> None:
        self._last = [""] * count
        self._free = set(range(count))
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()

    @contextmanager
    def slot_for(self, prompt: str) -> Iterator[tuple[int, int]]:
        """A slot to read this prompt in, and how many characters of it were read there before; waits until
        it is its turn.
        """
        mine = _Waiting(prompt)
        with self._lock:
            self._waiting.append(mine)
            self._give()
        mine.given.wait()
        try:
            yield mine.slot, mine.read
        finally:
            with self._lock:
                self._free.add(mine.slot)
                self._give()

    def _give(self) -> None:
        """Bring free slots and waiting prompts together, best match first; the lock is held.

        Of equal ones the prompt that has waited longest goes first, and into the slot with the least to lose.
        """
        while self._free and self._waiting:
            slot, chosen = max(
                ((slot, each) for each in self._waiting for slot in sorted(self._free)),
                key=lambda pair: (common(self._last[pair[0]], pair[1].prompt), -len(self._last[pair[0]])),
            )
            self._free.remove(slot)
            self._waiting.remove(chosen)
            chosen.slot, chosen.read = slot, common(self._last[slot], chosen.prompt)
            self._last[slot] = chosen.prompt
            chosen.given.set()


def common(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    alike, unlike = 0, min(len(one), len(other)) + 1
    while unlike - alike > 1:
        middle = (alike + unlike) // 2
        if one[:middle] == other[:middle]:
            alike = middle
        else:
            unlike = middle
    return alike
