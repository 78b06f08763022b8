"""Speech -> units: what is said from the speech encoder's states, how it is said from pitch and loudness.

The encoder's states are averaged over the stretch of each unit, so that units may have any rate. What the
units then have to carry is decided by what is trained to be rebuilt from them (`harken.training.codec`).

Design: FSQ behind a frozen recogniser's encoder (CosyVoice 2, arXiv 2412.10117; WhisperSpeech).

Shapes: B rows, T encoder frames (50 a second), L layers that are read, E encoder width, P prosody features,
U units, W width, K dimensions of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.model.units.fsq import FiniteScalarQuantiser

FRAMES_PER_S = 50
PROSODY = 3
"""Log pitch against the voice's own (0 where unvoiced), voicing (0 to 1), loudness."""


@dataclass(frozen=True)
class TokenizerSizes:
    """Widths, depth and levels."""

    encoder_width: int = 512
    encoder_layers: tuple[int, ...] = (4, 6)
    """Which states of the encoder are read; 0 is its stem."""
    width: int = 320
    layers: int = 2
    heads: int = 5
    kernel: int = 7
    levels: tuple[int, ...] = (7, 5, 5, 5, 5)


class UnitTokenizer(nn.Module):
    """Encoder states and prosody -> codes, one a unit."""

    def __init__(self, sizes: TokenizerSizes, units_hz: float) -> None:
        super().__init__()
        self.sizes = sizes
        self.frames_per_unit = FRAMES_PER_S / units_hz
        w = sizes.width
        self.norm = nn.LayerNorm(sizes.encoder_width, elementwise_affine=False)
        self.words = nn.Linear(len(sizes.encoder_layers) * sizes.encoder_width, w)
        self.manner = nn.Linear(PROSODY, w)
        self.local = nn.Conv1d(w, w, sizes.kernel, padding=sizes.kernel // 2, groups=w)
        block = nn.TransformerEncoderLayer(
            w, sizes.heads, 4 * w, 0.0, F.gelu, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, sizes.layers, enable_nested_tensor=False)
        self.final = nn.LayerNorm(w)
        self.code = nn.Linear(w, len(sizes.levels))
        self.quantise = FiniteScalarQuantiser(sizes.levels)

    def forward(self, states: Tensor, prosody: Tensor, valid: Tensor, count: int) -> Tensor:
        """Codes of `count` units a row.

        Args:
            states: (B, T, L, E).
            prosody: (B, T, P).
            valid: (B, T) bool; units beyond a row's last frame carry nothing.

        Returns: (B, U, K) within [-1, 1].
        """
        x = self.words(self.norm(states).flatten(2)) + self.manner(prosody)  # (B, T, W)
        x = x * valid[..., None]
        x = x + F.gelu(self.local(x.transpose(1, 2)).transpose(1, 2))
        x, covered = average_over_units(x * valid[..., None], valid, self.frames_per_unit, count)
        x = self.blocks(x, src_key_padding_mask=~covered)
        codes: Tensor = self.quantise(self.code(self.final(x)))
        return codes


def average_over_units(x: Tensor, valid: Tensor, frames_per_unit: float, count: int) -> tuple[Tensor, Tensor]:
    """Mean of frames (B, T, C) over each unit's stretch, parts of frames counted as such.

    Args: x: zero where not `valid` (B, T).

    Returns: (B, U, C), and (B, U) bool which units lie within a row. The first always does.
    """
    edges = torch.arange(count + 1, device=x.device) * frames_per_unit  # in frames
    edges = edges.clamp(max=x.shape[1])
    below = edges.floor().long().clamp(max=x.shape[1] - 1)  # (U + 1,)
    part = (edges - below)[:, None]  # (U + 1, 1)

    def sums(y: Tensor) -> Tensor:  # (B, T, C) -> (B, U, C) sum over each stretch
        total = F.pad(y.float().cumsum(1), (0, 0, 1, 0))  # (B, T + 1, C)
        at = total[:, below] + (total[:, below + 1] - total[:, below]) * part
        return at[:, 1:] - at[:, :-1]

    length = sums(valid[..., None])  # (B, U, 1)
    covered = length[..., 0] > 0.25 * frames_per_unit
    covered[:, 0] = True
    return (sums(x) / length.clamp(min=1e-3)).to(x.dtype) * covered[..., None], covered
