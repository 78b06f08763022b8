"""Layers that keep nothing but what they read, and are computed again in the backward pass.

Activations are most of what training needs of memory in a large core (docs/training.md, the memory of the
`paper` recipe); this trades nearly all of them for the layers' products once more: a third of a step where
their weights learn, half where they are frozen (Chen et al., "Training Deep Nets with Sublinear Memory Cost",
arXiv 1604.06174, with every layer a segment).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harken.model.layer_stack import learn_through
from harken.training.compiled import run_layer


def recompute_layers(module: nn.Module) -> None:
    """Let every stack of layers inside `module` learn so, in place, and not through compiled layers."""
    learn_through(module, _learn)


def _learn(
    layer: nn.Module, hidden: Tensor, mask: Tensor | None, positions: Tensor, rope: tuple[Tensor, Tensor]
) -> Tensor:
    after: Tensor = checkpoint(run_layer, layer, hidden, mask, positions, rope, use_reentrant=False)
    return after
