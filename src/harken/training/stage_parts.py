"""What the stages of training have in common: the call of a stage, and where it finds its data and parts."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harken.errors import DataError, RecipeError
from harken.recipes import CtcBridgeConfig, Recipe
from harken.training.world import World

if TYPE_CHECKING:
    from torch import Tensor

    from harken.data.speech import Clip
    from harken.model.affect_readout import AffectReadout
    from harken.model.pieces import Pieces
    from harken.model.speller import Speller
    from harken.training.own_words import OwnWords
    from harken.training.states import StateCache


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
    begin: Path | None = None
    """Of `affect`, `joint` and `reflect`: a folder of trained parts to begin with, not those in OUT."""
    arm: str | None = None
    """Of `affect` and `reflect`: the arm of a comparison (`harken.training.arms`, `reflect_arms`)."""
    seed: int = 0
    """Of an arm."""
    allow_worse_words: bool = False
    """Of `affect`: keep parts that cost words."""
    batch: int = 1
    """Batches so many times as large as the stage's own."""

    @property
    def trained(self) -> Path:
        return self.out / "trained"

    def scaled(self, config: Any) -> Any:
        """A stage's config, in the steps and batches that this call asks for."""
        return scaled(config, self.steps, self.batch)


def work_folder(out: Path, stage: str, arm: str | None = None, seed: int = 0) -> Path:
    """Where a stage, or an arm of a comparison, keeps its checkpoints and figures."""
    return out / stage if arm is None else out / "arms" / f"{arm}-{seed}"


BATCH = ("batch_s", "batch_tokens", "replay_s", "steps_a_batch", "affect_tokens")
"""What says in a stage's config how large its batches are."""


def scaled(config: Any, steps: int | None = None, batch: int = 1) -> Any:
    """A stage's config with other steps, unless that is None, and batches so many times as large; for these
    learning rates grow by the square root, as Adam's do (Malladi et al., arXiv 2205.10287).
    """
    sizes = {name: getattr(config, name) * batch for name in BATCH if hasattr(config, name)}
    schedule = config.schedule if steps is None else replace(config.schedule, steps=steps)
    if batch > 1:
        rates = tuple((pattern, rate * math.sqrt(batch)) for pattern, rate in schedule.rates)
        schedule = replace(schedule, rates=rates)
    return replace(config, schedule=schedule, **sizes)


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


def people(run: Run) -> str:
    """Names whose vectors `felt_vectors` gives; empty where the data have nobody."""
    from harken.checkpoint import READOUT
    from harken.training.affect_vectors import people_digest

    folder = run.data / "affect"
    return people_digest(folder, run.trained / READOUT) if folder.is_dir() else ""


def precision() -> Any:
    """What products are computed in: bfloat16 on accelerators and on processors that multiply it, where it is
    two to three times as fast as float32; float32 on others (AVX2), where bfloat16 takes sixty times as long.
    """
    import torch

    supported = getattr(
        torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False
    )  # some builds have no oneDNN
    return torch.bfloat16 if torch.cuda.is_available() or supported() else torch.float32


def data_folder(data: Path, name: str) -> Path:
    if not (data / name).is_dir():
        raise DataError(f"{data} has no {name}/", f"this stage needs {name}/ in the data folder")
    return data / name


def teacher_update(run: Run, parts: Path | None = None) -> dict[str, Any]:
    """The core's update as the stage `core` left it. Raises RecipeError where it has not run yet.

    Args: parts: another folder that holds one.
    """
    from harken.checkpoint import UPDATE
    from harken.tensors import read_tensors

    kept = (parts or run.out / "core") / UPDATE
    if not kept.exists():
        raise RecipeError(f"{kept.parent} holds no {UPDATE} yet", "train it first: harken train core")
    return read_tensors(kept)


def teacher(run: Run, parts: Path | None = None) -> str:
    """Names who teaches and how it is asked: with another core, prefix, prompt or people they differ."""
    from harken.checkpoint import LISTEN, READOUT, UPDATE

    teacher_update(run, parts)
    folder = parts or run.out / "core"
    files = (folder / UPDATE, folder / LISTEN, run.trained / READOUT)
    texts = (run.recipe.system.encode(), people(run).encode())
    asked = b"".join([*texts, *(file.read_bytes() for file in files)])
    return hashlib.sha256(asked).hexdigest()[:8]


def own_words(run: Run, said: list[str], affects: dict[str, Tensor], parts: Path | None = None) -> OwnWords:
    """What the core, as the stage `core` left it, makes of written turns.

    Args: parts: a folder with the update and the prefix of another teacher.
    """
    import torch

    from harken.checkpoint import load_prefix, load_text_side
    from harken.model.core import fold_low_rank
    from harken.training.own_words import Teacher, make_own_words

    tokenizer, core = load_text_side(run.recipe)
    prefix = load_prefix(run.recipe, parts or run.out / "core", core, readout(run).config.vector)
    fold_low_rank(core, teacher_update(run, parts))
    device = run.world.device
    teaching = Teacher(core.to(device, precision()), prefix.to(device), tokenizer, run.recipe.system)
    with torch.device(device):
        return make_own_words(teaching, said, affects, run.out / "align" / f"teacher-{teacher(run, parts)}")


def check_spells(recipe: Recipe, stage: str) -> None:
    """Raises RecipeError where the recipe's bridge gives no transcript, which the stage needs."""
    if not isinstance(recipe.listen.bridge, CtcBridgeConfig):
        raise RecipeError(
            f"the bridge of the recipe {recipe.name!r} gives no transcript, which the stage {stage!r} needs",
            "take a recipe with a CTC bridge, such as mini",
        )


def speller(pieces: Pieces | None) -> Speller | None:
    """What reads and mends the words that a bridge spells; None where it spells none."""
    from harken.model.lexicon import Lexicon
    from harken.model.speller import Speller

    return Speller(pieces, Lexicon(pieces)) if pieces is not None else None


def states(run: Run) -> StateCache:
    """The encoder states of all spoken dialogues in the data folder; made where they are not there yet."""
    return run.world.made(lambda: _states(run))


def _states(run: Run) -> StateCache:
    found = spoken(run.data, run.recipe.languages)
    cache = state_cache(run, "states")
    for split, augmented in (("dev", False), ("train", False), ("train", True)):
        part = [c for c in found if c.split == split and (c.role == "user" or not augmented)]
        encode(run, cache, part, f"encoding {split} speech" + ", augmented" * augmented, augmented)
    cache.keep(found)
    return cache


def state_cache(run: Run, name: str) -> StateCache:
    """The folder of encoder states of that name; it keeps the readout's vectors too, so each has its own."""
    from harken.checkpoint import READOUT
    from harken.training.states import StateCache

    readout(run)
    of_readout = hashlib.sha256((run.trained / READOUT).read_bytes()).hexdigest()[:8]
    return StateCache(run.out / f"{name}-{of_readout}", run.recipe.listen.encoder_width)


def encode(run: Run, cache: StateCache, clips: list[Clip], about: str, augmented: bool = False) -> None:
    """Add what a cache lacks of some clips."""
    from rich.progress import track

    from harken.model.encoder import load_encoder
    from harken.weights.store import ensure

    if missing := cache.missing(clips, augmented):
        listen = run.recipe.listen
        encoder = load_encoder(ensure(listen.encoder), listen).to(run.world.device)
        added = cache.add(missing, encoder, readout(run).to(run.world.device), 0, augmented)
        for _ in track(added, about, total=len(missing)):
            pass
