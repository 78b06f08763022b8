"""The paper's architecture, tiny: its adapter is trained by the same stages, and the core stays."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from harken.checkpoint import LISTEN, PIECES, READOUT, load_model
from harken.errors import RecipeError
from harken.model.affect_readout import save_readout
from harken.model.conv_bridge import ConvBridge
from harken.model.encoder import new_encoder
from harken.testing import tiny_core
from harken.training import align_stage, stages
from harken.training.align import AlignConfig, AlignTask, train_align
from harken.training.answers import TOP, Answer
from harken.training.own_words import OwnWords
from harken.training.samples import Sample
from harken.training.schedule import Schedule
from harken.training.stage_modules import align_module, readout_module

SYSTEM = "Be kind."
SAID = ("oh no", "i won", "we met")
VECTOR = 148  # the readout's
CONV_WIDTH = 28
AFFECTS = {"happy": torch.zeros(2, VECTOR) + 1, "sad": torch.zeros(3, VECTOR) - 1}


def answer(tokenizer, text):
    tokens = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    top = [[t, *(i for i in range(TOP) if i != t)][:TOP] for t in tokens]
    return Answer(text, tokens, top, [[-0.5, *[-3.6] * (TOP - 1)] for _ in tokens])


@pytest.fixture
def task(conv_recipe, tokenizer):
    torch.manual_seed(0)
    student = align_module(conv_recipe, tiny_core(), (), VECTOR)
    replies = {text: answer(tokenizer, f"So {text}.") for text in SAID}
    return AlignTask(student, None, tokenizer, SYSTEM, replies, {}, {}, {}, AFFECTS, AlignConfig())


@pytest.fixture
def cache(spoken):
    return spoken(*SAID, splits=("train", "dev"), width=CONV_WIDTH, felt=(0.5,) * VECTOR)


def test_two_steps_move_the_adapter_and_the_prefix_and_leave_the_core(
    conv_recipe, task, cache, tmp_path, trains_what_is_told
):
    def train(config):
        train_align(task, cache, config, tmp_path / "align", "someone")

    assert isinstance(task.student.bridge, ConvBridge)
    trains_what_is_told("align", conv_recipe, AlignConfig(), "", task.student, train)


def test_what_a_turn_sounds_like_becomes_its_vectors(task, cache):
    clip = cache.clips[0]
    states = torch.from_numpy(cache.states()[: clip.frames].astype("float32"))[None]
    heard = task.student.eval().hear(states, torch.ones(1, clip.frames, dtype=torch.bool))
    vectors = task.student.read(heard, 0, None)
    assert heard.log_probs is None and vectors.shape == (-(-clip.frames // 8), 32)
    drawn = task.draw(clip, 1.0, np.random.default_rng(0))
    inputs = task.example(drawn, heard, 0).inputs
    place = int((inputs == vectors[0].to(inputs)).all(-1).nonzero()[0])
    assert torch.equal(inputs[place : place + len(vectors)], vectors.to(inputs))


def test_it_learns_to_repeat_what_it_hears(task, cache, tmp_path):
    rates = (("bridge.*", 1e-2), ("prefix.*", 1e-2))
    schedule = Schedule(steps=20, rates=rates, warmup=2, evaluate_every=10, save_every=20)
    train_align(task, cache, AlignConfig(schedule, repeat_share=(1.0, 1.0)), tmp_path, "someone")
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert "ctc" not in rows[0] and rows[-1]["repeat"] < 0.9 * rows[0]["repeat"]
    assert rows[-1]["dev_repeat"] < rows[9]["dev_repeat"]


@pytest.fixture
def run_stage(conv_recipe, cache, tokenizer, tmp_path, monkeypatch):
    """run_stage(name): as `harken train` runs it, in `tmp_path`, three steps; what is large is made up."""
    samples = [Sample("1", "reply", "train", (), "I won!", "happy", "How nice!")]
    own = OwnWords({text: answer(tokenizer, f"So {text}.") for text in SAID}, {}, {})
    for place in ("harken.checkpoint", "harken.training.align_stage"):
        monkeypatch.setattr(f"{place}.load_text_side", lambda recipe: (tokenizer, tiny_core()))
    for place in ("harken.training.samples", "harken.training.align_stage"):
        monkeypatch.setattr(f"{place}.text_samples", lambda folder: samples)
    for module in (stages, align_stage):
        monkeypatch.setattr(module, "felt_vectors", lambda run: AFFECTS)
    monkeypatch.setattr(align_stage, "states", lambda run: cache)
    monkeypatch.setattr(align_stage, "own_words", lambda run, said, affects: own)
    (tmp_path / "data" / "dialogue").mkdir(parents=True)
    save_readout(readout_module(conv_recipe), tmp_path / "out" / "trained" / READOUT)

    def run(stage):
        stages.run(stage, conv_recipe, tmp_path / "data", tmp_path / "out", steps=3)

    return run


def test_core_and_align_leave_parts_that_answer_and_need_no_pieces(
    conv_recipe, run_stage, tmp_path, monkeypatch
):
    trained = tmp_path / "out" / "trained"
    run_stage("core")
    before = (trained / LISTEN).read_bytes()
    run_stage("align")
    assert (trained / LISTEN).read_bytes() != before and not (trained / PIECES).exists()
    monkeypatch.setattr("harken.weights.store.ensure", lambda name: tmp_path)
    monkeypatch.setattr("harken.model.encoder.load_encoder", lambda folder, config: new_encoder(config))
    model = load_model(conv_recipe, trained)
    heard = model.hear(np.random.default_rng(0).normal(size=16_000).astype(np.float32))
    assert heard.transcript is None and heard.embeddings.shape == (2 + 7, 32)  # 50 frames: 7 of 160 ms
    fresh = dict(tiny_core().named_parameters())
    assert all(torch.equal(p, fresh[name]) for name, p in model.core.named_parameters())


def test_the_stage_that_teaches_spelling_refuses_it(run_stage):
    with pytest.raises(RecipeError, match="gives no transcript, which the stage 'words' needs") as refused:
        run_stage("words")
    assert "CTC bridge" in refused.value.hint
