"""Who attends to whom, and states as values."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.model.layer_stack import StackState, attention_mask
from harken.testing import tiny_core


@given(st.data())
def test_nobody_attends_to_the_future_or_to_padding_but_itself(data):
    total = data.draw(st.integers(2, 9))
    past = data.draw(st.integers(0, total - 2))
    valid = torch.tensor(
        data.draw(st.lists(st.lists(st.booleans(), min_size=total, max_size=total), min_size=1, max_size=3))
    )
    mask = attention_mask(valid, past)
    for row in range(len(valid)):
        for t in range(total - past):
            for s in range(total):
                allowed = s == past + t or (s < past + t and bool(valid[row, s]))
                assert bool(mask[row, 0, t, s]) is allowed


def test_one_new_token_after_real_ones_needs_no_mask():
    valid = torch.ones(2, 5, dtype=torch.bool)
    assert attention_mask(valid, 4) is None
    valid[1, 0] = False
    assert attention_mask(valid, 4) is not None


@torch.no_grad()
def test_padding_changes_nothing_for_real_positions_and_is_finite():
    think = tiny_core().think
    hidden = torch.randn(1, 4, 32)
    noise = torch.full((1, 2, 32), 7.0)
    expected, _ = think(hidden)
    gappy = torch.cat([noise, hidden[:, :2], noise, hidden[:, 2:]], 1)
    valid = torch.tensor([[False, False, True, True, False, False, True, True]])
    ours, state = think(gappy, valid=valid)
    torch.testing.assert_close(ours[:, [2, 3, 6, 7]], expected)
    assert ours.isfinite().all()
    assert state.length == 8


def test_an_empty_state_can_be_forked_and_rolled_back():
    assert StackState().fork().length == 0
    assert StackState().rollback(0).length == 0
    with pytest.raises(AssertionError):
        StackState().rollback(1)


@torch.no_grad()
@pytest.mark.parametrize("family", ("llama", "qwen2", "qwen3"))
@pytest.mark.parametrize("new", (1, 3))
def test_a_key_that_weighs_twice_is_a_key_that_is_there_twice(family, new):
    think = tiny_core(family).think
    _, past = think(torch.randn(1, 6, 32))
    for held in (past.keys, past.values):
        for layer, tensor in held.items():
            held[layer] = torch.cat([tensor[:, :, :5], tensor[:, :, 2:3]], 2)  # the last is the third again
    hidden = torch.randn(1, new, 32)
    twice, _ = think(hidden, past)
    bias = torch.zeros(6 + new)
    bias[2], bias[5] = math.log(2), -torch.inf
    weighed, _ = think(hidden, past, key_bias=bias)
    torch.testing.assert_close(weighed, twice)
    assert not torch.allclose(think(hidden, past, key_bias=bias.clamp(min=0))[0], twice, atol=1e-3)


def test_positions_are_turned_alike_in_half_precision():
    stack = tiny_core("llama").think
    far = torch.arange(3000)[None]
    before = stack.rotary(torch.zeros(1, 1, 1), position_ids=far)
    stack.to(torch.bfloat16)
    assert next(stack.layers.parameters()).dtype == torch.bfloat16
    after = stack.rotary(torch.zeros(1, 1, 1), position_ids=far)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
