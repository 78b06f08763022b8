"""The core's low-rank update: what it learns from, what it leaves alone, and how it is shipped."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.dialogue.render import REPEAT, THINK_CLOSE, AssistantTurn, UserTurn, render
from harken.model.core import fold_low_rank
from harken.testing import tiny_core, tiny_tokenizer
from harken.training.core_update import (
    IGNORED,
    MODULES,
    Bins,
    CoreUpdateConfig,
    add_low_rank,
    collate,
    cross_entropy,
    load_low_rank,
    low_rank_update,
    text_example,
    train_core_update,
)
from harken.training.loop import Schedule
from harken.training.samples import Sample

REPLY = Sample("1", "reply", "train", (UserTurn("Hi."), AssistantTurn("Hello.")), "I won!", None, "How nice!")
TRACE = Sample("2", "trace", "train", (), "I won!", "happy", 'The speaker feels happy because: "I won"')
ECHO = Sample("3", "repeat", "dev", (), "Oh.", None, "Oh.")


@pytest.fixture
def adapted():
    """A tiny core with an update that changes it."""
    pytest.importorskip("peft")
    core = tiny_core()
    add_low_rank(core, rank=2)
    torch.manual_seed(1)
    for name, parameter in core.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return core


def logits(core, seed=0):
    inputs = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return core.logits(core(inputs).hidden)


def test_only_the_update_of_every_linear_layer_is_trainable():
    pytest.importorskip("peft")
    core = tiny_core()
    before = logits(core)
    add_low_rank(core, rank=2)
    trainable = {name for name, p in core.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trainable)
    assert len(trainable) == 2 * len(MODULES) * 4  # four layers, two matrices each
    assert not any("lora_" in name for name, p in core.named_parameters() if not p.requires_grad)
    torch.testing.assert_close(logits(core), before)  # it begins at nothing


def test_folding_the_shipped_update_into_a_fresh_core_is_the_adapted_core(adapted):
    folded = tiny_core()
    assert (logits(folded) - logits(adapted)).abs().max() > 0.1
    fold_low_rank(folded, low_rank_update(adapted))
    torch.testing.assert_close(logits(folded), logits(adapted), atol=0.02, rtol=0)


def test_training_goes_on_from_a_shipped_update(adapted):
    update = low_rank_update(adapted)
    assert all(tensor.dtype == torch.float16 for tensor in update.values())
    again = tiny_core()
    add_low_rank(again, rank=2)
    load_low_rank(again, update)
    torch.testing.assert_close(logits(again), logits(adapted), atol=0.02, rtol=0)
    second = low_rank_update(again)
    assert second.keys() == update.keys()
    for name, tensor in update.items():
        torch.testing.assert_close(second[name], tensor)


@pytest.mark.parametrize(
    ("sample", "learned"),
    [
        (REPLY, "How nice!<|im_end|>"),
        (TRACE, f'The speaker feels happy because: "I won"{THINK_CLOSE}'),  # the loop writes the opening
        (ECHO, "Oh.<|im_end|>"),
    ],
)
def test_only_the_target_is_learned_each_position_from_the_one_before(sample, learned):
    tokenizer = tiny_tokenizer()
    example = text_example(sample, tokenizer, "Be kind.")
    places = (example.labels != IGNORED).nonzero()[:, 0]
    assert tokenizer.decode(example.labels[places]) == learned
    assert torch.equal(example.inputs[places + 1], example.labels[places])
    assert places.tolist() == list(range(int(places[0]), len(example.inputs) - 1))
    asked = [*sample.history, UserTurn(sample.said, REPEAT if sample.task == "repeat" else None)]
    prompt = [i for segment in render(asked, tokenizer, "Be kind.") for i in segment]
    assert example.inputs[: len(prompt)].tolist() == prompt


@torch.no_grad()
def test_a_batch_costs_what_its_rows_cost():
    core, tokenizer = tiny_core(), tiny_tokenizer()
    examples = [text_example(s, tokenizer, "Be kind.") for s in (REPLY, TRACE, ECHO)]
    loss, hidden = cross_entropy(core, examples)
    alone = [cross_entropy(core, [example]) for example in examples]
    counts = [len(h) for _, h in alone]
    torch.testing.assert_close(
        loss, sum(n * x for n, (x, _) in zip(counts, alone, strict=True)) / sum(counts)
    )
    torch.testing.assert_close(hidden, torch.cat([h for _, h in alone]), atol=1e-4, rtol=1e-4)
    inputs, valid, labels = collate(examples, core)
    assert inputs.shape[:2] == valid.shape == labels.shape
    assert not inputs[~valid].any() and (labels[~valid] == IGNORED).all()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 120), st.integers(0, 9))
def test_bins_hold_everything_once_within_the_budget_and_a_step_decides(lengths, budget, seed):
    bins = Bins(lengths, budget, seed)
    count = len(bins.bins)
    for epoch in (0, 3):
        order = [bins.at(epoch * count + step) for step in range(count)]
        assert sorted(i for one in order for i in one) == list(range(len(lengths)))
    for one in bins.bins:
        assert len(one) == 1 or len(one) * max(lengths[i] for i in one) <= budget
    assert bins.at(7) == Bins(lengths, budget, seed).at(7)


def test_the_update_learns_its_samples_and_the_core_stays(tmp_path):
    pytest.importorskip("peft")
    core, fresh = tiny_core(), dict(tiny_core().named_parameters())
    add_low_rank(core, rank=4)
    dev = Sample("4", "reply", "dev", (), "Hm.", None, "Yes?")
    schedule = Schedule(steps=25, learning_rate=0.02, warmup=2, evaluate_every=25)
    config = CoreUpdateConfig(schedule, batch_tokens=400, most_tokens=200)
    train_core_update(core, tiny_tokenizer(), [REPLY, TRACE, dev], "Be kind.", config, tmp_path)
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
    losses = [float(row.split('"loss": ')[1].split(",")[0]) for row in rows]
    assert sum(losses[-4:]) < 0.6 * sum(losses[:4])
    assert "dev_loss" in rows[-1]
    for name, parameter in core.named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, fresh[name.replace(".base_layer", "")]), name
