"""A batch whose system prompt is read once: the losses and gradients of reading every row whole."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from harken.dialogue.render import UserTurn, render
from harken.model.layer_stack import learn_through
from harken.testing import tiny_core, tiny_tokenizer
from harken.training.shared_prompt import prompt_length, read

PROMPT = 6


def batch(lengths=(9, 12, 7)):
    """Rows that begin alike and end in padding."""
    inputs = torch.randn(len(lengths), max(lengths), 32)
    inputs[:, :PROMPT] = inputs[:1, :PROMPT]
    return inputs, torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def learned(core, inputs, valid, prompt):
    """Hidden states where there are any, and the gradients of a loss of them."""
    inputs = inputs.clone().requires_grad_()
    hidden = read(core, inputs, valid, prompt)
    weights = torch.linspace(-1, 1, hidden.numel()).view_as(hidden)
    there = torch.ones(hidden.shape[:2], dtype=torch.bool) if valid is None else valid
    core.zero_grad()
    (hidden * weights)[there].sum().backward()
    of_core = {name: p.grad.clone() for name, p in core.named_parameters() if p.grad is not None}
    return hidden[there], of_core, inputs.grad


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("masked", [True, False])
def test_read_once_it_teaches_what_whole_rows_teach(family, masked):
    torch.manual_seed(0)
    core = tiny_core(family=family)
    inputs, valid = batch() if masked else batch((9, 9))
    valid = valid if masked else None
    whole, by_rows, of_rows = learned(core, inputs, valid, 0)
    once, shared, of_once = learned(core, inputs, valid, PROMPT)
    torch.testing.assert_close(once, whole, atol=1e-5, rtol=1e-5)
    assert shared.keys() == by_rows.keys() and len(shared) > 10
    for name, gradient in shared.items():
        torch.testing.assert_close(gradient, by_rows[name], atol=2e-4, rtol=1e-4, msg=name)
    torch.testing.assert_close(of_once[:, PROMPT:], of_rows[:, PROMPT:], atol=1e-4, rtol=1e-4)
    # what the rows' openings would each have learned, the one that was read learns
    torch.testing.assert_close(of_once[0, :PROMPT], of_rows[:, :PROMPT].sum(0), atol=1e-4, rtol=1e-4)


def test_layers_that_learn_their_own_way_read_whole_rows():
    core, seen = tiny_core().train(), []

    def learn(layer, hidden, mask, positions, rope):
        seen.append(hidden.shape[1])
        return layer(hidden, attention_mask=mask, position_ids=positions, position_embeddings=rope)

    learn_through(core, learn)
    inputs, valid = batch()
    read(core, inputs, valid, PROMPT)
    assert set(seen) == {12}


def test_the_prompt_is_what_every_conversation_begins_with():
    tokenizer = tiny_tokenizer()
    length = prompt_length(tokenizer, "Be kind.")
    said = [list(chain(*render([UserTurn(text)], tokenizer, "Be kind."))) for text in "ab"]
    assert said[0][:length] == said[1][:length]
    assert tokenizer.decode(said[0][:length]).endswith("Be kind.<|im_end|>\n")
