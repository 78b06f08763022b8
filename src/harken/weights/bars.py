"""Progress of long steps on standard error: a bar on a terminal, one line a step elsewhere, nothing where
hidden.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]


class Bars:
    """Shows steps one after another. `step` gives a function to call with the bytes done so far."""

    def __init__(self, shown: bool = True) -> None:
        self.shown = shown

    @contextmanager
    def step(self, text: str, total_bytes: int | None = None) -> Iterator[Advance]:
        if not self.shown:
            yield lambda _: None
        elif not sys.stderr.isatty():
            size = f" ({total_bytes / 1e6:.0f} MB)" if total_bytes else ""
            print(f"harken: {text}{size}", file=sys.stderr, flush=True)
            yield lambda _: None
        else:
            yield from self._bar(text, total_bytes)

    def _bar(self, text: str, total_bytes: int | None) -> Iterator[Advance]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        sized = [DownloadColumn()] if total_bytes else []
        columns = [
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            *sized,
            TimeElapsedColumn(),
        ]
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task(text, total=total_bytes)
            yield lambda done: progress.update(task, completed=min(done, total_bytes or done))
            progress.update(task, total=total_bytes or 1, completed=total_bytes or 1)
