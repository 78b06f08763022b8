"""`harken train reflect`: what it begins with, learns from and leaves, for the stage itself and its arms.

The stage leaves its parts in OUT/trained. Arms begin with the same parts and leave theirs in OUT/arms, whole,
so that `harken reply --checkpoint` and every benchmark take them.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from harken.checkpoint import MARKS, RECIPE, UPDATE, load_text_side
from harken.data.files import write_text
from harken.recipes import Recipe
from harken.tensors import save_tensors
from harken.training.affect import AffectTask
from harken.training.affect_config import AffectConfig
from harken.training.affect_rows import rows_folder
from harken.training.affect_stage import needed, new_student, row_states
from harken.training.begun import beginning, leaving
from harken.training.low_rank import low_rank_update
from harken.training.reflect import ReflectStudent, ReflectTask, train_reflect
from harken.training.reflect_arms import ReflectTraining, reflect_config, taught
from harken.training.reflect_rows import reflect_rows, reflecting
from harken.training.saving import digest
from harken.training.stage_modules import reflect_module
from harken.training.stage_parts import (
    Run,
    check_spells,
    felt_vectors,
    people,
    precision,
    speller,
    work_folder,
)

if TYPE_CHECKING:
    from harken.model.core import Core
    from harken.model.reflection_marks import ReflectionMarks


def train_reflect_stage(run: Run) -> None:
    """A reply and what is thought of it while it is given, or an arm that it is compared with."""
    check_spells(run.recipe, "reflect")
    config: ReflectTraining = run.scaled(reflect_config(run.arm, run.seed))
    recipe = taught(run.recipe, config.arm)
    parts = needed(recipe)
    begun = run.world.made(lambda: beginning(run, "reflect", parts))
    folder = rows_folder(run.data)
    rows = reflect_rows(folder, recipe.languages)
    heard = row_states(run, rows, folder)
    tokenizer, core = load_text_side(recipe)
    settings = AffectConfig(
        config.schedule, "trace", direct_share=1 - config.trace_share, other_voice_share=0.0
    )
    listener, pieces = new_student(run, recipe, begun, settings)
    student = reflect_module(recipe, listener)
    begin_marks(student.marks, core, tokenizer)
    affects = felt_vectors(run) if (run.data / "affect").is_dir() else {}
    hearing = AffectTask(student, speller(pieces), tokenizer, recipe.system, heard, affects, settings)
    task = ReflectTask(hearing, student, recipe.reflect, config)
    replies = reflecting(rows, {clip.id: clip for clip in heard.clips})
    work = work_folder(run.out, "reflect", run.arm, run.seed)
    origin = digest([people(run), *((begun / name).read_bytes() for name in parts)])
    train_reflect(task, replies, work, origin, precision(), run.world)
    if run.world.first:
        _keep(run, recipe, begun, student, work)


@torch.no_grad()
def begin_marks(marks: ReflectionMarks, core: Core, tokenizer: Any) -> None:
    """Begin as the core's own brackets, which hold what is said aside, in place."""
    for row, bracket in zip(marks.rows, (" (", ")"), strict=True):
        ids = tokenizer.encode(bracket, add_special_tokens=False)
        row.copy_(core.embed(torch.tensor(ids)).mean(0))


def _keep(run: Run, recipe: Recipe, begun: Path, student: ReflectStudent, work: Path) -> None:
    """Write the parts as they are now, what was not trained as it was; an arm's in a folder of its own."""
    apart = work / "trained"
    if run.arm is not None:
        apart.mkdir(parents=True, exist_ok=True)
        for file in [*run.trained.iterdir(), *(begun / name for name in needed(recipe))]:
            if file.suffix != ".md" and file.name not in (RECIPE, UPDATE, MARKS):
                shutil.copyfile(file, apart / file.name)
    with leaving(run, "reflect") if run.arm is None else nullcontext(apart) as folder:
        save_tensors(folder / UPDATE, low_rank_update(student.core))
        if recipe.reflect:
            save_tensors(folder / MARKS, student.marks.state_dict())
        write_text(folder / RECIPE, recipe.model_dump_json(indent=2) + "\n")
