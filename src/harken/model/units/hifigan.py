"""HiFi-GAN V1's generator: mel frames -> waveform. Its universal weights are among those we can fetch.

Source: Kong et al. 2020 (arXiv 2010.05646). Parameter names follow the authors' checkpoint with its weight
norm folded in, as `harken.weights.hifigan` writes it.

What lies between the layers is a picture of one line, (B, C, 1, T): as such it may keep the channels of a
moment together, which a convolution in float32 reads half as fast again.

Shapes: B rows, M mel bands, F frames, C channels, T moments, N = F * hop samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SLOPE = 0.1


@dataclass(frozen=True)
class HifiganSizes:
    """V1's sizes; the hop is the product of the strides."""

    mel_bands: int = 80
    width: int = 512
    strides: tuple[int, ...] = (8, 8, 2, 2)
    kernels: tuple[int, ...] = (16, 16, 4, 4)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)


def _convolution(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    """Along the line, as long as what comes in."""
    padding = dilation * (kernel - 1) // 2
    return nn.Conv2d(inputs, outputs, (1, kernel), dilation=(1, dilation), padding=(0, padding))


class ResidualBlock(nn.Module):
    """Dilated convolutions, each with a plain one behind it, added to what comes in."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_convolution(width, width, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(_convolution(width, width, kernel) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for dilated, plain in zip(self.convs1, self.convs2, strict=True):
            between = dilated(F.leaky_relu(x, _SLOPE))
            x = plain(F.leaky_relu(between, _SLOPE, inplace=True)).add_(x)
        return x


class Hifigan(nn.Module):
    """Log-mel (B, M, F) -> float32 samples (B, N) within [-1, 1], in whatever type its weights are."""

    def __init__(self, sizes: HifiganSizes | None = None) -> None:
        super().__init__()
        sizes = sizes or HifiganSizes()
        self.sizes = sizes
        self.conv_pre = _convolution(sizes.mel_bands, sizes.width, 7)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        width = sizes.width
        for stride, kernel in zip(sizes.strides, sizes.kernels, strict=True):
            padding = (0, (kernel - stride) // 2)
            self.ups.append(nn.ConvTranspose2d(width, width // 2, (1, kernel), (1, stride), padding))
            width //= 2
            self.resblocks.extend(ResidualBlock(width, k, sizes.dilations) for k in sizes.block_kernels)
        self.conv_post = _convolution(width, 1, 7)

    @property
    def hop(self) -> int:
        """Samples a frame."""
        hop = 1
        for stride in self.sizes.strides:
            hop *= stride
        return hop

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv_pre(mel.to(self.conv_pre.weight.dtype)[:, :, None])  # (B, C, 1, T)
        each = len(self.sizes.block_kernels)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, _SLOPE))
            blocks = self.resblocks[stage * each : (stage + 1) * each]
            x = sum(block(x) for block in blocks) / each
        return torch.tanh(self.conv_post(F.leaky_relu(x)).float())[:, 0, 0]


def load_hifigan(file: Path, dtype: torch.dtype | None = None) -> Hifigan:
    """V1's generator as `harken.weights.hifigan` wrote it. Args: dtype: None takes the quickest here."""
    from safetensors.torch import load_file

    vocoder, weights = Hifigan(), load_file(file)
    vocoder.load_state_dict({name: w[:, :, None] if w.dim() == 3 else w for name, w in weights.items()})
    vocoder.to(dtype := dtype or quickest_dtype())
    if dtype == torch.float32:
        vocoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return vocoder


def quickest_dtype() -> torch.dtype:
    """What the generator runs in: bfloat16 where the processor multiplies matrices of it (AMX), which is
    twice as quick and rounds off what is 20 dB below the sound; else float32.
    """
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    return torch.bfloat16 if has_amx else torch.float32
