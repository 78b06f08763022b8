"""Write: the language model's top layers and its text head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from harken.model.layer_stack import LayerStack, StackState


class Write(LayerStack):
    """Shared hidden states (B, T, D) -> normalised hidden states (B, T, D) -> text logits (B, T, V)."""

    def __init__(self, layers: nn.ModuleList, rotary: nn.Module, norm: nn.Module, head: nn.Module) -> None:
        super().__init__(layers, rotary)
        self.norm = norm
        self.head = head

    def forward(
        self,
        hidden: Tensor,
        state: StackState | None = None,
        valid: Tensor | None = None,
        key_bias: Tensor | None = None,
    ) -> tuple[Tensor, StackState]:
        hidden, state = super().forward(hidden, state, valid, key_bias)
        return self.norm(hidden), state

    def each(self, rows: Tensor, states: Sequence[StackState]) -> tuple[Tensor, list[StackState]]:
        rows, after = super().each(rows, states)
        return self.norm(rows), after

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V)."""
        logits: Tensor = self.head(hidden)
        return logits
