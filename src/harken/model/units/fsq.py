"""Finite scalar quantisation: a few numbers, each rounded to one of a few levels.

All combinations are the codebook: there is none to learn, hence none to collapse. Source: Mentzer et al. 2023
(arXiv 2309.15505).

Shapes: K dimensions of a code, any leading shape before it.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn


class FiniteScalarQuantiser(nn.Module):
    """Vectors (..., K) -> codes (..., K) within [-1, 1], and codes <-> one number each."""

    def __init__(self, levels: tuple[int, ...]) -> None:
        """Args: levels: how many of each dimension; odd, so that 0 is one of them."""
        super().__init__()
        if not levels or any(level < 3 or level % 2 == 0 for level in levels):
            raise ValueError(f"levels are odd and at least 3, not {levels}")
        self.levels = levels
        self.register_buffer("reach", torch.tensor([(n - 1) / 2 for n in levels]), persistent=False)
        places = [prod(levels[:k]) for k in range(len(levels))]
        self.register_buffer("places", torch.tensor(places), persistent=False)

    @property
    def vocabulary(self) -> int:
        """How many units there are."""
        return prod(self.levels)

    def forward(self, vectors: Tensor) -> Tensor:
        """Round within bounds; the gradient passes as if nothing were rounded."""
        reach: Tensor = self.reach  # type: ignore[assignment]
        bounded = vectors.float().tanh()
        rounded = (bounded * reach).round() / reach
        return bounded + (rounded - bounded).detach()

    def units(self, codes: Tensor) -> Tensor:
        """Codes (..., K) -> int64 units (...)."""
        reach: Tensor = self.reach  # type: ignore[assignment]
        places: Tensor = self.places  # type: ignore[assignment]
        return (((codes * reach).round() + reach).long() * places).sum(-1)

    def codes(self, units: Tensor) -> Tensor:
        """Units (...) -> codes (..., K)."""
        reach: Tensor = self.reach  # type: ignore[assignment]
        return (self.digits(units) - reach) / reach

    def digits(self, units: Tensor) -> Tensor:
        """Units (...) -> which level of each dimension, int64 (..., K)."""
        places: Tensor = self.places  # type: ignore[assignment]
        sizes = torch.tensor(self.levels, device=units.device)
        return units[..., None] // places % sizes
