"""One thread that runs the model for everybody, and loads it.

Loading belongs there too: OpenMP keeps a team of threads for every thread that ever used it, and once these
are more than the processors, libgomp has all of them sleep between two pieces of work instead of waiting
awake. A model that was loaded by one thread and runs on another takes more than half as long again on two
cores (docs/results.md).

What is to be done is an iterator. The thread runs one step of each in turn, so that nobody waits for all of
another's reply, and tells the event loop, in order, what every step gave. What is `behind` gets its turns
while there is nothing else. Work that is cancelled is left after the step that it is in.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)
WAKES_S = 0.5
"""How often who waits looks up: a signal that another thread was given does not wake it."""


class Job:
    """Work in steps. Its callbacks are called on the event loop; before there is one, on the thread."""

    def __init__(
        self,
        steps: Iterator[Any],
        on_step: Callable[[Any], None],
        on_end: Callable[[Exception | None], None],
        behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self.cancelled, self.behind = False, behind
        self._steps, self._on_step, self._on_end = steps, on_step, on_end

    def cancel(self) -> None:
        """No more steps after the one that it is in, and no more of them is told; its end still is."""
        self.cancelled = True

    def told(self, step: Any) -> None:
        if not self.cancelled:
            self._on_step(step)

    def ended(self, error: Exception | None) -> None:
        self._on_end(error)

    def take_step(self) -> Any:
        """The next step's result. Raises StopIteration when there is none."""
        if self.cancelled:
            self.leave()
            raise StopIteration
        return next(self._steps)

    def leave(self) -> None:
        if isinstance(self._steps, Generator):
            self._steps.close()


class Worker:
    """The thread, from when it is made to `stop`. Up to `start` only `do` is for use, then the others."""

    def __init__(self) -> None:
        self.jobs = 0
        """Not ended yet."""
        self._arrived: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="harken-model", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def do(self, function: Callable[[], T], on_interrupt: Callable[[], None] = lambda: None) -> T:
        """What a function gives, waited for; before there is an event loop. Raises what it raises.

        Args: on_interrupt: called at Ctrl-C, before it waits.
        """
        assert self._loop is None, "an event loop does not wait: see `call`"
        found: Future[T] = Future()
        job = Job(_into(found, function), lambda _: None, lambda _: None)
        try:
            self._arrived.put(job)  # the thread may have begun, and Ctrl-C come, before this returns
            while not wait([found], timeout=WAKES_S).done:
                pass
            return found.result()
        except KeyboardInterrupt:
            on_interrupt()
            wait([found])  # it cannot be left in the middle; a second interrupt does not wait
            raise

    def start(self) -> None:
        """From now on tell this event loop; to be called on it."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Leave all work after the step that it is in."""
        self._arrived.put(None)
        await asyncio.to_thread(self._thread.join)

    def submit(
        self,
        steps: Iterator[T],
        on_step: Callable[[T], None],
        on_end: Callable[[Exception | None], None] = lambda error: None,
        behind: Callable[[], bool] = lambda: False,
    ) -> Job:
        """Do work in steps.

        Args:
            on_step: is told what each step gave.
            on_end: is told when there are no more, with the error that ended it, if one did.
            behind: whether it is to wait for all other work, asked before each step, on the thread.
        """

        def ended(error: Exception | None) -> None:
            self.jobs -= 1
            on_end(error)

        job = Job(steps, on_step, ended, behind)
        self.jobs += 1
        self._arrived.put(job)
        return job

    async def call(self, function: Callable[[], T]) -> T:
        """What a function gives, as one step. Raises what it raises."""
        assert self._loop is not None, "the worker was started"
        found: asyncio.Future[T] = self._loop.create_future()

        def once() -> Iterator[T]:
            yield function()

        def ended(error: Exception | None) -> None:
            if error is not None and not found.done():
                found.set_exception(error)

        def told(result: T) -> None:
            if not found.done():
                found.set_result(result)

        job = self.submit(once(), told, ended)
        try:
            return await found
        except asyncio.CancelledError:
            job.cancel()
            raise

    def _run(self) -> None:
        jobs: deque[Job] = deque()
        while True:
            while not jobs or not self._arrived.empty():
                job = self._arrived.get()
                if job is None:
                    self._leave(jobs)
                    return
                jobs.append(job)
            job = next((job for job in jobs if job.cancelled or not job.behind()), jobs[0])
            jobs.remove(job)
            if self._step(job):
                jobs.append(job)

    def _step(self, job: Job) -> bool:
        """A step of one job; whether there may be more."""
        try:
            result = job.take_step()
        except StopIteration:
            self.tell(job.ended, None)
        except Exception as error:
            self.tell(job.ended, error)
        else:
            self.tell(job.told, result)
            return True
        return False

    def _leave(self, jobs: deque[Job]) -> None:
        for job in jobs:
            try:
                job.leave()
            except Exception:
                _log.exception("work that was left failed")
            self.tell(job.ended, None)

    def tell(self, what: Callable[..., None], *about: Any) -> None:
        """Call something on the event loop; may be called from any thread. Without one, it is called here."""
        if self._loop is None:
            what(*about)
            return
        try:
            self._loop.call_soon_threadsafe(what, *about)
        except RuntimeError:  # the event loop is closed: nobody is left to be told
            _log.debug("told nobody", exc_info=True)


def _into(found: Future[T], function: Callable[[], T]) -> Iterator[None]:
    """A function as work without a step; what it gives or raises, of any kind, goes into `found`."""
    try:
        found.set_result(function())
    except BaseException as error:
        found.set_exception(error)
    yield from ()
