"""What a dry run says of the recipes that come with Harken; that it is what runs train is tested with each
stage (`trains_what_is_told`).
"""

from __future__ import annotations

import json

import pytest

from harken.checkpoint import PIECES as PIECES_FILE
from harken.checkpoint import READOUT, shipped
from harken.errors import RecipeError
from harken.model.affect_readout import load_readout
from harken.recipes import mini, recipe
from harken.training import dry_run, stages
from harken.training.stage_modules import readout_module
from harken.unit_checkpoint import codec_voices

pytest.importorskip("peft")
WHOLE = {
    "mini": ["encoder", "readout", "bridge", "prefix", "embeddings", "think", "write", "update",
             "codec", "vocoder", "speak", "style"],
    "bilingual": ["encoder", "readout", "bridge", "prefix", "embeddings", "think", "write", "update"],
    "small": ["encoder", "readout", "bridge", "prefix", "embeddings", "think", "write", "update"],
    "paper": ["encoder", "readout", "bridge", "prefix", "embeddings", "think", "write"],
}  # fmt: skip


def counted(stage, name="mini"):
    return dry_run.parts(stage, recipe(name), stages.STAGES[stage].config(None, 0))


@pytest.mark.parametrize("name", WHOLE)
def test_all_parts_of_a_system_are_told_and_what_is_not_trained_is_said_to_be_frozen(name):
    told = counted("align", name)
    assert list(told) == WHOLE[name]
    trained = {part for part in told if told[part].trained}
    assert trained == {"bridge", "prefix", "update"} & set(told)
    for part in told.values():
        assert part.trained in (0, part.parameters) and bool(part.learning_rates) == bool(part.trained)


def test_the_core_is_as_large_as_it_is_known_to_be():
    told = counted("align", "paper")
    assert sum(told[part].parameters for part in ("embeddings", "think", "write")) == 8_190_735_360
    assert told["embeddings"].parameters == 151_936 * 4096


@pytest.mark.parametrize(
    ("stage", "trained"),
    [
        ("readout", {"readout": (2e-3,)}),
        ("words", {"bridge": (1e-3,)}),
        ("core", {"prefix": (2.4e-3,), "update": (8e-4,)}),
        ("align", {"bridge": (1.5e-4,), "prefix": (6e-4,), "update": (3e-4,)}),
        ("affect", {"bridge": (1e-5,), "prefix": (3e-4,), "update": (3e-4,)}),
        ("joint", {"speak": (1e-4, 2e-4), "update": (1e-4,)}),
        ("reflect", {"marks": (1e-3,), "update": (3e-4,)}),
        ("codec", {"codec": (1e-3,)}),
        ("speak", {"speak": (4e-4, 8e-4), "style": (0.02,)}),
    ],
)
def test_each_stage_trains_its_parts_at_its_rates(stage, trained):
    told = counted(stage)
    assert {part: told[part].learning_rates for part in told if told[part].trained} == trained


def test_sizes_that_the_data_decide_are_those_of_the_shipped_parts():
    folder = shipped("mini")
    assert len(json.loads((folder / PIECES_FILE).read_text())) == dry_run.PIECES
    assert len(codec_voices(folder)) == dry_run.VOICES
    assert load_readout(folder / READOUT).config == readout_module(mini()).config


@pytest.mark.parametrize(
    ("stage", "name", "lacks"),
    [
        ("words", "paper", "the bridge of the recipe 'paper' gives no transcript"),
        ("reflect", "paper", "the bridge of the recipe 'paper' gives no transcript"),
        ("codec", "small", "the recipe 'small' has no unit codec"),
        ("speak", "small", "the recipe 'small' has no Speak"),
    ],
)
def test_a_recipe_that_lacks_what_a_stage_trains_is_refused(stage, name, lacks):
    with pytest.raises(RecipeError, match=lacks):
        counted(stage, name)
