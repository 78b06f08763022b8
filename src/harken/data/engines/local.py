"""A belt on one machine: every step works on its own shard at the same time as the others.

While a language model answers for one shard, the voice speaks the one before it. Steps that compute have
processes of their own, steps that wait have threads of this one. Between two stations lies one shard at most,
so that the slowest sets the pace and memory stays flat.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Condition, Thread
from typing import Any

from harken.data.child import end_with_parent
from harken.data.engines.base import Chain, Finished, Parcel, StepFailed, failure, open_station, stations

BETWEEN = 1
"""Shards that may lie between two stations."""
_DONE, _FAILED = b"+", b"-"
_END_S = 5.0


def run(numbers: Iterable[int], chain: Chain) -> Iterator[Finished]:
    """See `Engine`."""
    belt = _Belt(iter(numbers), chain)
    try:
        yield from belt.finished()
    finally:
        belt.stop()


class _Stopped(Exception):
    """The belt stands still: leave everything."""


class _Lane:
    """A queue between two stations that ends when all who put into it have, and that can be stopped."""

    def __init__(self, producers: int) -> None:
        self._items: deque[Any] = deque()
        self._producers, self._stopped = producers, False
        self._changed = Condition()

    def put(self, item: Any) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < BETWEEN)
            if self._stopped:
                raise _Stopped
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Any]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._items or not self._producers)
                if self._stopped:
                    raise _Stopped
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def producer_ended(self) -> None:
        with self._changed:
            self._producers -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()


class _Belt:
    """The stations with their workers, and the lanes between them."""

    def __init__(self, numbers: Iterator[int], chain: Chain) -> None:
        self._chain, self._stations = chain, stations(chain)
        self._lanes = [_Lane(workers) for _, workers, _, _ in self._stations]
        self._error: StepFailed | None = None
        self._processes: list[_Process] = []
        self._threads = [
            Thread(target=self._work, args=(place, self._lanes[place - 1] if place else numbers), daemon=True)
            for place, (_, workers, _, _) in enumerate(self._stations)
            for _ in range(workers)
        ]

    def finished(self) -> Iterator[Finished]:
        for thread in self._threads:
            thread.start()
        try:
            yield from self._lanes[-1]
        except _Stopped:
            assert self._error is not None, "a belt stops by itself for an error only"
            raise self._error from None

    def stop(self) -> None:
        """Abandon whatever is in work. A thread that waits for an answer from elsewhere is left to itself."""
        for lane in self._lanes:
            lane.stop()
        for process in list(self._processes):
            process.kill()
        for thread in self._threads:
            thread.join(_END_S)

    def _work(self, place: int, items: Iterable[Any]) -> None:
        lane = self._lanes[place]
        try:
            station = self._open(place)
            for item in items:
                lane.put(station(item))
            if isinstance(station, _Process):
                station.end()
        except _Stopped:
            return
        except BaseException as error:
            self._error = self._error or failure(self._stations[place][0], None, error)
            for each in self._lanes:
                each.stop()
        finally:
            lane.producer_ended()

    def _open(self, place: int) -> Callable[[Any], Any]:
        name, workers, computes, _ = self._stations[place]
        if computes:
            process = _Process(name, self._chain, place, max(1, (os.cpu_count() or 1) // workers))
            self._processes.append(process)
            process.opened()
            return process
        station = open_station(self._chain, place)
        return lambda item: station(Parcel.unpacked(item) if isinstance(item, bytes) else item)


class _Process:
    """A station in a process of its own. Parcels go in and come out packed."""

    def __init__(self, name: str, chain: Chain, place: int, cores: int) -> None:
        context = get_context("spawn")
        self._name = name
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(pickle.dumps(chain), place, theirs, cores), daemon=True
        )
        self._process.start()
        theirs.close()

    def opened(self) -> None:
        """Wait until it has what it needs. Raises StepFailed with why it cannot be opened."""
        self._next_answer()

    def __call__(self, item: Parcel | bytes) -> Any:
        answer = self._next_answer(item if isinstance(item, bytes) else item.packed())
        return pickle.loads(answer) if self._name == "finish" else answer

    def _next_answer(self, parcel: bytes | None = None) -> bytes:
        """What it says next, to `parcel` where there is one. Raises StepFailed."""
        try:
            if parcel is not None:
                self._pipe.send_bytes(parcel)
            how = self._pipe.recv_bytes()
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise StepFailed(
                f"step {self._name}: its process was killed",
                "build again, with fewer --workers if memory is short: shards that stand are kept",
            ) from None
        if how == _FAILED:
            raise pickle.loads(answer)
        return answer

    def end(self) -> None:
        """Nothing more will come: it ends by itself."""
        self._pipe.close()
        self._process.join(_END_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(chain: bytes, place: int, pipe: Connection, cores: int) -> None:
    """In a process of its own: open the station, then work on whatever comes until nothing does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's business
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    end_with_parent()
    os.nice(10)  # a language model in the parent goes first: others beside it slow it down many times over
    with suppress(EOFError, BrokenPipeError):  # the parent has no more for us
        try:
            station = open_station(pickle.loads(chain), place)
            pipe.send_bytes(_DONE)
            pipe.send_bytes(b"")  # opened
            while True:
                done = station(Parcel.unpacked(pipe.recv_bytes()))
                answer = done.packed() if isinstance(done, Parcel) else pickle.dumps(done)
                pipe.send_bytes(_DONE)
                pipe.send_bytes(answer)
        except StepFailed as error:
            pipe.send_bytes(_FAILED)
            pipe.send_bytes(pickle.dumps(error))
