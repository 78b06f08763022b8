"""How far an evaluation is, on standard error; and libraries that would talk in between, kept quiet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def quiet_libraries() -> None:
    """Keep transformers' loading bars and its advice on options off the screen, for this process."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
