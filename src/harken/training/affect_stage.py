"""Stage 1-2 as `harken train affect` runs it: which parts it begins with, what it hears, what it leaves.

It begins with the parts that stand in OUT/trained, or with a folder of parts that is named, and keeps a copy
of them in OUT/affect/begun. The arms of a comparison take readout and bridge from there, and a core and an
affect prefix that were taught nothing; they leave their parts in OUT/arms.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harken.checkpoint import (
    LISTEN,
    PIECES,
    READOUT,
    RECIPE,
    UPDATE,
    known_pieces,
    listen_part,
    load_text_side,
    save_listen,
)
from harken.data.files import write_text
from harken.errors import DataError
from harken.model.pieces import Pieces
from harken.recipes import CtcBridgeConfig, Recipe
from harken.tensors import read_tensors, save_tensors
from harken.training.affect import AffectTask, train_affect
from harken.training.affect_config import AffectConfig
from harken.training.affect_rows import Talk, affect_rows, row_clips, rows_folder, talks, told_traces
from harken.training.align import AlignTask
from harken.training.arms import arm_config, as_heard
from harken.training.begun import beginning, complete, leaving, made_whole
from harken.training.low_rank import load_low_rank, low_rank_update
from harken.training.saving import digest
from harken.training.stage_modules import align_module, core_module
from harken.training.stage_parts import (
    Run,
    encode,
    felt_vectors,
    own_words,
    people,
    precision,
    readout,
    speller,
    state_cache,
    states,
    work_folder,
)
from harken.training.states import StateCache
from harken.training.student import Student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from harken.data.rows import Row


def needed(recipe: Recipe) -> tuple[str, ...]:
    """The parts that the stage builds on."""
    parts = (LISTEN, UPDATE, READOUT)
    return (*parts, PIECES) if isinstance(recipe.listen.bridge, CtcBridgeConfig) else parts


def train_affect_stage(run: Run) -> None:
    """What is felt, and why, as part of the answer."""
    config: AffectConfig = run.scaled(arm_config(run.arm, run.seed))
    begun = run.world.made(lambda: _begun(run))
    recipe = as_heard(run.recipe, config)
    folder = rows_folder(run.data)
    rows = affect_rows(folder, recipe.languages)
    heard = row_states(run, rows, folder)
    spoken = states(run) if _has_speech(run.data) else heard
    if not any(clip.split == "train" for clip in spoken.clips):
        raise DataError(
            f"{run.data} has no speech of split train to replay, beside its rows or in them",
            "add speech/, or build the rows with the step speak",
        )
    affects = felt_vectors(run) if (run.data / "affect").is_dir() else {}
    student, pieces = new_student(run, recipe, begun, config)
    tokenizer, _ = load_text_side(recipe)
    task = AffectTask(student, speller(pieces), tokenizer, recipe.system, heard, affects, config)
    conversations = talks(rows, {clip.id: clip for clip in heard.clips})
    replay = _replay(run, begun, task, spoken, conversations)
    work = work_folder(run.out, "affect", run.arm, run.seed)
    origin = digest([people(run), *((begun / name).read_bytes() for name in needed(recipe))])
    guard = run.arm is None and not run.allow_worse_words
    train_affect(task, conversations, replay, spoken, work, origin, precision(), run.world, guard)
    if run.world.first:
        _keep(run, recipe, begun, student)


def _begun(run: Run) -> Path:
    """What the stage begins with, or its arm."""
    begun = beginning(run, "affect", needed(run.recipe))
    return begun if run.arm is None else _untaught(run, begun)


def _untaught(run: Run, begun: Path) -> Path:
    """The same parts with a core and an affect prefix that were taught nothing."""
    folder = run.out / "arms" / "begun"
    if folder.is_dir():
        return folder
    with made_whole(folder) as half:
        shutil.copytree(begun, half, dirs_exist_ok=True)
        _, core = load_text_side(run.recipe)
        torch.manual_seed(0)
        listener = core_module(run.recipe, core, readout(run).config.vector)
        save_listen(half, prefix=listener.prefix)
        save_tensors(half / UPDATE, low_rank_update(listener.core))
    return folder


def new_student(run: Run, recipe: Recipe, begun: Path, config: AffectConfig) -> tuple[Student, Pieces | None]:
    """Bridge, prefix and core as the parts have them, to be trained on; and what the bridge spells with."""
    tokenizer, core = load_text_side(recipe)
    pieces = known_pieces(recipe, begun, tokenizer)
    student = align_module(recipe, core, pieces.ids if pieces else (), readout(run).config.vector)
    student.bridge.load_state_dict(listen_part("bridge.", begun))
    if config.affect_vectors:
        student.prefix.load_state_dict(listen_part("prefix.", begun))
    load_low_rank(core, read_tensors(begun / UPDATE))
    return student, pieces


def _replay(
    run: Run, begun: Path, task: AffectTask, spoken: StateCache, conversations: Sequence[Talk]
) -> AlignTask:
    """What the teacher answered in writing: the core as its stage left it, or as the parts have it.

    That of an arm was not taught whom it hears, so it answers plainly.
    """
    parts = None if run.arm is None and (run.out / "core" / UPDATE).exists() else begun
    affects: dict[str, Tensor] = dict(task.affects) if run.arm is None else {}
    said = {clip.text for clip in spoken.clips if clip.split == "train" and clip.role == "user"}
    own = run.world.made(lambda: own_words(run, sorted(said), affects, parts))
    config = task.config.replayed(people=bool(affects))
    return AlignTask(
        task.student,
        task.speller,
        task.tokenizer,
        task.system,
        own.answers,
        own.felt,
        told_traces(conversations) if run.arm is None else {},
        own.causes,
        affects,
        config,
    )


def _has_speech(data: Path) -> bool:
    return any((data / name).is_dir() for name in ("speech", "render"))


def row_states(run: Run, rows: Sequence[Row], folder: Path) -> StateCache:
    """The encoder states of what the rows' users say; made where they are not there yet."""

    def made() -> StateCache:
        cache, clips = state_cache(run, "row-states"), row_clips(rows, folder)
        encode(run, cache, clips, "encoding what is said in rows")
        cache.keep(clips)
        return cache

    return run.world.made(made)


def _keep(run: Run, recipe: Recipe, begun: Path, student: Student) -> None:
    """Write the parts as they are now: in OUT/trained, or an arm's in a folder of its own, whole."""
    apart = work_folder(run.out, "affect", run.arm, run.seed) / "trained"
    if run.arm is not None:
        apart.mkdir(parents=True, exist_ok=True)
        complete(apart, begun)
        write_text(apart / RECIPE, recipe.model_dump_json(indent=2) + "\n")
    with leaving(run, "affect") if run.arm is None else nullcontext(apart) as folder:
        save_listen(folder, student.bridge, student.prefix)
        save_tensors(folder / UPDATE, low_rank_update(student.core))
