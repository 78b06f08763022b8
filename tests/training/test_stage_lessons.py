"""`harken bench train --stage`: what `Trainer` is given of the stages is what they learn."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
import torch

pytest.importorskip("peft", reason="the extra train is not installed")
pytest.importorskip("jiwer")

from harken.bench import train_stages
from harken.bench.train_stages import AlignLesson, Place
from harken.bench.train_systems import HARKEN, SYSTEMS, Work, run
from harken.checkpoint import LISTEN, PIECES, READOUT, RECIPE, UPDATE, save_listen
from harken.model.affect_readout import save_readout
from harken.tensors import save_tensors
from harken.testing import tiny_core
from harken.training import align_stage
from harken.training.answers import TOP, Answer
from harken.training.low_rank import low_rank_update
from harken.training.own_words import OwnWords
from harken.training.samples import Sample
from harken.training.stage_modules import align_module, readout_module
from harken.training.world import ALONE

SAID = ("oh no", "i won", "we met", "he left", "she won and we met", "no")
VECTOR = 148  # the readout's


def answer(tokenizer, text):
    tokens = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    top = [[t, *(i for i in range(TOP) if i != t)][:TOP] for t in tokens]
    return Answer(text, tokens, top, [[-0.5, *[-3.6] * (TOP - 1)] for _ in tokens])


def bare(recipe):
    return recipe.model_copy(update={"units": None, "speak": None})


@pytest.fixture
def place(recipe, pieces, tmp_path):
    """Parts as they ship, and where to go."""
    parts = tmp_path / "parts"
    torch.manual_seed(0)
    student = align_module(recipe, tiny_core(), pieces.ids, VECTOR)
    save_readout(readout_module(recipe), parts / READOUT)
    (parts / RECIPE).write_text(bare(recipe).model_dump_json())
    (parts / PIECES).write_text(json.dumps(pieces.ids))
    save_listen(parts, student.bridge, student.prefix)
    save_tensors(parts / UPDATE, low_rank_update(student.core))
    (tmp_path / "data" / "dialogue").mkdir(parents=True)
    return Place(tmp_path / "data", tmp_path / "out", parts)


@pytest.fixture
def align(place, recipe, spoken, tokenizer, monkeypatch):
    """Opens the lesson; what is large is made up."""
    own = OwnWords({text: answer(tokenizer, f"So {text}.") for text in SAID}, {}, {})
    samples = [Sample("1", "reply", "train", (), "I won!", "happy", "How nice!")]
    cache = spoken(*SAID, felt=(0.5,) * VECTOR)
    monkeypatch.setattr(train_stages, "turns", lambda run: cache)
    monkeypatch.setattr(align_stage, "load_text_side", lambda recipe: (tokenizer, tiny_core()))
    monkeypatch.setattr(align_stage, "text_samples", lambda folder: samples)
    monkeypatch.setattr(align_stage, "felt_vectors", lambda run: {"sad": torch.zeros(3, VECTOR) - 1})
    monkeypatch.setattr(align_stage, "own_words", lambda run, said, affects: own)
    work = Work(partial(AlignLesson, place), bare(recipe), samples_a_step=2, precision=torch.float32)
    return lambda **how: work.open_lesson(replace(work, **how), ALONE)


class Enough(Exception):
    pass


def teach(system, lesson, steps, out):
    done = iter(range(1, steps))

    def after():
        if next(done, None) is None:
            raise Enough

    with pytest.raises(Enough):
        run(system, lesson, out, after)


def test_align_begins_with_parts_and_each_system_learns_it(align, place, tmp_path):
    before = align()
    assert (place.out / "align" / "begun" / LISTEN).read_bytes() == (place.parts / LISTEN).read_bytes()
    held_out = before.held_out()
    assert held_out == before.held_out() and before.tally.tokens == 0 and before.costs() == (None, None)
    for system in SYSTEMS:
        lesson = align()
        teach(system, lesson, 6, tmp_path / system)
        assert 0 < lesson.tally.tokens <= lesson.tally.padded and lesson.held_out() < held_out
        moved = {
            name.split(".")[0]
            for name, parameter in lesson.module.named_parameters()
            if not torch.equal(parameter, dict(before.module.named_parameters())[name])
        }
        assert moved == {"bridge", "prefix", "core"}
        first = lesson.tally.tokens
        lesson.begin(1)
        assert lesson.held_out() == held_out and lesson.tally.tokens == 0
        teach(system, lesson, 6, tmp_path / f"{system}-again")
        assert system != HARKEN or lesson.tally.tokens == first


def test_the_same_clips_cost_the_trainer_the_same(align):
    lesson = align()
    lesson.module.eval()
    torch.manual_seed(0)
    ours = lesson.loss([0, 1])
    tokens = lesson.tally.tokens
    lesson.begin(1)
    torch.manual_seed(0)
    rows = [lesson.rows[0], lesson.rows[1]]
    theirs = lesson.taught(lambda: rows)(**lesson.collate(rows))["loss"]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert lesson.tally.tokens == tokens
