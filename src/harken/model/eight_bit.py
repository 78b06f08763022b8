"""Linear layers that read their weights as bytes while one reply is decoded.

A token at a time, a layer takes as long as its weights take to come from memory. Rounded to eight bits, with
a scale for each output, they are a quarter of the size. Many rows at once (a prompt, a batch) are limited by
arithmetic instead: they go through the float weights, which stay.

Shapes: R rows, I inputs, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_ROWS = 4
"""Up to so many rows the bytes are quicker."""
MULTIPLE = 32  # a power of two
"""Of inputs and outputs, that the processor's kernel wants."""


class EightBitLinear(nn.Linear):
    """`nn.Linear` with the same parameters, and their bytes beside them."""

    bytes: Tensor  # (O, I) int8
    scales: Tensor  # (O,) bfloat16

    @staticmethod
    def of(linear: nn.Linear) -> EightBitLinear:
        """The same layer; it shares the weights. They are rounded as they are now."""
        made = EightBitLinear(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        made.weight, made.bias = linear.weight, linear.bias
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(1) / 127).clamp(min=1e-12).bfloat16()  # (O,)
        rounded = (weight / scales.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
        made.register_buffer("bytes", rounded, persistent=False)
        made.register_buffer("scales", scales, persistent=False)
        return made.train(linear.training)

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs.numel() // self.in_features
        if rows > MOST_ROWS or torch.is_grad_enabled():
            return super().forward(inputs)
        out = product(inputs.reshape(rows, self.in_features), self.bytes, self.scales)  # (R, O)
        out = out.view(*inputs.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias


def product(inputs: Tensor, weights: Tensor, scales: Tensor) -> Tensor:
    """(R, I) times bytes (O, I) with scales (O,) -> (R, O), in the type of the inputs."""
    return torch._weight_int8pack_mm(inputs.bfloat16(), weights, scales).to(inputs.dtype)
