"""Layers as one compiled program, for training on a GPU.

There a layer is some two hundred small operations that read and write the same activations; compiled, most
of them become part of a few kernels. All layers of a core are alike, so they share one program, made in the
first step for batches of any size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from harken.model.layer_stack import learn_through
from harken.training.world import World


def compile_layers(module: nn.Module, world: World) -> None:
    """Let every stack of layers inside `module` learn through a compiled layer, in place: on a GPU, and where
    layers are not spread over processes. `TORCHDYNAMO_DISABLE=1` in the environment runs them as they are.
    """
    if world.device.type == "cpu" or world.size > 1:
        return
    learn_through(module, _learn)


def _learn(
    layer: nn.Module, hidden: Tensor, mask: Tensor | None, positions: Tensor, rope: tuple[Tensor, Tensor]
) -> Tensor:
    """As `run_layer`, compiled: for layers whose input needs a gradient, which the first's may not."""
    if not hidden.requires_grad:
        hidden = hidden.detach().requires_grad_()
    return program()(layer, hidden, mask, positions, rope)


def run_layer(
    layer: nn.Module, hidden: Tensor, mask: Tensor | None, positions: Tensor, rope: tuple[Tensor, Tensor]
) -> Tensor:
    """(B, T, D) -> (B, T, D).

    Args: mask: (B, 1, T, T) bool, None if causal. positions: (B, T). rope: cosine and sine, (B, T, C) each.
    """
    after: Tensor = layer(hidden, attention_mask=mask, position_ids=positions, position_embeddings=rope)
    return after


@cache
def program() -> Callable[..., Tensor]:
    """`run_layer`, compiled; what compiles it takes seconds to import."""
    compiled: Callable[..., Tensor] = torch.compile(run_layer, dynamic=True)
    return compiled
