"""The stages by which a recipe is trained, and what each takes and leaves: `harken train STAGE`.

Stage 1-1 of the IEAT paper, in the order in which it is run here:

1. `readout`: affect and gender from frozen encoder states, on people's speech.
2. `words`: the bridge, by CTC onto the core's embeddings.
3. `core`: the core's low-rank update, on written dialogues.
4. `align`: self-distillation, from the core's written answers to its spoken ones.

Stage 1-2:

5. `affect`: what is felt, and why, from the rows of a built data set.

Stage 2, in which it learns to speak:

6. `codec`: speech as units, and back.
7. `speak`: replies said in units.
8. `joint`: the text of replies and their sound together.

Beside the paper's stages (seed 004):

9. `reflect`: what is thought of a reply while it is given.

All stages of one model share `--out`: checkpoints and measurements in a folder each, and the parts themselves
in `OUT/trained`, which `harken reply --checkpoint` reads. The data folder holds `speech/` and `render/`
(spoken dialogues), `replies/` (rendered replies), `dialogue/` (written ones), `affect/` (people's speech) and
`rows/` (a built data set), as the stage needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harken.checkpoint import RECIPE, check_recipe, stored_recipe
from harken.data.files import write_text
from harken.errors import DataError, RecipeError
from harken.recipes import Recipe
from harken.training.saving import checkpoint
from harken.training.stage_parts import (
    Run,
    check_spells,
    data_folder,
    felt_vectors,
    people,
    precision,
    readout,
    scaled,
    states,
    work_folder,
)
from harken.training.world import world

if TYPE_CHECKING:
    from harken.model.pieces import Pieces


@dataclass(frozen=True)
class Stage:
    """What a stage is about, what it trains, its config and how it is run."""

    about: str
    trains: str
    config: Callable[[str | None, int], Any]
    """Its settings, given an arm of a comparison and its seed."""
    run: Callable[[Run], None]
    stepwise: bool = True
    """Trains step by step: the number can be chosen, and it goes on from a checkpoint."""


def run(
    stage: str,
    recipe: Recipe,
    data: Path | None,
    out: Path | None,
    steps: int | None = None,
    hours: float | None = None,
    resume: bool = False,
    dry_run: bool = False,
    begin: Path | None = None,
    arm: str | None = None,
    seed: int = 0,
    allow_worse_words: bool = False,
    batch: int = 1,
    recompute: bool = False,
) -> None:
    """Run one stage, from its last checkpoint if there is one. Args: as of `Run`; recompute: as of `World`.

    Raises:
        RecipeError: there is no such stage or arm, or nothing to go on from where `resume` was asked for.
        DataError: the data folder lacks what the stage needs.
    """
    if stage not in STAGES:
        raise RecipeError(f"there is no stage {stage!r}", f"choose one of: {', '.join(STAGES)}")
    chosen = STAGES[stage]
    if dry_run:
        config = chosen.config(arm, seed)
        _describe(stage, recipe, scaled(config, steps, batch) if chosen.stepwise else config)
        return
    assert data is not None and out is not None
    if resume and checkpoint(work_folder(out, stage, arm, seed)) is None:
        missing = work_folder(out, stage, arm, seed)
        raise RecipeError(f"{missing} holds no checkpoint to resume", "leave --resume out to start")
    if not data.is_dir():
        raise DataError(f"{data} is not a folder", "name a folder that holds speech/, dialogue/ or affect/")
    (out / "trained").mkdir(parents=True, exist_ok=True)
    if (out / "trained" / RECIPE).exists():
        stored = stored_recipe(out / "trained")
        check_recipe(stored, recipe, out / "trained")
        if recipe.reflect is None:  # what was taught of it stays, whatever is trained next
            recipe = recipe.model_copy(update={"reflect": stored.reflect})
    with world(recompute) as here:
        if here.first:
            write_text(out / "trained" / RECIPE, recipe.model_dump_json(indent=2) + "\n")
        chosen.run(Run(recipe, data, out, steps, here, hours, begin, arm, seed, allow_worse_words, batch))


def _describe(stage: str, recipe: Recipe, config: Any) -> None:
    """What a stage would do: as JSON on standard output, its parts as a table on standard error."""
    from harken.training.dry_run import assumed, parts, show

    counted = parts(stage, recipe, config)
    about = {"stage": stage, "about": STAGES[stage].about, "trains": STAGES[stage].trains}
    sizes = {"parts": {name: asdict(part) for name, part in counted.items()}, "assumed": assumed(recipe)}
    print(json.dumps(about | sizes | {"config": asdict(config), "recipe": recipe.model_dump()}, indent=2))
    show(counted, assumed(recipe))


def _readout(run: Run) -> None:
    from harken.training.readout import train_readout
    from harken.weights.store import ensure

    if run.world.first:
        encoder, speech = ensure(run.recipe.listen.encoder), data_folder(run.data, "affect")
        for corpus, score in train_readout(speech, encoder, run.trained, cache=run.out / "readout").items():
            print(corpus, score)
    run.world.wait()


def _words(run: Run) -> None:
    import torch

    from harken.checkpoint import load_text_side, save_listen
    from harken.training.stage_modules import words_module
    from harken.training.words import WordsConfig, train_words

    check_spells(run.recipe, "words")
    tokenizer, core = load_text_side(run.recipe)
    cache, config = states(run), run.scaled(WordsConfig())
    texts = [clip.text for clip in cache.clips if clip.split == "train" and not clip.augmented]
    pieces = run.world.made(lambda: _pieces(run, tokenizer, texts, config.piece_at_least))
    torch.manual_seed(config.schedule.seed)
    bridge = words_module(run.recipe, core, pieces.ids)
    train_words(bridge, pieces, cache, config, run.out / "words", precision(), run.world)
    if run.world.first:
        save_listen(run.trained, bridge)


def _pieces(run: Run, tokenizer: Any, texts: list[str], at_least: int) -> Pieces:
    """What is spelled with; chosen where it was not yet."""
    from harken.checkpoint import PIECES, load_pieces
    from harken.model.pieces import choose_pieces

    if not (run.trained / PIECES).exists():
        write_text(run.trained / PIECES, json.dumps(choose_pieces(tokenizer, texts, at_least).ids))
    return load_pieces(run.trained, tokenizer)


def _core(run: Run) -> None:
    import torch

    from harken.checkpoint import UPDATE, load_text_side, save_listen
    from harken.tensors import save_tensors
    from harken.training.core_update import CoreTask, CoreUpdateConfig, train_core_update
    from harken.training.low_rank import low_rank_update
    from harken.training.samples import text_samples
    from harken.training.stage_modules import core_module

    tokenizer, core = load_text_side(run.recipe)
    config = run.scaled(CoreUpdateConfig())
    torch.manual_seed(config.schedule.seed)
    listener = core_module(run.recipe, core, readout(run).config.vector)
    samples = text_samples(data_folder(run.data, "dialogue"))
    task = CoreTask(listener, tokenizer, run.recipe.system, felt_vectors(run), config)
    train_core_update(task, samples, run.out / "core", people(run), precision(), run.world)
    if not run.world.first:
        return
    for folder in (run.out / "core", run.trained):  # `align` teaches by the first and goes on with the second
        save_tensors(folder / UPDATE, low_rank_update(core))
        save_listen(folder, prefix=listener.prefix)


def _align(run: Run) -> None:
    from harken.training.align_stage import train_align_stage

    train_align_stage(run)


def _configs(module: str, name: str, arms: bool = False) -> Callable[[str | None, int], Any]:
    def build(arm: str | None, seed: int) -> Any:
        from importlib import import_module

        make = getattr(import_module(f"harken.training.{module}"), name)
        return make(arm, seed) if arms else make()

    return build


def _affect(run: Run) -> None:
    from harken.training.affect_stage import train_affect_stage

    train_affect_stage(run)


def _joint(run: Run) -> None:
    from harken.training.joint_stage import train_joint_stage

    train_joint_stage(run)


def _reflect(run: Run) -> None:
    from harken.training.reflect_stage import train_reflect_stage

    train_reflect_stage(run)


def _of_speech(name: str) -> Callable[[Run], None]:
    def run_stage(run: Run) -> None:
        from harken.training import speech_stages

        getattr(speech_stages, name)(run)

    return run_stage


STAGES = {
    "readout": Stage(
        "affect and gender from encoder states",
        "the readout",
        _configs("readout", "ReadoutTraining"),
        _readout,
        stepwise=False,
    ),
    "words": Stage("CTC onto the core's embeddings", "the bridge", _configs("words", "WordsConfig"), _words),
    "core": Stage(
        "a listener's manner, and how it follows the voice, from written dialogues",
        "affect prefix, the core's low-rank update",
        _configs("core_update", "CoreUpdateConfig"),
        _core,
    ),
    "codec": Stage(
        "speech as units, and back",
        "the codec's tokenizer and decoder",
        _configs("codec", "CodecConfig"),
        _of_speech("train_codec_stage"),
    ),
    "align": Stage(
        "self-distillation from written to spoken turns",
        "bridge, affect prefix, the core's low-rank update",
        _configs("align", "AlignConfig"),
        _align,
    ),
    "affect": Stage(
        "what is felt, and why, as part of the answer, from the rows of a built data set",
        "affect prefix, the core's low-rank update, and slowly the bridge",
        _configs("arms", "arm_config", arms=True),
        _affect,
    ),
    "joint": Stage(
        "the text of replies and their sound together, on what Think makes of what was heard",
        "Speak, and of the core's low-rank update Write's part",
        _configs("joint", "JointConfig"),
        _joint,
    ),
    "reflect": Stage(
        "a reply and what is thought of it while it is given, from rows of the step reflect",
        "the marks around reflections and, of the core's low-rank update, Write's part",
        _configs("reflect_arms", "reflect_config", arms=True),
        _reflect,
    ),
    "speak": Stage(
        "replies said in units, on what Think makes of their words; and which style answers which voice",
        "Speak, the reply's style",
        _configs("speak", "SpeakConfig"),
        _of_speech("train_speak_stage"),
    ),
}
