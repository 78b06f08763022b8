"""The stages by which a recipe is trained, and what each takes and leaves: `harken train STAGE`.

Stage 1-1 of the IEAT paper, in the order in which it is run here:

1. `readout`: affect and gender from frozen encoder states, on people's speech.
2. `words`: the bridge, by CTC onto the core's embeddings.
3. `core`: the core's low-rank update, on written dialogues.
4. `align`: self-distillation, from the core's written answers to its spoken ones.

Stage 2, in which it learns to speak:

5. `codec`: speech as units, and back.
6. `speak`: replies said in units.

All stages of one model share `--out`: checkpoints and measurements in a folder each, and the parts themselves
in `OUT/trained`, which `harken reply --checkpoint` reads. The data folder holds `speech/` and `render/`
(spoken dialogues), `replies/` (rendered replies), `dialogue/` (written ones) and `affect/` (people's speech),
as the stage needs.
"""

from __future__ import annotations

import hashlib
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
from harken.training.stage_parts import Run, data_folder, felt_vectors, precision, readout, spoken, with_steps
from harken.training.world import world

if TYPE_CHECKING:
    from torch import Tensor

    from harken.model.conv_bridge import ConvBridge
    from harken.model.ctc_bridge import CtcBridge
    from harken.model.pieces import Pieces
    from harken.training.align import Student
    from harken.training.own_words import OwnWords
    from harken.training.states import StateCache


@dataclass(frozen=True)
class Stage:
    """What a stage is about, what it trains, its config and how it is run."""

    about: str
    trains: str
    config: Callable[[], Any]
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
) -> None:
    """Run one stage, from its last checkpoint if there is one.

    Raises:
        RecipeError: there is no such stage, or `resume` was asked for and there is nothing to go on from.
        DataError: the data folder lacks what the stage needs.
    """
    if stage not in STAGES:
        raise RecipeError(f"there is no stage {stage!r}", f"choose one of: {', '.join(STAGES)}")
    chosen = STAGES[stage]
    if dry_run:
        about = {"stage": stage, "about": chosen.about, "trains": chosen.trains}
        config = with_steps(chosen.config(), steps if chosen.stepwise else None)
        described = about | {"config": asdict(config), "recipe": recipe.model_dump()}
        print(json.dumps(described, indent=2))
        return
    assert data is not None and out is not None
    if resume and checkpoint(out / stage) is None:
        raise RecipeError(f"{out / stage} holds no checkpoint to resume", "leave --resume out to start")
    if not data.is_dir():
        raise DataError(f"{data} is not a folder", "name a folder that holds speech/, dialogue/ or affect/")
    (out / "trained").mkdir(parents=True, exist_ok=True)
    if (out / "trained" / RECIPE).exists():
        check_recipe(stored_recipe(out / "trained"), recipe, out / "trained")
    with world() as here:
        if here.first:
            write_text(out / "trained" / RECIPE, recipe.model_dump_json(indent=2) + "\n")
        chosen.run(Run(recipe, data, out, steps, here, hours))


def _readout(run: Run) -> None:
    from harken.training.readout import train_readout
    from harken.weights.store import ensure

    encoder = ensure(run.recipe.listen.encoder)
    scores = train_readout(data_folder(run.data, "affect"), encoder, run.trained, cache=run.out / "readout")
    for corpus, score in scores.items():
        print(corpus, score)


def _words(run: Run) -> None:
    import torch

    from harken.checkpoint import PIECES, load_pieces, load_text_side, new_bridge, save_listen
    from harken.model.pieces import choose_pieces
    from harken.training.words import WordsConfig, train_words

    tokenizer, core = load_text_side(run.recipe)
    cache, config = states(run), with_steps(WordsConfig(), run.steps)
    if not (run.trained / PIECES).exists():  # the same in every process
        texts = [clip.text for clip in cache.clips if clip.split == "train" and not clip.augmented]
        chosen = choose_pieces(tokenizer, texts, config.piece_at_least)
        write_text(run.trained / PIECES, json.dumps(chosen.ids))
    pieces = load_pieces(run.trained, tokenizer)
    torch.manual_seed(config.schedule.seed)
    bridge = ctc(new_bridge(run.recipe, core, pieces))
    train_words(bridge, pieces, cache, config, run.out / "words", precision(), run.world)
    if run.world.first:
        save_listen(run.trained, bridge)


def _core(run: Run) -> None:
    import torch

    from harken.checkpoint import UPDATE, load_text_side, new_prefix, save_listen
    from harken.tensors import save_tensors
    from harken.training.core_update import CoreTask, CoreUpdateConfig, Listener, train_core_update
    from harken.training.low_rank import add_low_rank, low_rank_update
    from harken.training.samples import text_samples

    tokenizer, core = load_text_side(run.recipe)
    config = with_steps(CoreUpdateConfig(), run.steps)
    torch.manual_seed(config.schedule.seed)
    prefix = new_prefix(run.recipe, core, readout(run).config.vector)
    core.to(precision())
    add_low_rank(core, run.recipe.core.low_rank)
    samples = text_samples(data_folder(run.data, "dialogue"))
    task = CoreTask(Listener(prefix, core), tokenizer, run.recipe.system, felt_vectors(run), config)
    train_core_update(task, samples, run.out / "core", precision(), run.world)
    if not run.world.first:
        return
    for folder in (run.out / "core", run.trained):  # `align` teaches by the first and goes on with the second
        save_tensors(folder / UPDATE, low_rank_update(core))
        save_listen(folder, prefix=prefix)


