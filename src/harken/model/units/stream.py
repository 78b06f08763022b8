"""What layers along time keep of what they have read, so that pieces are what the whole would be."""

from __future__ import annotations

import torch
from torch import Tensor

Kept = tuple[Tensor, ...]
"""What all layers keep, in the order in which they read."""


class Stream:
    """Goes through the layers with one piece: what came before it is put in front, and its end is kept."""

    def __init__(self, kept: Kept | None) -> None:
        """Args: kept: after the piece before; None before the first."""
        self._before = None if kept is None else iter(kept)
        self._kept: list[Tensor] = []

    def joined(self, now: Tensor, reach: int) -> Tensor:
        """A piece (…, T) and the `reach` moments before it, which at the beginning are 0."""
        before = _nothing(now, reach) if self._before is None else next(self._before)
        both = torch.cat([before, now], dim=-1)
        self._kept.append(both[..., both.shape[-1] - reach :].clone())
        return both

    def kept(self) -> Kept:
        """For the next piece, when all layers have read this one."""
        return tuple(self._kept)


def _nothing(now: Tensor, moments: int) -> Tensor:
    """Zeros before a piece, that lie in memory as it does."""
    zeros = now.new_zeros(*now.shape[:-1], moments)
    together = now.dim() == 4 and now.stride(1) == 1  # the channels of a moment
    return zeros.contiguous(memory_format=torch.channels_last) if together else zeros
