"""Stage 1-1's `align` as `harken train align` runs it: what it begins with, learns from and leaves."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch

from harken.checkpoint import (
    LISTEN,
    PIECES,
    UPDATE,
    known_pieces,
    listen_part,
    load_text_side,
    save_listen,
)
from harken.model.pieces import Pieces
from harken.recipes import CtcBridgeConfig, Recipe
from harken.tensors import save_tensors
from harken.training.align import AlignConfig, AlignTask, train_align
from harken.training.begun import beginning, leaving
from harken.training.low_rank import load_low_rank, low_rank_update
from harken.training.samples import text_samples
from harken.training.saving import digest
from harken.training.stage_modules import align_module
from harken.training.stage_parts import (
    Run,
    data_folder,
    felt_vectors,
    own_words,
    precision,
    readout,
    speller,
    states,
    teacher,
    teacher_update,
)
from harken.training.states import CachedClip
from harken.training.student import Student


def train_align_stage(run: Run) -> None:
    """From the core's written answers to its spoken ones."""
    cache, config = states(run), run.scaled(AlignConfig())
    parts = needed(run.recipe)
    task = align_task(run, cache.clips, config)
    begun = run.out / "align" / "begun"
    origin = digest([teacher(run), *((begun / name).read_bytes() for name in parts)])
    train_align(task, cache, config, run.out / "align", origin, precision(), run.world)
    if run.world.first:
        with leaving(run, "align") as folder:
            save_listen(folder, task.student.bridge, task.student.prefix)
            save_tensors(folder / UPDATE, low_rank_update(task.student.core))


def needed(recipe: Recipe) -> tuple[str, ...]:
    """The parts that the stage builds on."""
    return (UPDATE, LISTEN, PIECES) if isinstance(recipe.listen.bridge, CtcBridgeConfig) else (UPDATE,)


def align_task(run: Run, clips: Collection[CachedClip], config: AlignConfig) -> AlignTask:
    """What is learned from clips of users' turns: their train turns are answered in writing first."""
    affects = felt_vectors(run)
    turns = {clip.text for clip in clips if clip.split == "train" and clip.role == "user"}
    own = run.world.made(lambda: own_words(run, sorted(turns), affects))
    written = text_samples(data_folder(run.data, "dialogue"))
    begun = run.world.made(lambda: beginning(run, "align", needed(run.recipe)))
    torch.manual_seed(config.schedule.seed)
    student, pieces = _new_student(run, begun)
    tokenizer, _ = load_text_side(run.recipe)
    return AlignTask(
        student,
        speller(pieces),
        tokenizer,
        run.recipe.system,
        own.answers,
        own.felt,
        {s.said: s for s in written if s.task == "trace" and s.split == "train" and not s.open},
        own.causes,
        affects,
        config,
    )


def _new_student(run: Run, begun: Path) -> tuple[Student, Pieces | None]:
    """Bridge, prefix and core as the stages before left them. A bridge that does not spell begins here.

    Args: begun: has the bridge that it begins with.
    """
    tokenizer, core = load_text_side(run.recipe)
    pieces = known_pieces(run.recipe, run.trained, tokenizer)
    student = align_module(run.recipe, core, pieces.ids if pieces else (), readout(run).config.vector)
    if pieces is not None:
        student.bridge.load_state_dict(listen_part("bridge.", begun))
    student.prefix.load_state_dict(listen_part("prefix.", run.out / "core"))
    load_low_rank(core, teacher_update(run))
    return student, pieces
