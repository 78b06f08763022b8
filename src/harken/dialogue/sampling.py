"""Choosing the next token: greedy, or drawn with a seed, and never round in circles.

A small core falls into loops. So a run of four tokens that a text already holds may not come again, which
also bounds how long any loop can be. What is done with the tokens is `harken.dialogue.decoding`'s.

Shapes: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. Without a seed it is the most probable one, so a reply is always the same."""

    seed: int | None = None
    temperature: float = 0.7
    top_p: float = 0.9
    loop: int = 4
    """Tokens in a run that may not come twice; 0 lets everything repeat."""


class Sampler:
    """Chooses the tokens of one text. The same seed and logits give the same tokens."""

    def __init__(self, sampling: Sampling, stream: int = 0) -> None:
        """Args: stream: tells texts of one seed apart, such as the turns of a conversation."""
        self.sampling = sampling
        self._random: torch.Generator | None = None
        if sampling.seed is not None:
            self._random = torch.Generator().manual_seed((sampling.seed * 1_000_003 + stream) % 2**63)

    def choose(self, logits: Tensor, before: Sequence[int], banned: Collection[int] = ()) -> int:
        """The next token.

        Args:
            logits: (V,), not changed.
            before: the tokens of this text so far.
            banned: tokens that may not come now.
        """
        logits = logits.float().cpu().clone()
        forbidden = [*banned, *_closing_a_loop(before, self.sampling.loop)]
        logits[forbidden] = -torch.inf
        if self._random is None:
            return int(logits.argmax())
        probs = (logits / max(self.sampling.temperature, 1e-4)).softmax(-1)
        return _draw(probs, self.sampling.top_p, self._random)


def _closing_a_loop(before: Sequence[int], loop: int) -> list[int]:
    """Tokens that would repeat a run of `loop` tokens."""
    if loop < 1 or len(before) < loop:
        return []
    tail = list(before[len(before) - loop + 1 :])
    runs = (before[i : i + loop] for i in range(len(before) - loop + 1))
    return [run[-1] for run in runs if list(run[:-1]) == tail]


def _draw(probs: Tensor, top_p: float, random: torch.Generator) -> int:
    """One token of (V,) out of the most probable ones that together hold `top_p`."""
    sorted_probs, order = probs.sort(descending=True)
    kept = sorted_probs.cumsum(0) - sorted_probs < top_p  # the first is always kept
    kept[0] = True
    place = torch.multinomial(sorted_probs * kept, 1, generator=random)
    return int(order[place])
