"""Choosing units of speech: the middle of what is expected, or drawn.

A unit is a few levels, one of each dimension of the codec's code, and units of neighbouring levels sound
almost alike. The *middle* is the mean level of each dimension: where it is not known how something will be
said, it is said plainly, as speech synthesis that is trained on squared errors does.

Drawn, a unit that has come too often in the last few is drawn anew from all units, so that speech neither
hangs in a sound nor loses its even passages. Source: repetition-aware sampling of VALL-E 2 (arXiv
2406.05370), with the window along time.

Shapes: V units, A numbers of parts to move on by, K dimensions of a code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class UnitSampling:
    """How units are chosen, and how far each goes."""

    seed: int = 0
    draw: bool = False
    """Without: the middle of what is expected, and the most probable length. Nothing depends on the seed."""
    temperature: float = 0.5
    """0 takes the most probable."""
    top_p: float = 0.8
    top_k: int = 25
    window: int = 10
    often: float = 0.3
    """The share of the window that one unit may fill."""


class UnitSampler:
    """Chooses the units of one reply. The same seed and logits give the same units."""

    def __init__(self, sampling: UnitSampling, levels: Sequence[int], stream: int = 0) -> None:
        """Args: levels: of the codec's quantiser. stream: tells replies of one seed apart."""
        self.sampling, self.levels = sampling, tuple(levels)
        self._random = torch.Generator().manual_seed((sampling.seed * 1_000_003 + stream) % 2**63)
        self._recent: deque[int] = deque(maxlen=sampling.window)

    def choose(self, logits: Tensor, may_end: bool) -> Tensor:
        """The next unit: (1, V + 1), the end last, -> (1,) int64."""
        scores = logits[0].float().clone()
        if not may_end:
            scores[-1] = -torch.inf
        if self.sampling.temperature <= 0:
            return scores.argmax()[None]
        probs = (scores / self.sampling.temperature).softmax(-1)
        if not self.sampling.draw:
            return torch.tensor([middle(probs, self.levels)])
        unit = self._draw(probs, self.sampling.top_k, self.sampling.top_p)
        if self._recent.count(unit) > self.sampling.often * self.sampling.window:
            unit = self._draw(probs, len(probs), 1.0)
        self._recent.append(unit)
        return torch.tensor([unit])

    def move(self, logits: Tensor) -> int:
        """How many parts to move on by: (A,)."""
        if not self.sampling.draw or self.sampling.temperature <= 0:
            return int(logits.argmax())
        return self._draw(logits.float().softmax(-1), len(logits), 0.95)

    def _draw(self, probs: Tensor, top_k: int, top_p: float) -> int:
        best, order = probs.topk(min(top_k, len(probs)))
        kept = best.cumsum(0) - best < top_p * best.sum()
        kept[0] = True
        return int(order[torch.multinomial(best * kept, 1, generator=self._random)])


def middle(probs: Tensor, levels: Sequence[int]) -> int:
    """The unit in the middle of what is expected: (V + 1,) -> its number; V, the end, where that is as likely
    as all else together.
    """
    if probs[-1] >= 0.5:
        return len(probs) - 1
    expected = probs[:-1].reshape(*reversed(levels))  # (L_K, …, L_1)
    unit, place = 0, 1
    for k, count in enumerate(levels):
        of_level = expected.movedim(-1 - k, 0).reshape(count, -1).sum(1)  # (L_k,)
        mean = float(of_level @ torch.arange(count, dtype=of_level.dtype) / of_level.sum())
        unit, place = unit + place * round(mean), place * count
    return unit
