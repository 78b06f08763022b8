"""`<|reflect|>` and `</|reflect|>`: where a reply stops being spoken, and where it goes on.

Two tokens after the core's own. Their vectors stand here and not in the core's matrix, which stays as it was
pretrained: whoever does not reflect reads and writes as before. One vector a token is both read and scored.

Shapes: T positions, D core width, V the core's vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ReflectionMarks(nn.Module):
    """The two tokens."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.opening, self.closing = vocabulary, vocabulary + 1
        self.rows = nn.Parameter(torch.zeros(2, width))

    def embed(self, ids: Tensor, core: nn.Module) -> Tensor:
        """Token ids (T,) -> embeddings (T, D), by `core` but for the two."""
        marks = ids >= self.opening
        embedded: Tensor = core(ids.masked_fill(marks, 0))
        return torch.where(
            marks[:, None], self.rows[(ids - self.opening).clamp(min=0)].to(embedded), embedded
        )

    def with_logits(self, logits: Tensor, hidden: Tensor) -> Tensor:
        """Write's hidden states (..., D) and their logits (..., V) -> logits (..., V + 2)."""
        return torch.cat([logits, hidden @ self.rows.T.to(hidden)], dim=-1)
