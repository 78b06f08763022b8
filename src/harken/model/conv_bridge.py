"""GOAT-SLM's adapter: encoder states at 50 Hz become 6.25 vectors a second in the language model's space.

Three strided, gated convolutions, then a bidirectional transformer and a norm at the embeddings' scale. It is
what the `paper` recipe listens with: it needs far more speech than the CTC bridge, and gives no transcript.

Source: GOAT-SLM (arXiv 2507.18119) and TeleAI's inference code: kernels 5, stride 2, GLU with twice the
width; 2 layers, 8 heads of which 4 hold keys, SiLU, RMSNorm 1e-6, RoPE 1e4. The transformer is transformers'
Llama, without its mask.

Shapes: B rows, T encoder frames (50 a second), N = ceil(T / 8) frames (6.25 a second), E encoder width,
D core width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = 3


@dataclass(frozen=True)
class ConvBridgeSizes:
    """Widths, depth and heads; the kernel is of the convolutions."""

    encoder_width: int
    core_width: int
    layers: int = 2
    heads: int = 8
    kv_heads: int = 4
    kernel: int = 5


class SoftFrames(NamedTuple):
    """What was heard, one vector each 160 ms."""

    embeddings: Tensor  # (B, N, D), zero where not valid
    valid: Tensor  # (B, N) bool


class GatedConv(nn.Module):
    """A convolution of stride 2 to twice the width, half of which gates the other."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, 2 * width, kernel, stride=2, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, E, T) -> (B, E, ceil(T / 2))."""
        return F.glu(self.conv(x), dim=1)


class ConvBridge(nn.Module):
    """Strided convolutions, bidirectional layers, projection."""

    def __init__(self, sizes: ConvBridgeSizes, embedding_rms: float) -> None:
        """Args: embedding_rms: root mean square of the core's embeddings; the output starts at that scale."""
        from transformers import LlamaConfig
        from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

        super().__init__()
        config = LlamaConfig(
            hidden_size=sizes.encoder_width,
            intermediate_size=4 * sizes.encoder_width,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.kv_heads,
            hidden_act="silu",
            rms_norm_eps=1e-6,
            attn_implementation="sdpa",
        )
        self.convs = nn.ModuleList(GatedConv(sizes.encoder_width, sizes.kernel) for _ in range(STRIDES))
        self.layers = nn.ModuleList(LlamaDecoderLayer(config, i) for i in range(sizes.layers))
        self.rotary = LlamaRotaryEmbedding(config)
        self.project = nn.Linear(sizes.encoder_width, sizes.core_width)
        self.norm = nn.LayerNorm(sizes.core_width)
        nn.init.constant_(self.norm.weight, embedding_rms)

    def forward(self, states: Tensor, valid: Tensor) -> SoftFrames:
        """states (B, T, E) of the encoder's last layer, valid (B, T) bool."""
        x = states.transpose(1, 2)
        for conv in self.convs:
            x = conv(x * valid[:, None])
            valid = valid[:, ::2]
        x = x.transpose(1, 2)  # (B, N, E)
        positions = torch.arange(x.shape[1], device=x.device)[None]
        rope = self.rotary(x, position_ids=positions)
        itself = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
        mask = (valid[:, None, :] | itself)[:, None]  # (B, 1, N, N): all real frames, in both directions
        for layer in self.layers:
            x = layer(x, attention_mask=mask, position_embeddings=rope)
        return SoftFrames(self.norm(self.project(x)) * valid[..., None], valid)
