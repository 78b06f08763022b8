"""Speak: the shared hidden states -> speech units, several a step, while the text is still being written.

Its layers are a copy of the language model's top ones, run on what Think gives for the word that is being
said. Beside the units each step says how many symbols further it has come in the text: the *pointer* moves
from symbol to symbol and never back, so that no word is left out or said twice, speech ends with the text,
and what has been said is known at every moment. Before a symbol is said, some that follow it are read: until
those are written, Speak waits.

Differs from GOAT-SLM (arXiv 2507.18119), whose Speak is given the newest text token at each step and has to
find out by attention which one is due: that takes hundreds of hours of speech to learn, a pointer a few. Like
there, the text's hidden state and its embedding are fused by a gate (LLaMA-Omni 2, arXiv 2505.02625).

Shapes: B rows, S steps, D core width, M units a step, W symbols that are read at once, V units (and one more
number, the end), A numbers of symbols that a step can move on by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.model.layer_stack import LayerStack, StackState
from harken.model.units.fsq import FiniteScalarQuantiser

NOTHING = -1
"""In place of a unit before the first one."""


@dataclass(frozen=True)
class SpeakSizes:
    """What Speak says, what it reads, and how many units at a time."""

    width: int
    levels: tuple[int, ...]
    """Of the codec's quantiser."""
    symbols: int
    """Numbers of symbols are below this; 0 is none."""
    styles: int
    units_per_step: int = 4
    heads: Literal["parallel", "sequential"] = "sequential"
    behind: int = 2
    ahead: int = 10
    """How many symbols before and after the one that is said are read."""
    symbol_width: int = 96
    furthest: int = 15
    """How many symbols a step moves on by at most."""

    @property
    def window(self) -> int:
        return self.behind + 1 + self.ahead


class UnitTable(nn.Module):
    """A vector a unit: the sum of one for each level of its code, and a small one of its own."""

    def __init__(self, levels: tuple[int, ...], width: int) -> None:
        super().__init__()
        quantiser = FiniteScalarQuantiser(levels)
        self.vocabulary = quantiser.vocabulary
        self.digits = nn.Parameter(torch.randn(sum(levels), width) * (width * len(levels)) ** -0.5)
        self.own = nn.Parameter(torch.zeros(self.vocabulary, width))
        self.end = nn.Parameter(torch.randn(1, width) * width**-0.5)
        first = torch.tensor([sum(levels[:k]) for k in range(len(levels))])
        rows = quantiser.digits(torch.arange(self.vocabulary)) + first  # (V, K)
        self.register_buffer("rows", rows, persistent=False)

    def forward(self) -> Tensor:
        """(V + 1, D), the end last."""
        rows: Tensor = self.rows  # type: ignore[assignment]
        return torch.cat([self.digits[rows].sum(1) + self.own, self.end])


