"""What every command of the command line has in common: it is a frozen set of options that runs and gives an
exit code."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harken.errors import HarkenError, InputError, RecipeError
from harken.recipes import Recipe, read_recipe, recipe

if TYPE_CHECKING:
    from harken.dialogue.guard import Guard

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class WrongUse(HarkenError):
    """Options that do not fit together or name what is not there."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """Options of one command."""

    debug: bool = field(default=False)
    """Show stack traces of what goes wrong."""

    def run(self) -> int:
        """Do it; gives the exit code. Raises HarkenError where it cannot be done at all."""
        raise AssertionError(f"{type(self).__name__} has no run()")


def named_recipe(name: str) -> Recipe:
    """A recipe that was named in an option, or the file of one, as `harken recipes show` prints it."""
    try:
        return read_recipe(Path(name)) if name.endswith(".json") else recipe(name)
    except RecipeError as error:
        raise WrongUse(error.message, error.hint) from None


def check_system(recipe: str | None, checkpoint: Path | None) -> None:
    """What `--recipe` and `--checkpoint` ask for. Raises WrongUse for both, and for a recipe there is not."""
    if recipe and checkpoint:
        raise WrongUse("--recipe and --checkpoint were both given", "a checkpoint has its own recipe")
    if recipe:
        named_recipe(recipe)


def chosen_guard(care: Path | None, no_care: bool) -> Guard | None:
    """What `--care` and `--no-care` ask for. Raises WrongUse."""
    if no_care:
        check_unused("--no-care", {"--care": care})
        return None
    from harken.dialogue.guard import Care

    try:
        return Care(care)
    except InputError as error:
        raise WrongUse(error.message, error.hint) from None


def named_places(pairs: tuple[str, ...]) -> dict[str, str]:
    """What `--source NAME=PLACE` names, each once. Raises WrongUse."""
    named: dict[str, str] = {}
    for pair in pairs:
        name, _, place = pair.partition("=")
        if not name or not place:
            raise WrongUse(
                f"--source {pair!r} is not NAME=PLACE", "for example: --source reccon=reccon.jsonl.gz"
            )
        if name in named:
            raise WrongUse(f"--source {name} is given twice", "give each source one place")
        named[name] = place
    return named


def check_counts(counts: Mapping[str, int | None]) -> None:
    """Numbers that options were given, by their names; None is no number. Raises WrongUse for one below 1."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise WrongUse(f"{name} {value} is not 1 or more", f"{name} 2, for example")


def check_seed(seed: int) -> None:
    """Draws begin with a number from 0. Raises WrongUse."""
    if seed < 0:
        raise WrongUse(f"--seed {seed} is below 0", "--seed 1, for example")


def check_known(kind: str, name: str, known: Collection[str]) -> None:
    """What is named has to be there."""
    if name not in known:
        raise WrongUse(f"there is no {kind} {name!r}", f"choose one of: {', '.join(known)}")


def check_unused(command: str, given: Mapping[str, object]) -> None:
    """Values of options that a command cannot use. Raises WrongUse for one that was given."""
    for name, value in given.items():
        if value:
            raise WrongUse(f"{command} does not use {name}", "leave it out")


def command_line() -> str:
    """The command as it was typed, to be typed again."""
    return shlex.join(["harken", *sys.argv[1:]])


def say(text: str) -> None:
    """A line for the user, beside the output: on standard error."""
    print(f"harken: {text}", file=sys.stderr, flush=True)


def say_error(error: BaseException, about: str = "") -> None:
    """What went wrong, without a stack trace; `about` is put before a message that does not name it."""
    if isinstance(error, HarkenError):
        prefix = f"{about}: " if about and about not in error.message else ""
        say(prefix + _one_line(error.message))
        if error.hint:
            print(f"  hint: {_one_line(error.hint)}", file=sys.stderr, flush=True)
        return
    prefix = f"{about}: " if about else ""
    say(
        f"{prefix}unexpected {type(error).__name__}: {_one_line(str(error))}; "
        "run again with --debug for the stack trace"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
