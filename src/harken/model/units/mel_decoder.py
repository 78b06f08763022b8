"""Units -> mel spectrogram, in the voice that is asked for: causal, but for a few units of look-ahead.

Convolutions at the units' rate, then at the frames': nothing looks further ahead than `right_units`. As a
stream frames come so much later, and are what the whole would give.

Shapes: B rows, U units, K dimensions of a code, M mel bands, F = 4 U frames, W width, V width of a voice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.model.units.stream import Stream

FRAMES_PER_UNIT = 4
_MEAN_LOG_MEL = -5.5  # of speech, about: where training begins


@dataclass(frozen=True)
class MelDecoderSizes:
    """Widths and depth, at the units' rate and at the frames'."""

    code: int = 5
    mel_bands: int = 80
    voices: int = 1
    voice: int = 64
    width: int = 384
    layers: int = 4
    frame_width: int = 256
    frame_layers: int = 4
    kernel: int = 7
    right_units: int = 2


class Block(nn.Module):
    """ConvNeXt's block along time (Liu et al. 2022), scaled and shifted by the voice."""

    def __init__(self, width: int, kernel: int, right: int, voice: int) -> None:
        super().__init__()
        self.left, self.right = kernel - 1 - right, right
        self.conv = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.voice = nn.Linear(voice, 2 * width)
        self.wide = nn.Linear(width, 3 * width)
        self.back = nn.Linear(3 * width, width)
        self.gain = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor, voice: Tensor, valid: Tensor, stream: Stream | None = None) -> Tensor:
        """x (B, T, W), voice (B, V), valid (B, T, 1): what is not valid is silence to its neighbours. In a
        stream what comes out is `right` moments late.
        """
        y = (x * valid).transpose(1, 2)
        if stream is None:
            y = F.pad(y, (self.left, self.right))
        else:
            y = stream.joined(y, self.left + self.right)
            x = y[..., self.left : self.left + x.shape[1]].transpose(1, 2)
        scale, shift = self.voice(voice)[:, None].chunk(2, dim=-1)  # (B, 1, W)
        y = self.norm(self.conv(y).transpose(1, 2)) * (1 + scale) + shift
        y = self.back(F.gelu(self.wide(y)))
        out: Tensor = x + self.gain * y
        return out


class MelDecoder(nn.Module):
    """Codes and a voice -> log-mel frames, and the pitch that they have."""

    def __init__(self, sizes: MelDecoderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        w, f = sizes.width, sizes.frame_width
        self.voices = nn.Embedding(sizes.voices, sizes.voice)
        self.embed = nn.Sequential(nn.Linear(sizes.code, w), nn.GELU(), nn.Linear(w, w))
        rights = [sizes.right_units] + [0] * (sizes.layers - 1)
        self.blocks = nn.ModuleList(Block(w, sizes.kernel, right, sizes.voice) for right in rights)
        self.spread = nn.Linear(w, FRAMES_PER_UNIT * f)
        self.frame_blocks = nn.ModuleList(
            Block(f, sizes.kernel, 0, sizes.voice) for _ in range(sizes.frame_layers)
        )
        self.norm = nn.LayerNorm(f)
        self.mel = nn.Linear(f, sizes.mel_bands)
        nn.init.constant_(self.mel.bias, _MEAN_LOG_MEL)
        self.pitch = nn.Linear(f, 2)  # log pitch against the voice's own, voicing; for training alone

    def forward(
        self, codes: Tensor, voice: Tensor, valid: Tensor, stream: Stream | None = None
    ) -> tuple[Tensor, Tensor]:
        """Frames of whole rows, or of the next piece of a stream.

        Args:
            codes: (B, U, K).
            voice: (B,) int64.
            valid: (B, U) bool, True up to a row's last unit.
            stream: then frames are `right_units` late.

        Returns: log-mel (B, F, M); log pitch and voicing's logit (B, F, 2).
        """
        of_voice = self.voices(voice)  # (B, V)
        x, inside = self.embed(codes), valid[..., None].to(codes.dtype)
        for number, block in enumerate(self.blocks):
            x = block(x, of_voice, inside, stream)
            if stream is not None and number == 0:  # which alone looks ahead
                late = stream.joined(inside.transpose(1, 2), self.sizes.right_units)
                inside = late[..., : x.shape[1]].transpose(1, 2)
        x = self.spread(x).reshape(len(codes), -1, self.sizes.frame_width)  # (B, F, W)
        inside = inside.repeat_interleave(FRAMES_PER_UNIT, dim=1)
        for block in self.frame_blocks:
            x = block(x, of_voice, inside, stream)
        x = self.norm(x)
        return self.mel(x), self.pitch(x)
