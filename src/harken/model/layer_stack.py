"""A run of decoder layers with explicit, batchable state: what Think, Write and Speak are made of.

The layers are transformers' own (Llama, Qwen2 and Qwen3 families); this file replaces only the loop around
them, so that the caller holds the key-value cache as a value: rows of unequal length, forks for a second
branch, and roll-backs are plain operations on `StackState`. Sampling, embeddings and output heads live
elsewhere.

Shapes: B rows, T new positions, S positions in all (past + new), D model width, H key-value heads, C head
width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

import torch
from torch import Tensor, nn


@dataclass
class StackState:
    """Keys and values of the layers already run, and which positions of each row are real.

    Tensors are never written in place, so `fork` is free: both copies go on from the same past.
    """

    keys: dict[int, Tensor] = field(default_factory=dict)  # layer -> (B, H, S, C)
    values: dict[int, Tensor] = field(default_factory=dict)  # layer -> (B, H, S, C)
    valid: Tensor | None = None  # (B, S) bool

    @property
    def length(self) -> int:
        """Positions held per row, gaps included."""
        return 0 if self.valid is None else self.valid.shape[1]

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append new keys and values (B, H, T, C): the call that transformers' attention makes on a cache."""
        if layer in self.keys:
            key = torch.cat([self.keys[layer], key], dim=2)
            value = torch.cat([self.values[layer], value], dim=2)
        self.keys[layer], self.values[layer] = key, value
        return key, value

    def fork(self) -> StackState:
        """A second state that goes on from here without disturbing this one."""
        return StackState(dict(self.keys), dict(self.values), self.valid)

    def rollback(self, length: int) -> StackState:
        """The state as it was when it held `length` positions."""
        assert 0 <= length <= self.length, f"cannot roll back from {self.length} to {length}"
        if self.valid is None:
            return self.fork()
        return StackState(
            {i: k[:, :, :length] for i, k in self.keys.items()},
            {i: v[:, :, :length] for i, v in self.values.items()},
            self.valid[:, :length],
        )

    def rows(self, index: Tensor) -> StackState:
        """Select (or repeat) rows: index (B',) int64."""
        assert self.valid is not None, "an empty state has no rows"
        return StackState(
            {i: k[index] for i, k in self.keys.items()},
            {i: v[index] for i, v in self.values.items()},
            self.valid[index],
        )

    @staticmethod
    def join(states: list[StackState]) -> StackState:
        """One batch from several states; shorter ones end in positions that nobody attends to."""
        longest = max(s.length for s in states)
        layers = states[0].keys.keys()

        def pad(x: Tensor) -> Tensor:  # (B, H, S, C) -> (B, H, longest, C)
            return nn.functional.pad(x, (0, 0, 0, longest - x.shape[2]))

        return StackState(
            {i: torch.cat([pad(s.keys[i]) for s in states]) for i in layers},
            {i: torch.cat([pad(s.values[i]) for s in states]) for i in layers},
            torch.cat([nn.functional.pad(cast(Tensor, s.valid), (0, longest - s.length)) for s in states]),
        )


Quick = Callable[[Tensor, tuple[Tensor, Tensor], Sequence[StackState], Tensor | None], Tensor]
Learn = Callable[[nn.Module, Tensor, Tensor | None, Tensor, tuple[Tensor, Tensor]], Tensor]


