"""Listen: a recording becomes vectors that the core reads, and a reading of who spoke and how.

Three views of one run of the speech encoder: the words (the bridge, on the last layer), the affect (the
readout, on a learned mix of layers), and one or more affect vectors in the core's space. Long recordings,
languages and the conversation are handled above.

Shapes: B rows, T encoder frames (50 a second), L + 1 states a frame, E encoder width, N heard pieces,
K affect vectors, D core width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from harken.audio.features import active_frames
from harken.model.affect_readout import AffectReading, AffectReadout
from harken.model.conv_bridge import ConvBridge, SoftFrames
from harken.model.ctc_bridge import CtcBridge, SoftTokens
from harken.model.encoder import SpeechEncoder


class Heard(NamedTuple):
    """What Listen makes of a batch of recordings."""

    words: SoftTokens | SoftFrames | None  # (B, N, …); None where words were not asked for
    log_probs: Tensor | None  # (B, U, P + 1) of a CTC bridge, 25 frames a second, blank last
    affect: AffectReading
    affect_vectors: Tensor  # (B, K, D)


class AffectPrefix(nn.Module):
    """The readout's vector -> K vectors in the core's space.

    They are not gated to start from nothing: the core normalises what it reads, so that a vector of any
    length but 0 is as loud as any other, and a gate's sign turns it around.
    """

    def __init__(self, affect_width: int, count: int, core_width: int, scale: float) -> None:
        """Args: scale: root mean square of the core's embeddings, which the vectors are brought to."""
        super().__init__()
        self.count, self.core_width = count, core_width
        self.norm = nn.LayerNorm(affect_width)
        self.project = nn.Linear(affect_width, count * core_width)
        nn.init.normal_(self.project.weight, std=scale / affect_width**0.5)

    def forward(self, vector: Tensor) -> Tensor:
        """(B, V) -> (B, K, D)."""
        projected: Tensor = self.project(self.norm(vector))
        return projected.view(len(vector), self.count, self.core_width)


class Listen(nn.Module):
    """Encoder, bridge, readout and affect prefix."""

    def __init__(
        self,
        encoder: SpeechEncoder,
        bridge: CtcBridge | ConvBridge,
        readout: AffectReadout,
        prefix: AffectPrefix,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.bridge = bridge
        self.readout = readout
        self.prefix = prefix

    def forward(self, mel: Tensor, words: bool = True) -> Heard:
        """Hear up to 30 s a row: `mel` (B, 80, 2T) as SpeechEncoder takes it.

        Args: words: False leaves the bridge out, where only the affect is wanted.
        """
        states, valid = self.encoder(mel)  # (B, T, L + 1, E)
        affect = self.readout(states, valid, active_frames(mel))
        prefix = self.prefix(affect.vector)
        if not words:
            return Heard(None, None, affect, prefix)
        if isinstance(self.bridge, ConvBridge):
            return Heard(self.bridge(states[:, :, -1], valid), None, affect, prefix)
        log_probs, bridged = self.bridge(states[:, :, -1], valid)
        return Heard(self.bridge.collapse(log_probs, bridged), log_probs, affect, prefix)