class Step(nn.Module):
    """One further unit of a step, given those before it in the same step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.wide = nn.Linear(width, 2 * width)
        self.back = nn.Linear(2 * width, width)

    def forward(self, hidden: Tensor, unit: Tensor) -> Tensor:
        """hidden (..., D) and the vector of the unit before (..., D) -> (..., D)."""
        out: Tensor = hidden + self.back(F.silu(self.wide(self.norm(hidden + unit))))
        return out


class Speak(nn.Module):
    """Steps -> units and how far the text has been said."""

    def __init__(self, sizes: SpeakSizes, stack: LayerStack) -> None:
        """Args: stack: its layers, a copy of the core's top ones."""
        super().__init__()
        self.sizes, self.stack = sizes, stack
        d, m = sizes.width, sizes.units_per_step
        self.units = UnitTable(sizes.levels, d)
        self.symbols = nn.Embedding(sizes.symbols, sizes.symbol_width)
        self.reading = nn.Linear(sizes.window * sizes.symbol_width, d)
        self.styles = nn.Embedding(sizes.styles, d)
        self.gate = nn.Linear(2 * d, d)
        self.hidden_norm, self.text_norm = nn.RMSNorm(d), nn.RMSNorm(d)
        self.final = nn.RMSNorm(d)
        self.scale = nn.Parameter(torch.tensor(1.0))
        further = m - 1 if sizes.heads == "sequential" else 0
        self.steps = nn.ModuleList(Step(d) for _ in range(further))
        self.places = nn.ModuleList(nn.Linear(d, d) for _ in range(m if sizes.heads == "parallel" else 0))
        self.logit_scale = nn.Parameter(torch.tensor(d**0.5))
        self.moves = nn.Linear(d, sizes.furthest + 1)

    @property
    def vocabulary(self) -> int:
        return self.units.vocabulary

    def inputs(
        self, hidden: Tensor, text: Tensor, windows: Tensor, before: Tensor, styles: Tensor, table: Tensor
    ) -> Tensor:
        """What the layers read at each step.

        Args:
            hidden: (B, S, D) of Think at the word that is said.
            text: (B, S, D) the embedding of its token.
            windows: (B, S, W) int64 symbols around the one that is said.
            before: (B, S, M) int64 the units of the step before, NOTHING at the first.
            styles: (B, styles) weights that sum to 1.
            table: what `units()` gives.

        Returns: (B, S, D).
        """
        shared, written = self.hidden_norm(hidden), self.text_norm(text)
        gate = self.gate(torch.cat([shared, written], dim=-1)).sigmoid()
        said = table[before.clamp(min=0)] * (before >= 0)[..., None]  # (B, S, M, D)
        read = self.reading(self.symbols(windows).flatten(2))
        style = (styles @ self.styles.weight)[:, None]
        together = gate * shared + (1 - gate) * written + read + said.sum(2) + style
        return together * self.scale

    def forward(
        self, inputs: Tensor, state: StackState | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, StackState]:
        """(B, S, D) -> hidden states (B, S, D), and the state that has read them too."""
        hidden, state = self.stack(inputs, state, valid)
        return self.final(hidden), state

    def unit_logits(self, hidden: Tensor, units: Tensor, table: Tensor) -> Tensor:
        """Logits of each step's units, given the true ones before: (B, S, M, V + 1).

        Args: hidden (B, S, D); units (B, S, M) int64, of which the last of each step is not looked at.
        """
        if self.sizes.heads == "parallel":
            each = [place(hidden) for place in self.places]
        else:
            each = [hidden]
            for number, step in enumerate(self.steps):
                each.append(step(each[-1], table[units[..., number].clamp(min=0)]))
        return self._logits(torch.stack(each, dim=-2), table)

    def choose(self, hidden: Tensor, choose: Callable[[Tensor], Tensor], table: Tensor) -> Tensor:
        """The units of one step: (B, M) int64.

        Args: hidden (B, D); choose: logits (B, V + 1) -> units (B,), called once a unit, in order.
        """
        chosen: list[Tensor] = []
        for number in range(self.sizes.units_per_step):
            if self.sizes.heads == "parallel":
                at = self.places[number](hidden)
            else:
                at = hidden = self.steps[number - 1](hidden, table[chosen[-1]]) if number else hidden
            chosen.append(choose(self._logits(at, table)))
        return torch.stack(chosen, dim=1)

    def move_logits(self, hidden: Tensor) -> Tensor:
        """How many symbols the step moves on by: (..., D) -> (..., A)."""
        logits: Tensor = self.moves(hidden)
        return logits

    def _logits(self, hidden: Tensor, table: Tensor) -> Tensor:
        return (F.normalize(hidden, dim=-1) @ F.normalize(table, dim=-1).T) * self.logit_scale


def windows_at(symbols: Tensor, pointers: Tensor, sizes: SpeakSizes) -> Tensor:
    """The symbols around each pointer, 0 beyond the text.

    Args: symbols (P,) int64; pointers (S,) int64 from 0 to P.

    Returns: (S, W).
    """
    padded = F.pad(symbols, (sizes.behind, sizes.ahead + 1))
    return padded[pointers[:, None] + torch.arange(sizes.window)[None]]
