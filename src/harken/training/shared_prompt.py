"""The system prompt of a batch is read once: all its rows begin with it.

Nothing before it differs, so its hidden states, keys and values serve every row, and the rows' gradients add
up in them: losses and gradients are those of reading whole rows, to rounding. In short conversations the
system prompt is half of what there is to read.

Shapes: B rows, T positions, D core width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harken.dialogue.render import render
from harken.model.core import Core
from harken.model.layer_stack import LayerStack


def prompt_length(tokenizer: Any, system: str) -> int:
    """Positions of the system prompt, with which every conversation begins."""
    return len(render([], tokenizer, system, prompt=False)[0])


def read(core: Core, inputs: Tensor, valid: Tensor | None, prompt: int) -> Tensor:
    """What a core makes of embeddings (B, T, D) that begin alike: hidden (B, T, D).

    Args: valid: (B, T) bool, None where no mask is needed. prompt: how many positions are alike.
    """
    return through(core.write, through(core.think, inputs, valid, prompt), valid, prompt)


def through(stack: LayerStack, hidden: Tensor, valid: Tensor | None, prompt: int) -> Tensor:
    """What some layers make of hidden states (B, T, D) whose first `prompt` positions are alike in all rows.

    Compiled and recomputed layers read rows whole.
    """
    rows = len(hidden)
    if rows < 2 or prompt < 1 or stack.learn:
        return stack(hidden, valid=valid)[0]
    once, state = stack(hidden[:1, :prompt])
    past = state.rows(torch.zeros(rows, dtype=torch.long, device=hidden.device))
    rest, _ = stack(hidden[:, prompt:], past, None if valid is None else valid[:, prompt:])
    return torch.cat([once.expand(rows, -1, -1), rest], dim=1)
