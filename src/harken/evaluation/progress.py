"""How far an evaluation is, on standard error; and libraries that would talk in between, kept quiet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def steps(items: Sequence[Item], doing: str) -> Iterable[Item]:
    """The items, with a bar until they are done; none for a single item, or where nobody looks."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if len(items) < 2 or not console.is_terminal:
        return items
    return track(items, f"{doing:20}", console=console, transient=True)


@contextmanager
def bar(total: int, doing: str) -> Iterator[Callable[[], None]]:
    """A bar for what is not done in order: gives what is called when one of `total` is done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if total < 2 or not console.is_terminal:
        yield lambda: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"{doing:20}", total=total)
        yield lambda: progress.advance(task)


def quiet_libraries() -> None:
    """Keep transformers' loading bars and its advice on options off the screen, for this process."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
