"""What each stage trains, built from the recipe: for a run, which then fills in what was learned before, and
for a dry run, which counts it on the meta device. So the two cannot differ.

What is trained of a module, and how fast, is the stage's schedule's (`harken.training.schedule`).
"""

from __future__ import annotations

from collections.abc import Sequence

from harken.checkpoint import new_bridge, new_prefix
from harken.model.affect_readout import AffectReadout
from harken.model.core import Core
from harken.model.ctc_bridge import CtcBridge
from harken.model.reflection_marks import ReflectionMarks
from harken.recipes import Recipe
from harken.training.codec import CodecStudent
from harken.training.core_update import Listener
from harken.training.low_rank import add_low_rank
from harken.training.readout import encoder_readout, fitted
from harken.training.reflect import ReflectStudent
from harken.training.stage_parts import check_spells, precision
from harken.training.student import Student
from harken.unit_checkpoint import new_codec


def readout_module(recipe: Recipe) -> AffectReadout:
    """The readout as it comes out of fitting."""
    return fitted(encoder_readout(recipe.listen.encoder_layers, recipe.listen.encoder_width)).build()


def words_module(recipe: Recipe, core: Core, pieces: Sequence[int]) -> CtcBridge:
    """The bridge. Args: pieces: the tokens that it spells with. Raises RecipeError where there are none."""
    check_spells(recipe, "words")
    bridge = new_bridge(recipe, core, pieces)
    assert isinstance(bridge, CtcBridge)
    return bridge


def core_module(recipe: Recipe, core: Core, affect_width: int) -> Listener:
    """Affect prefix, and the core, which gets its update."""
    prefix = new_prefix(recipe, core, affect_width)
    add_low_rank(core.to(precision()), recipe.core.low_rank)
    return Listener(prefix, core)


def align_module(recipe: Recipe, core: Core, pieces: Sequence[int], affect_width: int) -> Student:
    """Bridge, affect prefix, and the core, which gets its update."""
    bridge, prefix = new_bridge(recipe, core, pieces), new_prefix(recipe, core, affect_width)
    add_low_rank(core.to(precision()), recipe.core.low_rank)
    return Student(bridge, prefix, core)


def reflect_module(recipe: Recipe, listener: Student) -> ReflectStudent:
    """The same with marks around reflections. Args: listener: as `align_module` makes it."""
    marks = ReflectionMarks(recipe.core.vocabulary, recipe.core.width)
    return ReflectStudent(listener.bridge, listener.prefix, listener.core, marks)


def codec_module(recipe: Recipe, voices: int) -> CodecStudent:
    """The codec's tokenizer and decoder, and what helps them learn."""
    return CodecStudent(*new_codec(recipe, voices))
