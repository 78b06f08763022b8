"""What stages 1-1 and 1-2 train: a bridge, an affect prefix and a core, and how they read what is heard.

Shapes: B rows, T frames of the encoder at 50 a second, U frames of the bridge at 25, N vectors of words,
P pieces, E encoder width, D core width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from harken.model.conv_bridge import ConvBridge, SoftFrames
from harken.model.core import Core
from harken.model.ctc_bridge import CtcBridge, SoftTokens
from harken.model.listen import AffectPrefix
from harken.model.speller import Speller


class Hearing(NamedTuple):
    """What a bridge makes of a batch."""

    words: SoftTokens | SoftFrames
    log_probs: Tensor | None  # (B, U, P + 1) of a CTC bridge, which `valid` (B, U) goes with
    valid: Tensor

    def to_spell(self) -> Hearing:
        """The same where it is spelled word by word: on the CPU."""
        if not isinstance(self.words, SoftTokens) or self.log_probs is None:
            return self
        return Hearing(self.words.to_spell(), self.log_probs.detach().cpu(), self.valid)


class Student(nn.Module):
    """What is trained, under one roof."""

    def __init__(self, bridge: CtcBridge | ConvBridge, prefix: AffectPrefix, core: Core) -> None:
        super().__init__()
        self.bridge, self.prefix, self.core = bridge, prefix, core

    def hear(self, states: Tensor, valid: Tensor) -> Hearing:
        """The encoder's last layer, (B, T, E) and (B, T) bool, as words."""
        if isinstance(self.bridge, ConvBridge):
            words: SoftFrames = self.bridge(states, valid)
            return Hearing(words, None, words.valid)
        log_probs, valid = self.bridge(states, valid)
        return Hearing(self.bridge.collapse(log_probs, valid), log_probs, valid)

    def read(self, heard: Hearing, row: int, speller: Speller | None) -> Tensor:
        """The words of one row as the core reads them, (N, D).

        Args: speller: None where the bridge does not spell.
        """
        words, log_probs = heard.words, heard.log_probs
        if not isinstance(words, SoftTokens):
            return words.embeddings[row][words.valid[row]]
        assert speller is not None and log_probs is not None, "a CTC bridge spells"
        return speller.vectors(speller.words(words, log_probs, row), words, self.embed, row)

    def embed(self, ids: list[int]) -> Tensor:
        """Tokens as the core reads them, (N, D)."""
        embedded: Tensor = self.core.embed(torch.tensor(ids, dtype=torch.long))
        return embedded
