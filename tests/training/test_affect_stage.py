"""`harken train affect`: which parts it begins with, and what it and its arms leave."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("pyarrow", reason="shards need pyarrow (extra data)")
pytest.importorskip("peft")
pytest.importorskip("jiwer")

from harken.checkpoint import (
    LISTEN,
    PIECES,
    READOUT,
    RECIPE,
    UPDATE,
    load_prefix,
    new_bridge,
    save_listen,
    stored_recipe,
)
from harken.data.rows import Affect, Row, Turn
from harken.data.shards import write_shard
from harken.data.workspace import Workspace
from harken.errors import DataError, RecipeError
from harken.model.affect_readout import AffectReadoutConfig, save_readout
from harken.model.listen import AffectPrefix
from harken.recipes import ConvBridgeConfig, CtcBridgeConfig, mini
from harken.tensors import read_tensors, save_tensors
from harken.testing import tiny_core, tiny_recipe, tiny_tokenizer
from harken.training import affect_stage, arms, stage_modules, stage_parts
from harken.training.affect_config import AffectConfig
from harken.training.affect_stage import needed, train_affect_stage
from harken.training.begun import beginning
from harken.training.low_rank import add_low_rank, low_rank_update
from harken.training.schedule import CORE_UPDATE, Schedule
from harken.training.stage_parts import Run
from harken.training.stages import run as run_stage
from harken.training.states import INDEX, STATES, CachedClip
from harken.training.world import ALONE

PARTS = needed(mini())
WIDTH = 28
BRIDGE = CtcBridgeConfig(width=16, layers=1, heads=2, kernel=3)
SCHEDULE = Schedule(steps=1, rates=(("prefix.*", 1e-2), (CORE_UPDATE, 1e-2)), warmup=1)


@pytest.fixture
def recipe(request):
    """A tiny system; with another bridge, which gives no transcript, its core stays as it is."""
    tiny, bridge = tiny_recipe(), getattr(request, "param", BRIDGE)
    sizes = {"encoder_width": WIDTH, "encoder_heads": 2, "affect_vectors": 2}
    listen = tiny.listen.model_copy(update={"bridge": bridge, **sizes})
    core = tiny.core.model_copy(update={"low_rank": 2 if bridge is BRIDGE else 0})
    return tiny.model_copy(update={"listen": listen, "core": core, "units": None, "speak": None})


@pytest.fixture
def parts(tmp_path, recipe, pieces):
    """A folder of trained parts, as `align` would leave them."""
    torch.manual_seed(0)
    folder, core = tmp_path / "parts", tiny_core()
    folder.mkdir()
    readout = AffectReadoutConfig(n_layers=2, width=WIDTH, layers=(0, 1), curved=2).build()
    save_readout(readout, folder / READOUT)
    bridge = new_bridge(recipe, core, pieces.ids)
    prefix = AffectPrefix(readout.config.vector, 2, core.width, core.embedding_rms())
    save_listen(folder, bridge, prefix)
    add_low_rank(core, recipe.core.low_rank)
    save_tensors(folder / UPDATE, low_rank_update(core))
    if PIECES in needed(recipe):
        (folder / PIECES).write_text(json.dumps(pieces.ids))
    (folder / RECIPE).write_text(recipe.model_dump_json())
    (folder / "card.md").write_text("# Another model\n")
    return folder


@pytest.fixture
def data(tmp_path):
    """A built data set of two rows, one of them spoken."""
    spoken = row(tmp_path, "1")
    unspoken = replace(spoken, id="2", turns=(replace(spoken.turns[0], audio=None, seconds=None),))
    write_shard(tmp_path / "data", 0, [spoken, unspoken], Workspace(tmp_path / "work"))
    return tmp_path / "data"


def row(tmp_path, name, split="train"):
    """Somebody who says that he left, and is answered."""
    Workspace(tmp_path / "work").save(
        f"he-left-{name}", 0.1 * np.sin(np.arange(16000, dtype=np.float32)), 16000
    )
    said = Turn("user", "he left", f"work:he-left-{name}.ogg", 1.0, affect=(Affect("sad", "human"),))
    about = ("empathy", "1-2", "en", "tests", "CC0-1.0", True)
    return Row(name, name, split, *about, (said,), target="Poor you.")


@pytest.fixture(autouse=True)
def tiny_weights(monkeypatch):
    """Weights that are tiny, settings that take one step, and an encoder that hears noise."""

    def encode(run, cache, clips, about, augmented=False):
        cache.folder.mkdir(parents=True, exist_ok=True)
        felt = (0.5,) * stage_parts.readout(run).config.vector
        cached = [
            CachedClip(
                c.id, c.text, c.role, c.voice, c.split, c.source, c.emotion, 1.0, 50 * n, 50, False, felt
            )
            for n, c in enumerate(clips)
        ]
        noise = np.random.default_rng(0).standard_normal((50 * len(clips), WIDTH)).astype(np.float16)
        (cache.folder / STATES).write_bytes(noise.tobytes())
        (cache.folder / INDEX).write_text("".join(json.dumps(clip.__dict__) + "\n" for clip in cached))
        cache.clips = cached

    def text_side(recipe):
        return tiny_tokenizer(), tiny_core()

    monkeypatch.setattr(affect_stage, "encode", encode)
    monkeypatch.setattr(affect_stage, "load_text_side", text_side)
    monkeypatch.setattr("harken.checkpoint.load_text_side", text_side)
    monkeypatch.setattr(stage_parts, "precision", lambda: torch.float32)
    monkeypatch.setattr(stage_modules, "precision", lambda: torch.float32)
    monkeypatch.setattr(affect_stage, "precision", lambda: torch.float32)
    quick = AffectConfig(SCHEDULE, replay_s=10.0)
    monkeypatch.setattr(
        arms,
        "ARMS",
        {"reply": replace(quick, supervise="reply"), "mute": replace(quick, affect_vectors=False)},
    )
    monkeypatch.setattr(arms, "AffectConfig", lambda: quick)


@pytest.fixture
def call(tmp_path, recipe, data):
    """call(**fields) -> a call of the stage into OUT, which is there."""

    def build(**fields):
        out = tmp_path / "out"
        (out / "trained").mkdir(parents=True, exist_ok=True)
        (out / "trained" / RECIPE).write_text(recipe.model_dump_json())
        return Run(recipe, data, out, None, ALONE, **fields)

    return build


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix != ".lock"}


def test_it_begins_with_named_parts_and_leaves_others_of_the_same_form(call, parts, tmp_path):
    run = call(begin=parts)
    train_affect_stage(run)
    before, begun, after = files(parts), files(run.out / "affect" / "begun"), files(run.trained)
    assert begun == {name: before[name] for name in PARTS}
    assert after.keys() == before.keys() - {"card.md"}, "a card tells of other weights"
    assert {name for name in after if after[name] != before[name]} == {LISTEN, UPDATE}
    assert load_prefix(run.recipe, run.trained, tiny_core(), 4).count == 2
    train_affect_stage(call())  # it is done already, and begins where it began
    assert files(run.trained) == after


def test_an_arm_begins_there_too_and_stands_apart(call, parts):
    run = call(begin=parts)
    train_affect_stage(run)
    whole = files(run.trained)
    train_affect_stage(call(arm="reply", seed=1))
    train_affect_stage(call(arm="reply", seed=2))
    assert files(run.trained) == whole
    one, other = (files(run.out / "arms" / f"reply-{seed}" / "trained") for seed in (1, 2))
    assert one.keys() == {*PARTS, RECIPE} and one[UPDATE] != other[UPDATE]
    settings = json.loads((run.out / "arms" / "reply-1" / "checkpoint-0000001" / "run.json").read_text())
    assert settings["run"]["config"]["supervise"] == "reply"


def test_arms_begin_with_a_core_and_a_prefix_that_were_taught_nothing(call, parts):
    run = call(begin=parts, arm="reply")
    train_affect_stage(run)
    begun, taught = run.out / "arms" / "begun", read_tensors(parts / LISTEN)
    assert not any(t.any() for name, t in read_tensors(begun / UPDATE).items() if name.endswith(".up"))
    for name, tensor in read_tensors(begun / LISTEN).items():
        assert torch.equal(tensor, taught[name]) == (
            name not in ("prefix.project.weight", "prefix.project.bias")
        )
    assert (begun / READOUT).read_bytes() == (parts / READOUT).read_bytes()


def test_an_arm_without_affect_vectors_hears_none_in_use(call, parts):
    train_affect_stage(call(begin=parts, arm="mute"))
    trained = call().out / "arms" / "mute-0" / "trained"
    recipe = stored_recipe(trained)
    assert recipe.listen.affect_vectors == 0
    prefix = load_prefix(recipe, trained, tiny_core(), 4)
    assert prefix(torch.zeros(3, 4)).shape == (3, 0, tiny_core().width)


def test_parts_that_are_missing_are_named(call):
    with pytest.raises(RecipeError, match=f"lacks {LISTEN}") as refused:
        beginning(call(), "affect", PARTS)
    assert "--from mini" in refused.value.hint


def test_parts_of_another_recipe_are_refused(call, parts, recipe):
    other = recipe.model_copy(update={"core": recipe.core.model_copy(update={"low_rank": 8})})
    (parts / RECIPE).write_text(other.model_dump_json())
    with pytest.raises(RecipeError, match=r"core\.low_rank: 8 there, 2 here"):
        beginning(call(begin=parts), "affect", PARTS)


def test_what_began_with_other_parts_is_not_gone_on_with(call, parts):
    beginning(call(begin=parts), "affect", PARTS)
    save_tensors(parts / UPDATE, {"a.up": torch.ones(1)})
    with pytest.raises(RecipeError, match="began with other parts"):
        beginning(call(begin=parts), "affect", PARTS)


def test_a_dry_run_shows_an_arm(recipe, capsys):
    run_stage("affect", recipe, None, None, dry_run=True, arm="mute", seed=7)
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["affect_vectors"] is False and config["schedule"]["seed"] == 7
    with pytest.raises(RecipeError, match="no arm 'loud'") as refused:
        run_stage("affect", recipe, None, None, dry_run=True, arm="loud")
    assert refused.value.hint == "choose one of: reply, mute"


def test_an_arm_is_resumed_from_its_own_folder(recipe, tmp_path):
    with pytest.raises(RecipeError, match="mute-3 holds no checkpoint to resume"):
        run_stage("affect", recipe, tmp_path, tmp_path / "out", resume=True, arm="mute", seed=3)


def test_what_was_trained_since_is_not_undone(call, parts):
    run = call(begin=parts)
    train_affect_stage(run)
    left = files(run.trained)
    other = {name: tensor + 1 for name, tensor in read_tensors(run.trained / UPDATE).items()}
    save_tensors(run.trained / UPDATE, other)
    whole = files(run.trained)
    for again in (call(), run):
        with pytest.raises(
            RecipeError, match="neither what the stage 'affect' began with nor what"
        ) as refused:
            train_affect_stage(again)
        assert str(run.out / "affect") in refused.value.hint
    train_affect_stage(call(arm="reply", seed=1))  # leaves OUT/trained alone
    assert files(run.trained) == whole
    for name in (LISTEN, UPDATE):  # a call that ended before it had left both goes on
        (run.trained / UPDATE).write_bytes(left[UPDATE])
        (run.trained / name).write_bytes((parts / name).read_bytes())
        train_affect_stage(call())
        assert files(run.trained) == left


@pytest.mark.parametrize("recipe", [ConvBridgeConfig(layers=1, heads=2, kv_heads=1)], indirect=True)
def test_the_papers_adapter_learns_too_and_the_core_stays(call, parts, data, tmp_path, monkeypatch):
    schedule = replace(SCHEDULE, rates=(("prefix.*", 1e-2), ("bridge.*", 1e-2), (CORE_UPDATE, 1e-2)))
    monkeypatch.setattr(arms, "AffectConfig", lambda: AffectConfig(schedule, replay_s=10.0))
    write_shard(data, 1, [row(tmp_path, "3", "dev")], Workspace(tmp_path / "work"))
    run = call(begin=parts)
    train_affect_stage(run)
    before, after = read_tensors(parts / LISTEN), read_tensors(run.trained / LISTEN)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name.split(".")[0] for name in moved} == {"bridge", "prefix"}
    assert read_tensors(run.trained / UPDATE) == {} and not (run.trained / PIECES).exists()
    measured = json.loads((run.out / "affect" / "metrics.jsonl").read_text())
    assert measured["dev_repeat"] > 0 and "dev_wer" not in measured, "it has no words to be guarded"


def test_other_people_are_another_beginning(call, parts, monkeypatch):
    train_affect_stage(call(begin=parts))
    monkeypatch.setattr(affect_stage, "people", lambda run: "others")
    with pytest.raises(RecipeError, match="origin"):
        train_affect_stage(call())


def test_without_any_speech_nothing_is_begun(call, parts, data, monkeypatch):
    monkeypatch.setattr(affect_stage, "affect_rows", lambda *_: [])
    with pytest.raises(DataError, match="no speech of split train to replay"):
        train_affect_stage(call(begin=parts))


def test_what_rows_say_is_told_as_they_are_now(call, parts, spoken, monkeypatch):
    cache = spoken("he left", "i won")
    now = [SimpleNamespace(**vars(cache.clips[0]) | {"split": "dev"})]
    monkeypatch.setattr(affect_stage, "state_cache", lambda *_: cache)
    monkeypatch.setattr(affect_stage, "encode", lambda *_: None)
    monkeypatch.setattr(affect_stage, "row_clips", lambda *_: now)
    heard = affect_stage.row_states(call(begin=parts), [], parts)
    assert [(clip.text, clip.split) for clip in heard.clips] == [("he left", "dev")]
