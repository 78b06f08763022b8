"""What Harken raises when a user can do something about it.

Each error has a plain message that names the thing and what is wrong with it, and a hint that gives the way
out. The command line prints `message` and `hint` on one line each and never a stack trace (unless
`--debug`). Broken invariants inside Harken are `assert`s, not these.
"""

from __future__ import annotations


class HarkenError(Exception):
    """Something a user can mend. `hint` says how; it may be empty where the message says it all."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(HarkenError, ValueError):
    """An input (a file, a recording, a text, an option) cannot be used; the message names it."""


class WeightsError(HarkenError, RuntimeError):
    """Weights are missing, damaged or cannot be fetched; the message names them."""


class MissingExtra(HarkenError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs packages that are not installed", f"pip install 'harken[{extra}]'")


class RecipeError(HarkenError, ValueError):
    """A recipe, checkpoint or stage does not fit the other; the message shows the difference."""


class DataError(HarkenError, ValueError):
    """Training or evaluation data cannot be used; the message names the file and the row."""


class TrainingError(HarkenError, RuntimeError):
    """Training cannot go on, or what came of it is refused; the message says what stands."""


class Stopped(HarkenError):
    """Work was told to end, and is kept: no failure. The hint says how to go on."""
