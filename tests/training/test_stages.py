"""What a stage says before it costs anything: that it exists, what it would do, what it lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import soundfile
import torch

from harken.checkpoint import PIECES, RECIPE, UPDATE, stored_recipe
from harken.errors import DataError, RecipeError
from harken.recipes import mini
from harken.training import stage_parts, stages
from harken.training.affect_config import AffectConfig
from harken.training.joint import JointConfig
from harken.training.schedule import Schedule
from harken.training.stage_parts import Run, precision, readout, scaled, spoken
from harken.training.stages import STAGES, run
from harken.training.words import WordsConfig
from harken.training.world import ALONE, World

RATES = (("*", 1e-3),)


def test_an_unknown_stage_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(RecipeError, match="there is no stage 'bridge'") as refused:
        run("bridge", mini(), tmp_path, tmp_path)
    assert all(name in refused.value.hint for name in ("readout", "words", "core", "align"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_dry_run_needs_no_data_and_prints_what_would_be_done(stage, capsys):
    pytest.importorskip("peft")
    run(stage, mini(), None, None, dry_run=True)
    out, err = capsys.readouterr()
    printed = json.loads(out)
    assert printed["stage"] == stage
    assert printed["recipe"]["name"] == "mini"
    assert printed["config"] and printed["about"] and printed["trains"]
    trained = [part["trained"] for part in printed["parts"].values() if part["trained"]]
    assert trained and all(f"{count:,}" in err for count in trained)
    assert "with 942 pieces and 20 voices" in err and printed["assumed"] == {"pieces": 942, "voices": 20}


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(RecipeError, match="words holds no checkpoint"):
        run("words", mini(), tmp_path, tmp_path / "out", resume=True)
    assert not (tmp_path / "out").exists()


def test_a_data_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        run("words", mini(), tmp_path / "nowhere", tmp_path / "out")


def test_a_stage_runs_with_its_recipe_stored_beside_its_parts(tmp_path, monkeypatch):
    calls = []
    fake = stages.Stage("about", "nothing", dict, calls.append)
    monkeypatch.setitem(STAGES, "fake", fake)
    run("fake", mini(), tmp_path, tmp_path / "out", steps=3)
    assert calls == [Run(mini(), tmp_path, tmp_path / "out", 3, ALONE)]
    trained = tmp_path / "out" / "trained"
    assert stored_recipe(trained) == mini() and [file.name for file in trained.iterdir()] == [RECIPE]


def test_missing_folders_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("harken.weights.store.ensure", lambda name, *_, **__: tmp_path)
    with pytest.raises(DataError, match="has no affect/"):
        run("readout", mini(), tmp_path, tmp_path / "out")
    with pytest.raises(DataError, match="holds no spoken dialogues in en") as refused:
        spoken(tmp_path, ("en",))
    assert "speech/" in refused.value.hint


def test_spoken_dialogues_of_other_languages_are_left_out(tmp_path):
    (tmp_path / "render").mkdir()
    for lang in ("en", "zh"):
        soundfile.write(tmp_path / "render" / f"{lang}.ogg", torch.zeros(1600).numpy(), 16000)
    common = {"text": "Hi.", "split": "train", "seconds": 0.1, "voice": "v", "group": "g", "source": "s"}
    rows = [json.dumps({"id": lang, "lang": lang} | common) for lang in ("en", "zh")]
    (tmp_path / "render" / "manifest.jsonl").write_text("\n".join(rows) + "\n")
    assert [clip.id for clip in spoken(tmp_path, ("en",))] == ["en"]
    assert [clip.id for clip in spoken(tmp_path, ("en", "zh"))] == ["en", "zh"]


def test_spoken_dialogues_have_some_to_train_on(tmp_path, monkeypatch):
    (tmp_path / "render").mkdir()
    dev = SimpleNamespace(lang="en", split="dev")
    monkeypatch.setattr("harken.data.speech.clips", lambda folder: [dev])
    with pytest.raises(DataError, match="no spoken turn of split train"):
        spoken(tmp_path, ("en",))


def test_what_another_stage_should_have_left_is_asked_for(tmp_path):
    with pytest.raises(RecipeError, match="no readout yet") as refused:
        readout(Run(mini(), tmp_path, tmp_path / "out", None, ALONE))
    assert "harken train readout" in refused.value.hint
    with pytest.raises(RecipeError, match=UPDATE) as refused:
        stage_parts.teacher_update(Run(mini(), tmp_path, tmp_path / "out", None, ALONE))
    assert "harken train core" in refused.value.hint


def test_the_teacher_is_the_core_as_its_stage_left_it_and_is_named_by_it(tmp_path, monkeypatch):
    from harken.checkpoint import LISTEN, READOUT
    from harken.tensors import save_tensors

    step = Run(mini(), tmp_path, tmp_path, None, ALONE)
    parts = (tmp_path / "core" / LISTEN, step.trained / READOUT)
    for part in parts:
        save_tensors(part, {"a": torch.ones(1)})
    save_tensors(tmp_path / "core" / UPDATE, {"a.up": torch.ones(2)})
    save_tensors(step.trained / UPDATE, {"a.up": torch.zeros(2)})  # what `align` made of it
    assert stage_parts.teacher_update(step)["a.up"].tolist() == [1, 1]
    first = stage_parts.teacher(step)
    assert stage_parts.teacher(step) == first
    other = Run(mini().model_copy(update={"system": "Be brief."}), tmp_path, tmp_path, None, ALONE)
    assert stage_parts.teacher(other) != first
    monkeypatch.setattr(stage_parts, "people", lambda run: "others")
    assert stage_parts.teacher(step) != first
    for part in (tmp_path / "core" / UPDATE, *parts):
        before = stage_parts.teacher(step)
        save_tensors(part, {"a.up": torch.zeros(2)})
        assert stage_parts.teacher(step) != before


def test_fewer_steps_are_asked_for_or_the_usual():
    usual = WordsConfig(Schedule(steps=100, rates=RATES), spans=1)
    assert scaled(usual) == usual
    assert scaled(usual, 7) == WordsConfig(Schedule(steps=7, rates=RATES), spans=1)


def test_products_are_computed_in_what_is_quick_here(monkeypatch):
    ops, cuda = torch.ops.mkldnn, torch.cuda
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    for supported, chosen in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(ops, "_is_mkldnn_bf16_supported", lambda supported=supported: supported)
        assert precision() is chosen
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    assert precision() is torch.bfloat16


def test_batches_are_as_many_times_as_large():
    affect = scaled(AffectConfig(), batch=4)
    rates = tuple((pattern, 2 * rate) for pattern, rate in AffectConfig().schedule.rates)
    schedule = replace(AffectConfig().schedule, rates=rates)
    assert affect == replace(AffectConfig(), batch_tokens=2000, replay_s=120.0, schedule=schedule)
    joint = JointConfig()
    larger = scaled(joint, batch=2)
    assert (larger.steps_a_batch, larger.affect_tokens) == (2 * joint.steps_a_batch, 2 * joint.affect_tokens)


def test_a_dry_run_shows_the_steps_that_were_asked_for(capsys):
    pytest.importorskip("peft")
    run("words", mini(), None, None, steps=7, dry_run=True)
    assert json.loads(capsys.readouterr().out)["config"]["schedule"]["steps"] == 7


def test_states_are_those_of_the_speech_that_is_there_now(tmp_path, monkeypatch):
    kept = []
    cache = SimpleNamespace(keep=kept.append)
    now = [SimpleNamespace(lang="en", split="train", role="user")]
    monkeypatch.setattr(stage_parts, "spoken", lambda *_: now)
    monkeypatch.setattr(stage_parts, "state_cache", lambda *_: cache)
    monkeypatch.setattr(stage_parts, "encode", lambda *_: None)
    assert stage_parts.states(Run(mini(), tmp_path, tmp_path, None, ALONE)) is cache
    assert kept == [now]


@pytest.fixture
def second(tmp_path, monkeypatch):
    """A call of a stage in the second of two processes: once it has waited, the first has chosen pieces."""

    def wait(world):
        (tmp_path / "trained").mkdir(exist_ok=True)
        (tmp_path / "trained" / PIECES).write_text("[1, 2]")

    monkeypatch.setattr(World, "wait", wait)
    monkeypatch.setattr("harken.weights.store.ensure", lambda name, *_, **__: tmp_path)
    return Run(mini(), tmp_path, tmp_path, None, World(1, 2, torch.device("cpu")))


def test_the_readout_is_trained_by_the_first_process(second, monkeypatch):
    def train(*_, **__):
        raise AssertionError("it is trained already")

    monkeypatch.setattr("harken.training.readout.train_readout", train)
    STAGES["readout"].run(second)
    assert (second.trained / PIECES).exists()  # it waited


def test_pieces_are_chosen_by_the_first_process(second, tokenizer, monkeypatch):
    def choose(*_):
        raise AssertionError("they are chosen already")

    spelled = []
    monkeypatch.setattr("harken.model.pieces.choose_pieces", choose)
    monkeypatch.setattr("harken.checkpoint.load_text_side", lambda recipe: (tokenizer, None))
    monkeypatch.setattr("harken.training.stage_modules.words_module", lambda recipe, core, ids: ids)
    monkeypatch.setattr("harken.training.words.train_words", lambda *given: spelled.append(given[0]))
    monkeypatch.setattr(stages, "states", lambda run: SimpleNamespace(clips=[]))
    STAGES["words"].run(second)
    assert spelled == [[1, 2]]
