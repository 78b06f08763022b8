"""What the stages of training have in common: the call of a stage, and where it finds its data and parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harken.errors import DataError, RecipeError
from harken.recipes import Recipe
from harken.training.world import World

if TYPE_CHECKING:
    from torch import Tensor

    from harken.data.speech import Clip
    from harken.model.affect_readout import AffectReadout


@dataclass(frozen=True)
class Run:
    """One call of a stage."""

    recipe: Recipe
    data: Path
    out: Path
    steps: int | None
    world: World
    hours: float | None = None
    """Of `speak`: learn from so many hours of replies at most."""

    @property
    def trained(self) -> Path:
        return self.out / "trained"


def with_steps(config: Any, steps: int | None) -> Any:
    """A stage's config with another number of steps, unless that is None."""
    return config if steps is None else replace(config, schedule=replace(config.schedule, steps=steps))


def spoken(data: Path, languages: tuple[str, ...]) -> list[Clip]:
    """The clips of `speech/` and `render/` in some languages. Raises DataError where none can train."""
    from harken.data.speech import clips

    folders = [data / name for name in ("speech", "render") if (data / name).is_dir()]
    found = [clip for folder in folders for clip in clips(folder) if clip.lang in languages]
    if not found:
        raise DataError(
            f"{data} holds no spoken dialogues in {', '.join(languages)}", "put a pack in its speech/"
        )
    if not any(clip.split == "train" for clip in found):
        raise DataError(f"{data} holds no spoken turn of split train", "render some: harken data render")
    return found


def readout(run: Run) -> AffectReadout:
    """The trained readout. Raises RecipeError where it is not there yet."""
    from harken.checkpoint import READOUT
    from harken.model.affect_readout import load_readout

    if not (run.trained / READOUT).exists():
        raise RecipeError(f"{run.trained} holds no readout yet", "train it first: harken train readout")
    return load_readout(run.trained / READOUT)


def felt_vectors(run: Run) -> dict[str, Tensor]:
    """Emotion -> readout vectors of people who acted it."""
    from harken.checkpoint import READOUT
    from harken.training.affect_vectors import people_vectors
    from harken.weights.store import ensure

    encoder, people = ensure(run.recipe.listen.encoder), data_folder(run.data, "affect")
    return run.world.made(lambda: people_vectors(people, encoder, run.trained / READOUT, run.out / "readout"))


def precision() -> Any:
    """bfloat16: two to three times as fast here as float32, and what accelerators train in."""
    import torch

    return torch.bfloat16


def data_folder(data: Path, name: str) -> Path:
    if not (data / name).is_dir():
        raise DataError(f"{data} has no {name}/", f"this stage needs {name}/ in the data folder")
    return data / name
