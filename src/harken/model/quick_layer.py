"""One token through a decoder layer of the Llama family, without what many tokens need.

When one reply is decoded, half of a token's time goes into small steps between the matrices. Here the query,
key and value of a layer are one product, gate and up another, and what is left is plain. It gives what the
layer itself gives, to rounding. Several rows share the products, and attend each to its own past: a row gets
what it gets alone, whoever is beside it.

Shapes: R rows, D model width, N heads, H key-value heads, G = N / H heads to each of them, C head width, S
positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.model.eight_bit import MULTIPLE, EightBitLinear, product
from harken.model.layer_stack import LayerStack, StackState

WIDE = ("AVX2", "AVX512")
"""Processors that read bytes quicker than floats."""


class QuickLayer:
    """A decoder layer whose weights are bytes; it shares them."""

    def __init__(self, layer: Any) -> None:
        """Args: layer: of transformers' Llama, see `fits`."""
        attention, mlp = layer.self_attn, layer.mlp
        self._before, self._between = layer.input_layernorm, layer.post_attention_layernorm
        self._projected = _joined(attention.q_proj, attention.k_proj, attention.v_proj)
        self._opened = _joined(mlp.gate_proj, mlp.up_proj)
        self._out, self._down, self._active = attention.o_proj, mlp.down_proj, mlp.act_fn
        self._index: int = attention.layer_idx
        self._width: int = attention.head_dim
        self._keys: int = attention.k_proj.out_features // attention.head_dim
        self._scaling: float = attention.scaling

    @staticmethod
    def fits(layer: Any) -> bool:
        """Is this a layer as Llama has them, with bytes for weights?"""
        attention, mlp = layer.self_attn, layer.mlp
        linear = [attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj]
        linear += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
        plain = all(isinstance(each, EightBitLinear) and each.bias is None for each in linear)
        return plain and not hasattr(attention, "q_norm")

    def __call__(
        self,
        hidden: Tensor,
        rope: tuple[Tensor, Tensor],
        pasts: Sequence[StackState],
        key_bias: Tensor | None = None,
    ) -> Tensor:
        """Args: hidden: (R, D). rope: cosine and sine, (R, C) each. pasts: of one row each, which are told
        what they hold now. key_bias: (S,), for a row by itself. Returns: (R, D).
        """
        hidden = hidden + self._attended(_normed(hidden, self._before), rope, pasts, key_bias)
        gate, up = product(_normed(hidden, self._between), *self._opened).chunk(2, dim=1)
        return hidden + product(self._active(gate) * up, self._down.bytes, self._down.scales)

    def _attended(
        self,
        hidden: Tensor,
        rope: tuple[Tensor, Tensor],
        pasts: Sequence[StackState],
        key_bias: Tensor | None,
    ) -> Tensor:
        heads = product(hidden, *self._projected).view(len(hidden), -1, self._width)  # (R, N + 2 H, C)
        turned, value = heads[:, : -self._keys], heads[:, -self._keys :, None]
        half = self._width // 2
        aside = torch.cat([-turned[..., half:], turned[..., :half]], dim=-1)
        turned = turned * rope[0][:, None] + aside * rope[1][:, None]
        query = turned[:, : -self._keys].view(len(hidden), self._keys, -1, self._width) * self._scaling
        rows = zip(query, turned[:, -self._keys :, None], value, pasts, strict=True)
        said = torch.stack([self._said(q, k, v, past, key_bias) for q, k, v, past in rows])  # (R, N C)
        return product(said, self._out.bytes, self._out.scales)

    def _said(
        self, query: Tensor, key: Tensor, value: Tensor, past: StackState, key_bias: Tensor | None
    ) -> Tensor:
        """What one row attends to: query (H, G, C), its key and value (H, 1, C) -> (N C,)."""
        keys, values = past.update(key[None], value[None], self._index)  # (1, H, S, C)
        logits = query @ keys[0].transpose(1, 2)  # (H, G, S)
        if key_bias is not None:
            logits = logits + key_bias
        return (torch.softmax(logits, dim=-1) @ values[0]).flatten()


def _joined(*layers: EightBitLinear) -> tuple[Tensor, Tensor]:
    """One matrix of bytes, and its scales, of which each layer's are a part from now on."""
    together = torch.cat([layer.bytes for layer in layers])
    scales = torch.cat([layer.scales for layer in layers])
    start = 0
    for layer in layers:
        layer.bytes = together[start : start + layer.out_features]
        layer.scales = scales[start : start + layer.out_features]
        start += layer.out_features
    return together, scales


def _normed(hidden: Tensor, norm: Any) -> Tensor:
    return F.rms_norm(hidden, hidden.shape[-1:], norm.weight, norm.variance_epsilon)


def quicken(module: nn.Module) -> None:
    """Make the linear layers in a module read bytes, in place, where this processor is quicker with them, and
    let stacks of Llama's layers take the short way for one token.

    Their names and parameters stay. After new weights are loaded it has to be done again.
    """
    if torch.backends.cpu.get_cpu_capability() not in WIDE:
        return
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear) and not (child.in_features | child.out_features) % MULTIPLE:
                setattr(parent, name, EightBitLinear.of(child))
    for stack in module.modules():
        if isinstance(stack, LayerStack) and all(map(QuickLayer.fits, stack.layers)):
            stack.quick = list(map(QuickLayer, stack.layers))
