"""What the core reads of a sample, which positions it learns, and how batches are put together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.dialogue.render import REPEAT, THINK_CLOSE, AssistantTurn, UserTurn, render
from harken.testing import tiny_core
from harken.training.examples import IGNORED, Bins, alike, collate, example, instruction, target_ids
from harken.training.samples import Sample

SYSTEM = "Be kind."
REPLY = Sample("1", "reply", "train", (UserTurn("Hi."), AssistantTurn("Hello.")), "I won!", None, "How nice!")
TRACE = Sample("2", "trace", "train", (), "I won!", "happy", 'The speaker feels happy because: "I won"')
ECHO = Sample("3", "repeat", "dev", (), "Oh.", None, "Oh.")


def written(core, tokenizer, sample):
    return example(core, tokenizer, SYSTEM, sample, sample.said, target_ids(sample, tokenizer))


@pytest.mark.parametrize(
    ("sample", "learned"),
    [
        (REPLY, "How nice!<|im_end|>"),
        (TRACE, f'The speaker feels happy because: "I won"{THINK_CLOSE}'),  # the loop writes the opening
        (ECHO, "Oh.<|im_end|>"),
    ],
)
def test_only_the_target_is_learned_each_position_from_the_one_before(tokenizer, sample, learned):
    core = tiny_core()
    made = written(core, tokenizer, sample)
    places = (made.labels != IGNORED).nonzero()[:, 0]
    assert tokenizer.decode(made.labels[places]) == learned
    assert torch.equal(made.inputs[places + 1], core.embed(made.labels[places]))
    assert places.tolist() == list(range(int(places[0]), len(made.inputs) - 1))
    asked = [*sample.history, UserTurn(sample.said, REPEAT if sample.task == "repeat" else None)]
    prompt = [i for segment in render(asked, tokenizer, SYSTEM) for i in segment]
    assert torch.equal(made.inputs[: len(prompt)], core.embed(torch.tensor(prompt)))


def test_vectors_stand_where_the_words_would(tokenizer):
    core, heard = tiny_core(), torch.full((3, 32), 7.0)
    made = example(core, tokenizer, SYSTEM, ECHO, heard, target_ids(ECHO, tokenizer))
    words = len(written(core, tokenizer, ECHO).inputs) - len(tokenizer.encode("Oh."))
    assert len(made.inputs) == words + 3
    assert int((made.inputs == 7.0).all(-1).sum()) == 3


def test_a_batch_is_padded_at_the_end_and_nothing_is_learned_there(tokenizer):
    core = tiny_core()
    examples = [written(core, tokenizer, sample) for sample in (REPLY, TRACE, ECHO)]
    inputs, valid, labels = collate(examples)
    assert inputs.shape[:2] == valid.shape == labels.shape
    assert not inputs[~valid].any() and (labels[~valid] == IGNORED).all()
    for row, one in enumerate(examples):
        assert torch.equal(inputs[row][valid[row]], one.inputs)
        assert torch.equal(labels[row][valid[row]], one.labels)


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


@given(
    st.lists(st.integers(1, 200), min_size=1, max_size=12), st.sampled_from([0.0, 20.0, 100.0, float("inf")])
)
def test_rows_of_like_length_are_read_together_where_that_spares_padding(lengths, cost):
    portions = alike(lengths, cost)
    assert sorted(row for rows in portions for row in rows) == list(range(len(lengths)))
    positions = sum(max(lengths[row] for row in rows) * len(rows) for rows in portions)
    spared = max(lengths) * len(lengths) - positions
    assert spared >= cost * (len(portions) - 1) if len(portions) > 1 else spared == 0
    if cost == 0:
        assert positions == sum(lengths), "nothing is padded where portions cost nothing"


def test_only_repeating_carries_an_instruction():
    assert instruction("repeat") == REPEAT
    assert instruction("reply") is None


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 9))
def test_bins_to_measure_on_are_spread_from_the_shortest_to_the_longest(lengths, most):
    bins = Bins(lengths, 50, seed=0)
    spread = bins.spread(most)
    places = [bins.bins.index(one) for one in spread]
    assert len(spread) == min(most, len(bins.bins)) and places == sorted(set(places))
    assert places[0] == 0 and (most == 1 or places[-1] == len(bins.bins) - 1)
    gaps = np.diff(places)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
