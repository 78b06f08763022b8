"""A system in a process of its own, so that what is measured shares no threads with what it is measured
against: with llama.cpp in the same process torch decodes two thirds as fast, even when that is gone again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from harken.bench.moments import Moments, moments
from harken.dialogue.events import Event
from harken.errors import HarkenError
from harken.evaluation.cascade import Samples

System = Callable[[Samples], Iterator[Event]]
"""A recording (N,) at 16 kHz -> the events of a reply."""


class Apart:
    """A recording (N,) at 16 kHz -> when what happened in its reply, as the system's own process sees it."""

    def __init__(self, open_system: Callable[[], System]) -> None:
        """Args: open_system: called there; it can be pickled. Raises HarkenError where it does."""
        context = get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(open_system, there), daemon=True)
        self._process.start()
        there.close()
        self._receive()

    def __call__(self, samples: Samples) -> Moments:
        self._here.send(samples)
        found: Moments = self._receive()
        return found

    def close(self) -> None:
        """End the process."""
        self._here.close()
        self._process.join()

    def _receive(self) -> Any:
        try:
            worked, answer = self._here.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            raise HarkenError(f"the system's process ended with {code}", "its output says why") from None
        if not worked:
            self._process.join()
            raise HarkenError(*answer)
        return answer


def _serve(open_system: Callable[[], System], parent: Connection) -> None:
    try:
        system = open_system()
    except HarkenError as error:
        parent.send((False, (error.message, error.hint)))
        return
    parent.send((True, None))
    while True:
        try:
            samples = parent.recv()
        except EOFError:  # closed
            return
        parent.send((True, moments(system(samples))))
