"""One thread for everybody: turns are taken, order is kept, and what is cancelled or fails ends alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from served import run

from harken.serving.worker import Worker


@asynccontextmanager
async def working() -> AsyncIterator[Worker]:
    worker = Worker()
    worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


def noting(order: list[str], name: str, count: int, begin: threading.Event) -> Iterator[int]:
    """Steps that begin when they may, and note whose they are."""
    begin.wait()
    for number in range(count):
        order.append(name)
        yield number


def test_jobs_take_turns_and_each_is_told_in_order() -> None:
    async def talk() -> None:
        order: list[str] = []
        told: dict[str, list[int]] = {"a": [], "b": []}
        begin, ends = threading.Event(), [asyncio.Event(), asyncio.Event()]

        async with working() as worker:
            for name, end in zip("ab", ends, strict=True):
                worker.submit(
                    noting(order, name, 5, begin), told[name].append, lambda error, end=end: end.set()
                )
            begin.set()
            for end in ends:
                await end.wait()
            assert worker.jobs == 0
        assert told == {"a": [0, 1, 2, 3, 4], "b": [0, 1, 2, 3, 4]}
        assert "".join(order) in ("ababababab", "aabababab" + "b")  # b may come when a has begun

    run(talk)


def test_what_is_behind_waits_for_all_other_work_step_by_step() -> None:
    async def talk() -> None:
        order: list[str] = []
        begin, ends = threading.Event(), [asyncio.Event(), asyncio.Event()]

        async with working() as worker:
            waits = {"a": lambda: order.count("a") >= 2, "b": lambda: False}
            for name, end in zip("ab", ends, strict=True):
                worker.submit(
                    noting(order, name, 4, begin),
                    lambda _: None,
                    lambda error, end=end: end.set(),
                    waits[name],
                )
            begin.set()
            for end in ends:
                await end.wait()
        assert "".join(order) in ("ababbbaa", "aabbbbaa")  # the second may come when the first has begun

    run(talk)


def test_what_is_behind_and_cancelled_is_closed_while_others_work_on() -> None:
    async def talk() -> None:
        order: list[str] = []
        begin, seen, closed = threading.Event(), threading.Event(), asyncio.Event()
        in_step, told = threading.Event(), list[int]()

        def busy() -> Iterator[int]:
            in_step.set()
            begin.wait()
            while not seen.is_set():
                yield 0

        async with working() as worker:
            worker.submit(busy(), lambda _: None)
            await asyncio.to_thread(in_step.wait)
            steps = noting(order, "behind", 9, begin)
            job = worker.submit(steps, told.append, lambda error: closed.set(), lambda: True)
            job.cancel()
            begin.set()
            await closed.wait()
            assert worker.jobs == 1, "the other works on"
            assert order == [] and told == []
            seen.set()

    run(talk)


def test_what_is_cancelled_is_closed_after_its_step_and_tells_no_more() -> None:
    async def talk() -> None:
        in_step, go_on, closed = threading.Event(), threading.Event(), threading.Event()
        told: list[int] = []
        ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def steps() -> Iterator[int]:
            try:
                for number in range(100):
                    if number == 2:
                        in_step.set()
                        go_on.wait()
                    yield number
            finally:
                closed.set()

        async with working() as worker:
            job = worker.submit(steps(), told.append, ended.set_result)
            await asyncio.to_thread(in_step.wait)
            job.cancel()
            go_on.set()
            assert await ended is None and closed.is_set()
            assert told == [0, 1]
            assert await worker.call(lambda: 7) == 7

    run(talk)


def test_what_fails_ends_alone() -> None:
    async def talk() -> None:
        def broken() -> Iterator[int]:
            yield 1
            raise MemoryError("all of it")

        async with working() as worker:
            ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
            worker.submit(broken(), lambda step: None, ended.set_result)
            assert isinstance(await ended, MemoryError)
            with pytest.raises(ZeroDivisionError):
                await worker.call(lambda: 1 // 0)
            assert await worker.call(lambda: "goes on") == "goes on" and worker.alive
        assert not worker.alive

    run(talk)


def test_what_is_done_before_there_is_an_event_loop_is_done_on_the_same_thread() -> None:
    worker = Worker()
    loaded_by = worker.do(threading.current_thread)
    assert loaded_by is not threading.current_thread()
    for error in (ZeroDivisionError, SystemExit, KeyboardInterrupt):

        def broken(error: type[BaseException] = error) -> None:
            raise error

        with pytest.raises(error):
            worker.do(broken)

    assert worker.jobs == 0

    async def talk() -> None:
        worker.start()
        assert await worker.call(threading.current_thread) is loaded_by
        await worker.stop()

    run(talk)
    assert not worker.alive


def test_ctrl_c_says_something_before_it_waits_for_what_is_done(ctrl_c: Callable[[], None]) -> None:
    worker, told, done = Worker(), threading.Event(), []

    def load() -> None:
        ctrl_c()
        assert told.wait(20)
        done.append("loaded")

    with pytest.raises(KeyboardInterrupt):
        worker.do(load, told.set)
    assert done == ["loaded"]
