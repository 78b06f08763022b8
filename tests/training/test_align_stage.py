"""`harken train align`: which bridge it begins with, and that it undoes nothing that was trained since."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

pytest.importorskip("peft")
pytest.importorskip("jiwer")

from harken.checkpoint import LISTEN, PIECES, READOUT, UPDATE, listen_part, save_listen
from harken.errors import RecipeError
from harken.model.affect_readout import save_readout
from harken.tensors import save_tensors
from harken.testing import tiny_core
from harken.training import align_stage, stages
from harken.training.answers import TOP, Answer
from harken.training.low_rank import low_rank_update
from harken.training.own_words import OwnWords
from harken.training.samples import Sample
from harken.training.stage_modules import align_module, readout_module

SAID = ("oh no", "i won")
VECTOR = 148  # the readout's


def answer(tokenizer, text):
    tokens = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    top = [[t, *(i for i in range(TOP) if i != t)][:TOP] for t in tokens]
    return Answer(text, tokens, top, [[-0.5, *[-3.6] * (TOP - 1)] for _ in tokens])


@pytest.fixture
def student(recipe, pieces):
    """student(seed) -> bridge, prefix and core as earlier stages might leave them."""

    def build(seed):
        torch.manual_seed(seed)
        return align_module(recipe, tiny_core(), pieces.ids, VECTOR)

    return build


@pytest.fixture
def out(recipe, pieces, student, tmp_path):
    """OUT after `readout`, `words` and `core`."""
    folder, first = tmp_path / "out", student(0)
    save_readout(readout_module(recipe), folder / "trained" / READOUT)
    (folder / "trained" / PIECES).write_text(json.dumps(pieces.ids))
    save_listen(folder / "trained", first.bridge, first.prefix)
    for parts in (folder / "core", folder / "trained"):
        save_listen(parts, prefix=first.prefix)
        save_tensors(parts / UPDATE, low_rank_update(first.core))
    return folder


@pytest.fixture
def align(recipe, out, spoken, tokenizer, tmp_path, monkeypatch):
    """align(): the stage as `harken train` runs it, one step; what is large is made up."""
    cache = spoken(*SAID, splits=("train", "dev"), felt=(0.5,) * VECTOR)
    own = OwnWords({text: answer(tokenizer, f"So {text}.") for text in SAID}, {}, {})
    samples = [Sample("1", "reply", "train", (), "I won!", "happy", "How nice!")]
    monkeypatch.setattr(align_stage, "load_text_side", lambda recipe: (tokenizer, tiny_core()))
    monkeypatch.setattr(align_stage, "text_samples", lambda folder: samples)
    monkeypatch.setattr(align_stage, "states", lambda run: cache)
    monkeypatch.setattr(align_stage, "felt_vectors", lambda run: {"sad": torch.zeros(3, VECTOR) - 1})
    monkeypatch.setattr(align_stage, "own_words", lambda run, said, affects: own)
    (tmp_path / "data" / "dialogue").mkdir(parents=True)
    recipe = recipe.model_copy(update={"units": None, "speak": None})
    return lambda: stages.run("align", recipe, tmp_path / "data", out, steps=1)


def test_it_ends_where_it_ended_and_another_bridge_is_another_beginning(align, out, student):
    trained = out / "trained"
    before = (trained / LISTEN).read_bytes()
    align()
    after = (trained / LISTEN).read_bytes()
    assert after != before
    align()  # it is done already
    assert (trained / LISTEN).read_bytes() == after
    save_listen(trained, student(1).bridge)  # as `words` leaves another
    bridge = listen_part("bridge.", trained)
    with pytest.raises(RecipeError, match="neither what the stage 'align' began with nor what") as refused:
        align()
    assert str(out / "align") in refused.value.hint
    shutil.rmtree(out / "align")
    align()
    moved = [(value - bridge[name]).abs().max() for name, value in listen_part("bridge.", trained).items()]
    assert 0 < max(moved) < 0.01, "a step from the new one"


def test_an_update_that_another_stage_left_is_not_undone(align, out, student):
    align()
    save_tensors(out / "trained" / UPDATE, low_rank_update(student(2).core) | {"more": torch.ones(1)})
    newer = (out / "trained" / UPDATE).read_bytes()
    with pytest.raises(RecipeError, match=f"{UPDATE} is neither what the stage 'align' began with"):
        align()
    assert (out / "trained" / UPDATE).read_bytes() == newer
