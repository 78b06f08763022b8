"""`harken train reflect`: what it reads, and what it and its arms leave for use."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

pytest.importorskip("pyarrow", reason="shards need pyarrow (extra data)")
pytest.importorskip("peft")

from harken.checkpoint import (
    LISTEN,
    MARKS,
    PIECES,
    READOUT,
    RECIPE,
    UPDATE,
    load_marks,
    save_listen,
    stored_recipe,
)
from harken.data.rows import Affect, Reflection, Row, Turn
from harken.data.shards import rows_path, write_rows
from harken.dialogue.conversation import Conversation
from harken.dialogue.events import Reflected
from harken.dialogue.reply import ReplySettings, reply
from harken.errors import DataError, RecipeError
from harken.model.affect_readout import AffectReadoutConfig, save_readout
from harken.recipes import ReflectConfig
from harken.tensors import read_tensors, save_tensors
from harken.testing import tiny_core, tiny_model, tiny_tokenizer
from harken.training import affect_stage, reflect_arms, reflect_stage, stage_modules, stage_parts, stages
from harken.training.low_rank import low_rank_update
from harken.training.reflect_arms import ReflectTraining
from harken.training.reflect_rows import reflect_rows
from harken.training.reflect_stage import train_reflect_stage
from harken.training.schedule import Schedule
from harken.training.stage_modules import align_module
from harken.training.stage_parts import Run
from harken.training.world import ALONE

QUICK = ReflectTraining(
    Schedule(steps=1, rates=(("marks.*", 1e-2), (reflect_arms.WRITE_UPDATE, 1e-2)), warmup=1)
)
HOW = ReflectConfig(response_tokens=4, reflection_tokens=10)
GOOD = Row(
    "1", "g", "train", "reflect", "reflect", "en", "tests", "CC0-1.0", True,
    (Turn("user", "he left", affect=(Affect("sad", "human"),)),), target="Poor you.",
    reflections=(Reflection(0, "need"), Reflection(4, "warm")), rejected="So what.",
)  # fmt: skip
MENDED = replace(
    GOOD,
    id="2",
    target="So what. Poor you.",
    given=8,
    reflections=(Reflection(0, "need"), Reflection(8, "cold")),
)


@pytest.fixture
def recipe(recipe):
    return recipe.model_copy(update={"units": None, "speak": None, "reflect": HOW})


@pytest.fixture
def parts(tmp_path, recipe, pieces):
    """A folder of trained parts, with something that the stage has no business with."""
    torch.manual_seed(0)
    folder = tmp_path / "parts"
    folder.mkdir()
    readout = AffectReadoutConfig(n_layers=2, width=27, layers=(0, 1), curved=2).build()
    save_readout(readout, folder / READOUT)
    student = align_module(recipe, tiny_core(), pieces.ids, readout.config.vector)
    save_listen(folder, student.bridge, student.prefix)
    save_tensors(folder / UPDATE, low_rank_update(student.core))
    (folder / PIECES).write_text(json.dumps(pieces.ids))
    (folder / RECIPE).write_text(recipe.model_copy(update={"reflect": None}).model_dump_json())
    save_tensors(folder / "speak.safetensors", {"a": torch.ones(1)})
    return folder


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    write_rows(rows_path(tmp_path / "data", 0), [GOOD, MENDED, replace(GOOD, id="3", split="dev", group="d")])
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def tiny_weights(monkeypatch):
    def text_side(recipe):
        return tiny_tokenizer(), tiny_core()

    for module in (affect_stage, reflect_stage):
        monkeypatch.setattr(module, "load_text_side", text_side)
    for module in (stage_parts, stage_modules, reflect_stage):
        monkeypatch.setattr(module, "precision", lambda: torch.float32)
    monkeypatch.setattr(reflect_arms, "ReflectTraining", lambda: QUICK)


@pytest.fixture
def call(tmp_path, recipe, data, parts):
    """call(**fields) -> a call of the stage into OUT."""

    def build(**fields):
        out = tmp_path / "out"
        (out / "trained").mkdir(parents=True, exist_ok=True)
        return Run(recipe, data, out, None, ALONE, **{"begin": parts} | fields)

    return build


def test_it_leaves_parts_that_reflect(call, parts):
    run = call()
    train_reflect_stage(run)
    trained = run.trained
    names = {file.name for file in trained.iterdir() if file.suffix != ".lock"}
    assert names == {LISTEN, UPDATE, READOUT, PIECES, RECIPE, MARKS, "speak.safetensors"}
    assert (trained / LISTEN).read_bytes() == (parts / LISTEN).read_bytes()
    before, after = read_tensors(parts / UPDATE), read_tensors(trained / UPDATE)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed and all(name.startswith("write.") for name in changed), "Speak reads what Think makes"
    recipe = stored_recipe(trained)
    assert recipe.reflect == HOW
    model = tiny_model(reflect=recipe.reflect)
    model.marks = load_marks(recipe, trained)
    events = list(reply(Conversation(model), "Hi.", ReplySettings(think="off", reflect=recipe.reflect)))
    assert any(isinstance(event, Reflected) for event in events)


def test_arms_stand_apart_whole_and_those_that_do_not_reflect_say_so(call):
    run = call()
    train_reflect_stage(run)
    whole = {file.name: file.read_bytes() for file in run.trained.iterdir()}
    for arm in reflect_arms.ARMS:
        train_reflect_stage(call(arm=arm, seed=1))
        trained = run.out / "arms" / f"{arm}-1" / "trained"
        reflects = arm in ("reflect", "think-before")
        assert (trained / MARKS).exists() == reflects
        assert bool(stored_recipe(trained).reflect) == reflects
        assert (trained / "speak.safetensors").exists()
    assert {file.name: file.read_bytes() for file in run.trained.iterdir()} == whole
    before = stored_recipe(run.out / "arms" / "think-before-1" / "trained").reflect
    assert (before.first, before.response_tokens) == ("reflection", run.recipe.max_reply_tokens)


def test_what_was_taught_of_reflecting_stays_when_another_stage_is_trained(call, tmp_path, monkeypatch):
    run = call()
    train_reflect_stage(run)
    fake = stages.Stage("about", "nothing", dict, lambda run: None)
    monkeypatch.setitem(stages.STAGES, "fake", fake)
    plain = run.recipe.model_copy(update={"reflect": None})
    stages.run("fake", plain, tmp_path, run.out)
    assert stored_recipe(run.trained).reflect == HOW


def test_parts_that_were_not_reflecting_refuse_to(call):
    train_reflect_stage(call(arm="sft"))
    trained = call().out / "arms" / "sft-0" / "trained"
    model = tiny_model(reflect=stored_recipe(trained).reflect)
    with pytest.raises(RecipeError, match="no tokens for reflections") as refused:
        list(reply(Conversation(model), "Hi.", ReplySettings(reflect=HOW)))
    assert "harken train reflect" in refused.value.hint


def test_a_data_set_without_reflections_names_the_recipe_that_makes_them(tmp_path):
    write_rows(rows_path(tmp_path, 0), [replace(GOOD, task="empathy"), replace(GOOD, id="2", split="dev")])
    with pytest.raises(DataError, match="no row of task reflect and split train in en") as refused:
        reflect_rows(tmp_path, ("en",))
    assert "harken data build reflect" in refused.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"reflections": (Reflection(99, "late"),)},
        {"reflections": (Reflection(4, "warm"), Reflection(0, "need"))},
        {"reflections": (Reflection(-1, "early"),)},
        {"given": 9},
        {"given": -1},
    ],
)
def test_reflections_that_are_no_places_of_their_reply_are_refused(tmp_path, changes):
    write_rows(rows_path(tmp_path, 0), [replace(GOOD, **changes)])
    with pytest.raises(DataError, match="reflections of row 1 are not places of its reply"):
        reflect_rows(tmp_path, ("en",))


def test_an_arm_is_whole_of_what_it_began_with(call, parts):
    train_reflect_stage(call())
    save_tensors(call().trained / LISTEN, {"a": torch.ones(1)})  # trained since
    train_reflect_stage(call(arm="sft"))
    trained = call().out / "arms" / "sft-0" / "trained"
    assert (trained / LISTEN).read_bytes() == (parts / LISTEN).read_bytes()
    with pytest.raises(RecipeError, match="neither what the stage 'reflect' began with"):
        train_reflect_stage(call())
