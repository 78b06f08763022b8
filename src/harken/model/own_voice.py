"""The model's own voice: Speak, the unit decoder, and which style answers which heard affect.

How they are driven while a reply is being written is `harken.dialogue.own_speech`'s.

Shapes: B rows, V width of the readout's vector.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from harken.model.speak import Speak, UnitVectors
from harken.model.units.base import UnitDecoder

STYLES = ("bright", "calm", "gentle", "warm")
"""How a reply can sound; the names of `harken.voices.styles.REPLY_STYLES`, sorted."""
PLAIN = "warm"
"""Where no voice was heard."""


class ReplyStyle(nn.Module):
    """The readout's vector -> the style that answers it."""

    def __init__(self, affect_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(affect_width, elementwise_affine=False)
        self.styles = nn.Linear(affect_width, len(STYLES))

    def forward(self, affect: Tensor) -> Tensor:
        """(B, V) -> logits (B, styles)."""
        logits: Tensor = self.styles(self.norm(affect))
        return logits


@dataclass
class OwnVoice:
    """What a model speaks with."""

    speak: Speak
    decoder: UnitDecoder
    style: ReplyStyle
    speaker: str
    """Which of the decoder's voices."""

    @cached_property
    def table(self) -> UnitVectors:
        """What stands for each unit."""
        with torch.no_grad():
            return self.speak.units()

    def of(self, speaker: str) -> OwnVoice:
        """The same with another of the decoder's voices; what stands for the units is shared."""
        other = replace(self, speaker=speaker)
        other.table = self.table
        return other

    def manner(self, affect: Tensor | None) -> Tensor:
        """How to answer what was heard, as Speak takes it: styles, then whose voice, (1, manners)."""
        return self._manner(self.styles(affect))

    def in_style(self, style: str) -> Tensor:
        """The manner of one of `STYLES`, whatever was heard: (1, manners)."""
        return self._manner(torch.tensor([[float(style == name) for name in STYLES]]))

    def _manner(self, styles: Tensor) -> Tensor:
        voices = self.decoder.voices
        speaker = torch.tensor([[float(voice == self.speaker) for voice in voices]])
        return torch.cat([styles, speaker], dim=1)

    def styles(self, affect: Tensor | None) -> Tensor:
        """How to answer what was heard: weights (1, styles) that sum to 1.

        Args: affect: (V,) the readout's vector; None where nothing was heard.
        """
        if affect is None:
            return torch.tensor([[float(style == PLAIN) for style in STYLES]])
        return self.style(affect[None].float()).softmax(-1)