class LayerStack(nn.Module):
    """Consecutive decoder layers of one language model, run on hidden states."""

    def __init__(self, layers: nn.ModuleList, rotary: nn.Module) -> None:
        super().__init__()
        self.layers = layers
        self.rotary = rotary
        self.quick: list[Quick] | None = None
        """The layers again, for one token of each row without gradients (`harken.model.quick_layer`)."""
        self.learn: Learn | None = None
        """Any of the layers again, for a batch from the start with gradients (`harken.training.compiled`,
        `recompute`)."""

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """As of any module, but that the frequencies of positions stay float32: in half precision they would
        turn far positions otherwise than in use."""
        before = getattr(self.rotary, "inv_freq", None)
        super()._apply(fn, recurse)
        after = getattr(self.rotary, "inv_freq", None)
        if isinstance(before, Tensor) and isinstance(after, Tensor) and before.dtype != after.dtype:
            self.rotary.inv_freq = before.to(after.device)
        return self

    def forward(
        self,
        hidden: Tensor,
        state: StackState | None = None,
        valid: Tensor | None = None,
        key_bias: Tensor | None = None,
    ) -> tuple[Tensor, StackState]:
        """Run new positions through the layers.

        Args:
            hidden: (B, T, D).
            state: the past, or None at the start; it is not changed.
            valid: (B, T) bool, False where a row has no token here (padding on either side or in the middle).
            key_bias: (S,) what is added to the attention logits of each position, for all rows alike.

        Returns:
            hidden (B, T, D) after the last layer, and the state that now holds S + T positions; no keys and
            values of what `learn` read.
        """
        state = StackState() if state is None else state.fork()
        past, whole = state.length, valid is None and state.valid is None
        if valid is None:
            valid = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        state.valid = valid if state.valid is None else torch.cat([state.valid, valid], dim=1)  # (B, S)
        positions = (state.valid.cumsum(1) - 1).clamp(min=0)[:, past:]  # (B, T)
        rope = self.rotary(hidden, position_ids=positions)
        if self.learn and self.training and torch.is_grad_enabled() and past == 0 and key_bias is None:
            seen = None if whole else attention_mask(state.valid, past)  # without a mask layers are causal
            for layer in self.layers:
                hidden = self.learn(layer, hidden, seen, positions, rope)
            return hidden, state
        mask = attention_mask(state.valid, past)
        key_bias = None if key_bias is None else key_bias.to(hidden)
        if self.quick and mask is None and len(hidden) == 1 and not torch.is_grad_enabled():
            return self._quickly(hidden[0], (rope[0][0], rope[1][0]), [state], key_bias)[None], state
        if key_bias is not None:
            mask = key_bias.expand(1, 1, 1, -1) if mask is None else key_bias.where(mask, -torch.inf)
        for layer in self.layers:
            hidden = layer(
                hidden,
                attention_mask=mask,
                position_ids=positions,
                position_embeddings=rope,
                past_key_values=state,
                use_cache=True,
            )
        return hidden, state

    @torch.no_grad()
    def each(self, rows: Tensor, states: Sequence[StackState]) -> tuple[Tensor, list[StackState]]:
        """A new position of several rows, each after a past of its own: the weights are read once for all.

        Only with `quick` layers.

        Args:
            rows: (R, D).
            states: of one row each, without gaps; they are not changed.

        Returns:
            (R, D) after the last layer, and the states that now hold one position more.
        """
        after = [state.fork() for state in states]
        for state in after:
            assert state.valid is not None and bool(state.valid.all()), "a row without gaps"
            state.valid = torch.cat([state.valid, torch.ones_like(state.valid[:, :1])], dim=1)
        positions = torch.tensor([[state.length] for state in states], device=rows.device)  # (R, 1)
        cosine, sine = self.rotary(rows[:, None], position_ids=positions)  # (R, 1, C)
        return self._quickly(rows, (cosine[:, 0], sine[:, 0]), after, None), after

    def _quickly(
        self, rows: Tensor, rope: tuple[Tensor, Tensor], states: list[StackState], key_bias: Tensor | None
    ) -> Tensor:
        assert self.quick, "there are quick layers"
        for quick in self.quick:
            rows = quick(rows, rope, states, key_bias)
        return rows


def learn_through(module: nn.Module, learn: Learn) -> None:
    """Let every stack of layers inside `module` learn through `learn`, in place."""
    for part in module.modules():
        if isinstance(part, LayerStack):
            part.learn = learn


def attention_mask(valid: Tensor, past: int) -> Tensor | None:
    """Who may attend to whom: (B, 1, T, S) bool, causal and real; None where one new token sees everything.

    A position that is itself padding sees itself alone, so that no softmax is taken over nothing.
    """
    total = valid.shape[1]
    if total - past == 1 and bool(valid.all()):
        return None
    key = torch.arange(total, device=valid.device)
    query = key[past:, None]  # (T, 1)
    causal = key[None, :] <= query  # (T, S)
    itself = key[None, :] == query
    return ((causal & valid[:, None, :]) | itself)[:, None]  # (B, 1, T, S)