def _align(run: Run) -> None:
    from harken.checkpoint import UPDATE, load_text_side, save_listen
    from harken.model.lexicon import Lexicon
    from harken.model.speller import Speller
    from harken.tensors import save_tensors
    from harken.training.align import AlignConfig, AlignTask, train_align
    from harken.training.low_rank import low_rank_update
    from harken.training.samples import text_samples

    cache, config = states(run), with_steps(AlignConfig(), run.steps)
    affects = felt_vectors(run)
    turns = {clip.text for clip in cache.clips if clip.split == "train" and clip.role == "user"}
    own = run.world.made(lambda: own_words(run, sorted(turns), affects))
    written = text_samples(data_folder(run.data, "dialogue"))
    student, pieces = new_student(run)
    tokenizer, _ = load_text_side(run.recipe)
    task = AlignTask(
        student,
        Speller(pieces, Lexicon(pieces)),
        tokenizer,
        run.recipe.system,
        own.answers,
        own.felt,
        {s.said: s for s in written if s.task == "trace" and s.split == "train" and not s.open},
        own.causes,
        affects,
        config,
    )
    train_align(task, cache, config, run.out / "align", teacher(run), precision(), run.world)
    if run.world.first:
        save_listen(run.trained, student.bridge, student.prefix)
        save_tensors(run.trained / UPDATE, low_rank_update(student.core))


def teacher_update(run: Run) -> dict[str, Any]:
    """The core's update as the stage `core` left it. Raises RecipeError where it has not run yet."""
    from harken.checkpoint import UPDATE
    from harken.tensors import read_tensors

    kept = run.out / "core" / UPDATE
    if not kept.exists():
        raise RecipeError(f"{kept.parent} holds no {UPDATE} yet", "train it first: harken train core")
    return read_tensors(kept)


def teacher(run: Run) -> str:
    """Names who teaches and how it is asked: another core, prefix, readout or prompt answers otherwise."""
    from harken.checkpoint import LISTEN, READOUT, UPDATE

    teacher_update(run)
    parts = (run.out / "core" / UPDATE, run.out / "core" / LISTEN, run.trained / READOUT)
    asked = b"".join([run.recipe.system.encode(), *(part.read_bytes() for part in parts)])
    return hashlib.sha256(asked).hexdigest()[:8]


def new_student(run: Run) -> tuple[Student, Pieces]:
    """Bridge, prefix and core as the stages before left them, all of them to be trained on."""
    from harken.checkpoint import load_bridge, load_pieces, load_prefix, load_text_side
    from harken.training.align import Student
    from harken.training.low_rank import add_low_rank, load_low_rank

    tokenizer, core = load_text_side(run.recipe)
    pieces = load_pieces(run.trained, tokenizer)
    bridge = ctc(load_bridge(run.recipe, run.trained, core, pieces))
    prefix = load_prefix(run.recipe, run.out / "core", core, readout(run).config.vector)
    core.to(precision())
    add_low_rank(core, run.recipe.core.low_rank)
    load_low_rank(core, teacher_update(run))
    return Student(bridge.requires_grad_(True), prefix.requires_grad_(True), core), pieces


def own_words(run: Run, said: list[str], affects: dict[str, Tensor]) -> OwnWords:
    """What the core, as the stage `core` left it, makes of written turns."""
    from harken.checkpoint import load_prefix, load_text_side
    from harken.model.core import fold_low_rank
    from harken.training.own_words import Teacher, make_own_words

    tokenizer, core = load_text_side(run.recipe)
    prefix = load_prefix(run.recipe, run.out / "core", core, readout(run).config.vector)
    fold_low_rank(core, teacher_update(run))
    teaching = Teacher(core.to(precision()), prefix, tokenizer, run.recipe.system)
    return make_own_words(teaching, said, affects, run.out / "align" / f"teacher-{teacher(run)}")


def ctc(bridge: CtcBridge | ConvBridge) -> CtcBridge:
    """A CTC bridge. Raises RecipeError for another kind, which no stage trains yet."""
    from harken.model.ctc_bridge import CtcBridge

    if not isinstance(bridge, CtcBridge):
        raise RecipeError("the recipe's bridge is not a CTC bridge", "train a recipe with one, such as mini")
    return bridge


def states(run: Run) -> StateCache:
    """The encoder states of all spoken dialogues in the data folder; made where they are not there yet."""
    return run.world.made(lambda: _states(run))


def _states(run: Run) -> StateCache:
    from rich.progress import track

    from harken.checkpoint import READOUT
    from harken.model.encoder import load_encoder
    from harken.training.states import StateCache
    from harken.weights.store import ensure

    read = readout(run)
    name = hashlib.sha256((run.trained / READOUT).read_bytes()).hexdigest()[:8]  # its vectors are kept
    found = spoken(run.data, run.recipe.languages)
    cache = StateCache(run.out / f"states-{name}", run.recipe.listen.encoder_width)
    for split, augmented in (("dev", False), ("train", False), ("train", True)):
        part = [c for c in found if c.split == split and (c.role == "user" or not augmented)]
        missing = cache.missing(part, augmented)
        if missing:
            encoder = load_encoder(ensure(run.recipe.listen.encoder))
            added = cache.add(missing, encoder, read, 0, augmented)
            about = f"encoding {split} speech" + ", augmented" * augmented
            for _ in track(added, about, total=len(missing)):
                pass
    return cache


def _configs(module: str, name: str) -> Callable[[], Any]:
    def build() -> Any:
        from importlib import import_module

        return getattr(import_module(f"harken.training.{module}"), name)()

    return build


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
    "speak": Stage(
        "replies said in units, on what Think makes of their words; and which style answers which voice",
        "Speak, the reply's style",
        _configs("speak", "SpeakConfig"),
        _of_speech("train_speak_stage"),
    ),
}
