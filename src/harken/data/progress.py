"""How far a build is, with the time left: a bar where somebody looks, else a line now and then; both on
standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

EVERY_S = 15.0

_to_stderr = partial(print, file=sys.stderr, flush=True)


class Report(Protocol):
    """What a build tells."""

    def begin(self, doing: str, total: int | None) -> None:
        """A part of the work begins; `total` is how much it is, where that is known."""
        ...

    def reached(self, done: int) -> None:
        """So much of the part is done."""
        ...

    def end(self) -> None:
        """No part is in work any more."""
        ...

    def say(self, text: str) -> None:
        """Something that the user should know."""
        ...


class Quiet:
    """A report to nobody."""

    def begin(self, doing: str, total: int | None) -> None:
        return

    def reached(self, done: int) -> None:
        return

    def end(self) -> None:
        return

    def say(self, text: str) -> None:
        return


class Lines:
    """A line where a part begins and ends, and every quarter of a minute."""

    def __init__(
        self,
        write: Callable[[str], None] = _to_stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write, self._clock = write, clock
        self._doing = ""

    def begin(self, doing: str, total: int | None) -> None:
        self.end()
        self._doing, self._total, self._done = doing, total, 0
        self._began = self._told = self._clock()
        self._write(f"{doing} …")

    def reached(self, done: int) -> None:
        self._done = done
        if self._clock() - self._told >= EVERY_S:
            self._tell()

    def end(self) -> None:
        if self._doing and self._done:
            self._tell()
        self._doing = ""

    def say(self, text: str) -> None:
        self._write(text)

    def _tell(self) -> None:
        self._told = self._clock()
        of, left = "", ""
        if self._total is not None:
            of = f" of {self._total}"
            if 0 < self._done < self._total:
                pace_s = (self._told - self._began) / self._done
                left = f", {shown_s(pace_s * (self._total - self._done))} left"
        self._write(f"{self._doing}: {self._done}{of}{left}")


class Bar:
    """A bar on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bar: Any = None

    def begin(self, doing: str, total: int | None) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.end()
        columns = (
            TextColumn("{task.description:16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task(doing, total=total)
        self._bar.start()

    def reached(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def on_stderr() -> Report:
    """A bar where standard error is a terminal, else lines."""
    return Bar() if sys.stderr.isatty() else Lines()


def shown_s(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
