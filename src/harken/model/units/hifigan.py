"""HiFi-GAN V1's generator: mel frames -> waveform. Its universal weights are among those we can fetch.

Source: Kong et al. 2020 (arXiv 2010.05646). Parameter names follow the authors' checkpoint with its weight
norm folded in, as `harken.weights.hifigan` writes it.

It runs as a stream: each layer keeps the moments that its kernel still reaches back to, so that nothing is
made twice. Sound comes `delay` samples after its frames.

What lies between the layers is a picture of one line, (1, C, 1, T): as such it may keep the channels of a
moment together, which a convolution in float32 reads half as fast again.

Shapes: M mel bands, F frames, C channels, T moments, N = F * hop samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.model.units.stream import Stream

_SLOPE = 0.1
_ENDS = 7
"""Kernel of the first and of the last convolution."""


@dataclass(frozen=True)
class HifiganSizes:
    """V1's sizes. Strides are even, their product is the hop, and each has a kernel of twice its size."""

    mel_bands: int = 80
    width: int = 512
    strides: tuple[int, ...] = (8, 8, 2, 2)
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)


def _convolution(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Conv2d:
    """Along the line; it reads `dilation * (kernel - 1)` moments back, and is late by half of that."""
    return nn.Conv2d(inputs, outputs, (1, kernel), dilation=(1, dilation))


class ResidualBlock(nn.Module):
    """Dilated convolutions, each with a plain one behind it, added to what comes in."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel, self.dilations = kernel, dilations
        self.convs1 = nn.ModuleList(_convolution(width, width, kernel, d) for d in dilations)
        self.convs2 = nn.ModuleList(_convolution(width, width, kernel) for _ in dilations)
        self.delay = (kernel - 1) // 2 * sum(d + 1 for d in dilations)
        """Moments by which it is late."""

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        moments, past = x.shape[-1], self.kernel - 1
        for dilated, plain, dilation in zip(self.convs1, self.convs2, self.dilations, strict=True):
            x = stream.joined(x, past * dilation)
            between = stream.joined(dilated(F.leaky_relu(x, _SLOPE)), past)
            late = past * (dilation - 1) // 2
            made: Tensor = plain(F.leaky_relu(between, _SLOPE))
            x = made.add_(x[..., late : late + moments])
        return x


class Hifigan(nn.Module):
    """Log-mel (M, F) -> float32 samples (N,) within [-1, 1], in whatever type its weights are."""

    def __init__(self, sizes: HifiganSizes | None = None) -> None:
        super().__init__()
        sizes = sizes or HifiganSizes()
        self.sizes = sizes
        self.conv_pre = _convolution(sizes.mel_bands, sizes.width, _ENDS)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        width = sizes.width
        for stride in sizes.strides:
            self.ups.append(nn.ConvTranspose2d(width, width // 2, (1, 2 * stride), (1, stride), (0, stride)))
            width //= 2
            self.resblocks.extend(ResidualBlock(width, k, sizes.dilations) for k in sizes.block_kernels)
        self.conv_post = _convolution(width, 1, _ENDS)

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return prod(self.sizes.strides)

    @property
    def delay(self) -> int:
        """Samples by which sound is later than its frames."""
        moments = _ENDS // 2
        for stage, stride in enumerate(self.sizes.strides):
            moments = moments * stride + stride // 2 + max(block.delay for block in self._blocks(stage))
        return moments + _ENDS // 2

    def _blocks(self, stage: int) -> list[ResidualBlock]:
        each = len(self.sizes.block_kernels)
        return list(self.resblocks[stage * each : (stage + 1) * each])  # type: ignore[arg-type]

    def forward(self, mel: Tensor, stream: Stream) -> Tensor:
        """The next piece of a stream: (M, F) -> (N,)."""
        x = mel.to(self.conv_pre.weight.dtype)[None, :, None]
        x = self.conv_pre(stream.joined(x, _ENDS - 1))
        for stage, up in enumerate(self.ups):
            x = up(stream.joined(F.leaky_relu(x, _SLOPE), 1))
            blocks, moments = self._blocks(stage), x.shape[-1]
            latest, soonest = (pick(block.delay for block in blocks) for pick in (max, min))
            x = stream.joined(x, latest - soonest)
            starts = [block.delay - soonest for block in blocks]
            rows = [
                block(x[..., at : at + moments], stream) for at, block in zip(starts, blocks, strict=True)
            ]
            x = sum(rows[1:], rows[0]) / len(rows)
        x = self.conv_post(stream.joined(F.leaky_relu(x), _ENDS - 1))
        return torch.tanh(x.float())[0, 0, 0]


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
