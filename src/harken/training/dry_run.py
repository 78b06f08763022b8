"""What a stage would train, part by part, told without data and weights: modules on the meta device have
names and sizes, and no numbers.

Two sizes are the data's, not the recipe's: how many pieces a CTC bridge spells with, and how many voices the
codec speaks in. Here they are what the shipped `mini` has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harken.model.core import new_core
from harken.model.encoder import new_encoder
from harken.model.own_voice import ReplyStyle
from harken.model.units.hifigan import Hifigan
from harken.recipes import CtcBridgeConfig, Recipe
from harken.training.arms import as_heard
from harken.training.joint import JointStudent
from harken.training.reply_style import LEARNING_RATE as STYLE_RATE
from harken.training.schedule import Rates, trainable
from harken.training.stage_modules import (
    align_module,
    codec_module,
    core_module,
    readout_module,
    reflect_module,
    words_module,
)
from harken.training.stage_parts import check_spells
from harken.unit_checkpoint import new_codec, new_speak

PIECES, VOICES = 942, 20
PARTS = {
    "encoder": "encoder.",
    "readout": "readout.",
    "bridge": "bridge.",
    "prefix": "prefix.",
    "embeddings": "core.embed.",
    "think": "core.think.",
    "write": "core.write.",
    "update": "",
    "codec": "codec.",
    "vocoder": "vocoder.",
    "speak": "speak.",
    "style": "style.",
    "marks": "marks.",
}
"""Parts of a system, and how the names of their parameters begin. `update` is the core's low-rank one;
`write` has the text head, unless that is the embeddings' matrix."""


@dataclass(frozen=True)
class Part:
    """How large a part is, and what a stage trains of it."""

    parameters: int
    trained: int
    learning_rates: tuple[float, ...]
    """At their peak, the slowest first."""


def parts(stage: str, recipe: Recipe, config: Any) -> dict[str, Part]:
    """All parts of the recipe's system. Args: config: the stage's.

    Raises RecipeError where the recipe lacks what the stage trains.
    """
    sizes, rates = dict[str, int](), dict[str, float]()
    with torch.device("meta"):
        for under, module in _system(recipe):
            sizes |= {under + name: p.numel() for name, p in module.named_parameters()}
        for under, module, patterns in trained_modules(stage, recipe, config):
            sizes |= {under + name: p.numel() for name, p in module.named_parameters()}
            rates |= {under + name: rate for name, rate in trainable(module, patterns).items()}
    members: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in sizes:
        members[part_of(name)].append(name)
    return {part: _counted(names, sizes, rates) for part, names in members.items() if names}


def part_of(name: str) -> str:
    """Which part a parameter of the system belongs to."""
    if "lora_" in name:
        return "update"
    return next(part for part, beginning in PARTS.items() if beginning and name.startswith(beginning))


def trained_modules(stage: str, recipe: Recipe, config: Any) -> Iterator[tuple[str, nn.Module, Rates]]:
    """What a stage trains: how its parameters' names begin in the system, the module, its learning rates."""
    affect_width = readout_module(recipe).config.vector
    match stage:
        case "readout":
            yield "readout.", readout_module(recipe), (("*", config.learning_rate),)
        case "words":
            yield "bridge.", words_module(recipe, new_core(recipe.core), range(PIECES)), config.schedule.rates
        case "core":
            yield "", core_module(recipe, new_core(recipe.core), affect_width), config.schedule.rates
        case "align":
            student = align_module(recipe, new_core(recipe.core), range(PIECES), affect_width)
            yield "", student, config.schedule.rates
        case "affect":
            student = align_module(
                as_heard(recipe, config), new_core(recipe.core), range(PIECES), affect_width
            )
            yield "", student, config.schedule.rates
        case "reflect":
            check_spells(recipe, stage)
            student = align_module(recipe, new_core(recipe.core), range(PIECES), affect_width)
            yield "", reflect_module(recipe, student), config.schedule.rates
        case "joint":
            core = core_module(recipe, new_core(recipe.core), affect_width).core
            speak = new_speak(recipe, new_core(recipe.core), VOICES)
            yield "", JointStudent(core, speak), config.schedule.rates
        case "codec":
            yield "codec.", codec_module(recipe, VOICES), config.schedule.rates
        case "speak":
            yield "speak.", new_speak(recipe, new_core(recipe.core), VOICES), config.schedule.rates
            yield "style.", ReplyStyle(affect_width), (("*", STYLE_RATE),)


def _system(recipe: Recipe) -> Iterator[tuple[str, nn.Module]]:
    """All that the recipe is made of, apart from a voice that comes with its weights."""
    readout = readout_module(recipe)
    yield "encoder.", new_encoder(recipe.listen)
    yield "readout.", readout
    yield "", align_module(recipe, new_core(recipe.core), range(PIECES), readout.config.vector)
    if recipe.units:
        tokenizer, decoder = new_codec(recipe, VOICES)
        yield "codec.", nn.ModuleDict({"tokenizer": tokenizer, "decoder": decoder})
        yield "vocoder.", Hifigan()
    if recipe.speak:
        yield "speak.", new_speak(recipe, new_core(recipe.core), VOICES)
        yield "style.", ReplyStyle(readout.config.vector)


def _counted(names: list[str], sizes: Mapping[str, int], rates: Mapping[str, float]) -> Part:
    trained = [name for name in names if name in rates]
    return Part(
        sum(sizes[name] for name in names),
        sum(sizes[name] for name in trained),
        tuple(sorted({rates[name] for name in trained})),
    )


def assumed(recipe: Recipe) -> dict[str, int]:
    """The sizes that the data decide, by what they count."""
    pieces = {"pieces": PIECES} if isinstance(recipe.listen.bridge, CtcBridgeConfig) else {}
    return pieces | ({"voices": VOICES} if recipe.units else {})


def show(counted: Mapping[str, Part], assumed: Mapping[str, int]) -> None:
    """The parts as a table, on standard error."""
    from rich.console import Console
    from rich.table import Table

    of_data = " and ".join(f"{count} {name}" for name, count in assumed.items())
    table = Table("part", caption=f"with {of_data}, which the data decide" if of_data else None)
    for column in ("parameters", "trained", "learning rate"):
        table.add_column(column, justify="right")
    for name, part in counted.items():
        rates = ", ".join(f"{rate:g}" for rate in part.learning_rates)
        table.add_row(name, f"{part.parameters:,}", f"{part.trained:,}" if part.trained else "", rates)
    table.add_section()
    together = (sum(part.parameters for part in counted.values()), sum(p.trained for p in counted.values()))
    table.add_row("together", *(f"{number:,}" for number in together), "")
    Console(stderr=True).print(table)
