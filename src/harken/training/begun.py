"""Which parts a stage begins with, and what it leaves in their place.

A stage that goes on with parts that are there keeps a copy of them in OUT/STAGE/begun, and of what it leaves
in OUT/STAGE/left. So a call of the same stage begins where the first one did, and parts that another stage
has trained since are not undone by it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from harken.checkpoint import PIECES, READOUT, check_recipe, stored_recipe
from harken.errors import RecipeError
from harken.training.stage_parts import Run


def beginning(run: Run, stage: str, parts: Sequence[str]) -> Path:
    """A copy of the parts that a stage begins with, which later runs and arms find again.

    Raises: RecipeError where a part is missing, another recipe trained them, this OUT began with others, or
        those in OUT/trained have been trained since; what an arm leaves does not stand in their place.
    """
    begun, left = run.out / stage / "begun", run.out / stage / "left"
    if begun.is_dir() and run.arm is None and (run.begin is None or left.is_dir()):
        _check_unchanged(run, stage, parts)
    if begun.is_dir() and run.begin is None:
        return begun
    source = run.begin or run.trained
    for name in parts:
        if not (source / name).exists():
            raise RecipeError(
                f"{source} lacks {name}",
                "train the stages before; those from affect on can begin with trained parts: --from mini",
            )
    if run.begin is not None:
        check_recipe(stored_recipe(source), run.recipe, source)
    if not begun.is_dir():
        with made_whole(begun) as half:
            for name in parts:
                shutil.copyfile(source / name, half / name)
            complete(run.trained, source)
    same = [(begun / name, source / name) for name in parts]
    same += [(begun / name, run.trained / name) for name in (READOUT, PIECES) if name in parts]
    if any(one.read_bytes() != other.read_bytes() for one, other in same):
        raise RecipeError(f"{run.out} began with other parts than {source}", "choose another --out")
    return begun


def _check_unchanged(run: Run, stage: str, parts: Sequence[str]) -> None:
    """Raises RecipeError where OUT/trained has a part that the stage neither began with nor left."""
    folders = [run.out / stage / name for name in ("begun", "left")]
    for name in parts:
        known = [(folder / name).read_bytes() for folder in folders if (folder / name).exists()]
        if (run.trained / name).exists() and (run.trained / name).read_bytes() not in known:
            raise RecipeError(
                f"{run.trained / name} is neither what the stage {stage!r} began with nor what it left",
                f"delete {run.out / stage} to begin with it, or choose another --out",
            )


@contextmanager
def leaving(run: Run, stage: str) -> Iterator[Path]:
    """A folder to fill with what the stage leaves; then that is in OUT/trained."""
    left = run.out / stage / "left"
    left.mkdir(parents=True, exist_ok=True)
    yield left
    for file in left.iterdir():
        put(file, run.trained)


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which then is `folder`, whole; of several processes that make it one does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="half-made-", dir=folder.parent) as scratch:
        half = Path(scratch) / folder.name
        half.mkdir()
        yield half
        try:
            half.rename(folder)
        except OSError:
            if not folder.is_dir():  # another was not first
                raise


def complete(trained: Path, source: Path) -> None:
    """Give a folder what it lacks of the parts in another, what they speak with included."""
    for file in source.iterdir():
        if file.suffix != ".md" and not (trained / file.name).exists():
            put(file, trained)


def put(file: Path, folder: Path) -> None:
    """Copy a file into a folder, whole or not at all."""
    part = folder / f".{file.name}.{os.getpid()}"
    shutil.copyfile(file, part)
    part.replace(folder / file.name)
