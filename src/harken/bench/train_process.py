"""A training in a process of its own that does one step at a time, when it is asked to.

So trainings take turns on one machine, whatever disturbs it disturbs all of them alike, and the memory of
each is its own. Time runs from the moment a step is asked for to the moment it is done.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch

from harken.bench.train_cost import wait_for
from harken.bench.train_systems import Lesson, Work, run
from harken.errors import HarkenError
from harken.training.world import world

_KILLED = -9
_MMAP_THRESHOLD = -3  # of mallopt(3)
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_READY, _STEP, _ACCOUNT = "ready", "step", "account"


class TooLarge(Exception):
    """The training does not fit into memory."""


@dataclass(frozen=True)
class Step:
    """What a process has read in all, and how long its last step took."""

    tokens: int
    padded: int
    """The same with padding."""
    seconds: float


@dataclass(frozen=True)
class Account:
    """How far a training came."""

    tokens: int
    """That were read."""
    loss: float
    """Of dev samples, after them."""
    predicted_bytes: int | None
    """`peak_bytes` of the largest batch; None where no formula is known."""
    peak_bytes: int | None
    """What it held at most beyond what it held before its weights were there; None where nobody tells."""
    flops_a_token: float | None
    """None where they were not counted."""


class Pupil:
    """A training, as the process that asks it sees it."""

    def __init__(self, system: str, work: Work) -> None:
        """Raises TooLarge or HarkenError where it cannot begin."""
        self._system, self._work = system, work
        self._open()

    def begin(self, accumulate: int) -> None:
        """Start from nothing, a step in so many batches. Raises TooLarge where not even that fits."""
        if not self._process.is_alive():
            self._open()
        self._ask(accumulate)

    def step(self) -> Step:
        """Do one more. Raises TooLarge; then it has to begin again."""
        found: Step = self._ask(_STEP)
        return found

    def account(self) -> Account:
        found: Account = self._ask(_ACCOUNT)
        return found

    def close(self) -> None:
        """End the process."""
        self._here.close()
        self._process.join()

    def _open(self) -> None:
        context = get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=serve, args=(self._system, self._work, there), daemon=True)
        self._process.start()
        there.close()
        self._receive()

    def _ask(self, what: str | int) -> Any:
        self._here.send(what)
        return self._receive()

    def _receive(self) -> Any:
        try:
            answer = self._here.recv()
        except EOFError:
            self._process.join()
            if self._process.exitcode == _KILLED:
                raise TooLarge from None
            code = self._process.exitcode
            raise HarkenError(f"the training's process ended with {code}", "its output says why") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


def serve(system: str, work: Work, parent: Connection) -> None:
    """Train step by step, as `parent` asks, until it hangs up."""
    from harken.evaluation.progress import quiet_libraries

    quiet_libraries()
    with suppress(ImportError):  # `Lesson` says what is missing
        import_module("peft")
        import_module("transformers.trainer")
    told = redirect_stdout(sys.stderr)  # standard output is the figures'
    with told, world() as here, TemporaryDirectory() as folder, suppress(EOFError):  # it hung up
        try:
            meter = _Meter(here.device, work.tight)
            teaching = _Teaching(system, work.open_lesson(work, here), meter, parent)
            parent.send(_READY)
            teaching.go_on(Path(folder))
        except HarkenError as error:
            parent.send(HarkenError(error.message, error.hint))  # others cannot be sent


class _Begin(Exception):
    """To start from nothing is what was asked for."""

    def __init__(self, accumulate: int) -> None:
        super().__init__()
        self.accumulate = accumulate


class _Teaching:
    """The training's side of the talk."""

    def __init__(self, system: str, lesson: Lesson, meter: _Meter, parent: Connection) -> None:
        self._system, self._lesson, self._meter, self._parent = system, lesson, meter, parent
        self._begun = perf_counter()

    def go_on(self, folder: Path) -> None:
        """Train, from nothing as often as that is asked for, until all steps of one training are done.

        Raises EOFError where nobody asks any more.
        """
        accumulate: int | None = None
        while True:
            if accumulate is not None:  # out of the handlers, whose exceptions hold what was trained before
                self._lesson.begin(accumulate)
                gc.collect()
                self._meter.forget()
                self._parent.send(_READY)
            try:
                self.wait()
                run(self._system, self._lesson, folder, self.after)
                return
            except _Begin as asked:
                accumulate = asked.accumulate
            except torch.OutOfMemoryError:
                accumulate = None
                self._parent.send(TooLarge())

    def wait(self) -> None:
        """Until a step is asked for. Raises _Begin; EOFError where nobody will ask."""
        while (asked := self._parent.recv()) != _STEP:
            if asked != _ACCOUNT:
                raise _Begin(asked)
            self._parent.send(self._account())
        self._begun = perf_counter()

    def after(self) -> None:
        """A step is done."""
        wait_for(self._lesson.world.device)
        seconds = perf_counter() - self._begun
        self._parent.send(Step(self._lesson.tally.tokens, self._lesson.tally.padded, seconds))
        self.wait()

    def _account(self) -> Account:
        lesson = self._lesson
        peak = self._meter.peak_bytes()  # before dev samples are read
        predicted, flops = lesson.costs()
        return Account(lesson.tally.tokens, lesson.held_out(), predicted, peak, flops)


class _Meter:
    """What this process holds at most, beyond what it holds now; on a GPU what it holds there."""

    def __init__(self, device: torch.device, tight: bool) -> None:
        if tight and hasattr(libc := ctypes.CDLL(None), "mallopt"):
            libc.mallopt(_MMAP_THRESHOLD, 1 << 16)  # larger pieces go back to the system when they are freed
        self._device = device
        self._before = _status_bytes("VmRSS")
        self._since = False

    def forget(self) -> None:
        """Count from here on: reading weights holds them twice for a moment."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._device)
        elif _CLEAR.exists():
            _CLEAR.write_text("5")  # as proc(5) has it: the peak becomes what is held now
            self._since = True

    def peak_bytes(self) -> int | None:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return _status_bytes("VmHWM") - self._before if self._since else None


def _status_bytes(name: str) -> int:
    """A line of Linux's account of this process; 0 where there is none."""
    lines = _STATUS.read_text().splitlines() if _STATUS.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)
