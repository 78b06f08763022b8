"""Speak: the shared hidden states -> speech units, several a step, while the text is still being written.

Its layers are a copy of the language model's top ones, run on what Think gives for the word that is being
said. Before each unit it says how far that comes in the text, to a part of a symbol: the *pointer* moves from
symbol to symbol and never back, so that no word is left out or said twice, speech ends with the text, and
what has been said is known at every moment. A unit is read from the symbols around where it begins and where
it ends: it is longer than many of them, and sounds otherwise for each part of one that it takes in. Symbols
are read ahead as well: until those are written, Speak waits.

Differs from GOAT-SLM (arXiv 2507.18119), whose Speak is given the newest text token at each step and has to
find out by attention which one is due: that takes hundreds of hours of speech to learn, a pointer a few. Like
there, the text's hidden state and its embedding are fused by a gate (LLaMA-Omni 2, arXiv 2505.02625).

Shapes: B rows, S steps, D core width, M units a step, W numbers that are read at once (symbols, and the part
of the one that is said), V units (and one more number, the end), A numbers of parts that a unit may move on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.model.layer_stack import LayerStack, StackState
from harken.model.scalars import reshape_saved, scalar
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
    manners: int
    """Styles and voices that it can speak in."""
    units_per_step: int = 4
    heads: Literal["parallel", "sequential"] = "sequential"
    behind: int = 2
    ahead: int = 10
    """How many symbols before and after the one that is said are read."""
    symbol_width: int = 96
    furthest: int = 7
    """How many symbols a unit moves on by at most."""
    parts: int = 4
    """Of a symbol, that the pointer tells apart: it counts in these."""
    pace_width: int = 256

    @property
    def window(self) -> int:
        return self.behind + 1 + self.ahead + 1

    @property
    def farthest(self) -> int:
        """How many parts a unit moves on by at most."""
        return self.furthest * self.parts


class UnitVectors(NamedTuple):
    """What stands for each unit, the end last."""

    said: Tensor  # (V + 1, D) where it was said before
    scored: Tensor  # (D, V + 1) of length 1 each: against which hidden states are held


class UnitTable(nn.Module):
    """A vector a unit: the sum of one for each level of its code, and a small one of its own."""

    def __init__(self, levels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.quantiser = FiniteScalarQuantiser(levels)
        self.vocabulary = self.quantiser.vocabulary
        self.digits = nn.Parameter(torch.randn(sum(levels), width) * (width * len(levels)) ** -0.5)
        self.own = nn.Parameter(torch.zeros(self.vocabulary, width))
        self.end = nn.Parameter(torch.randn(1, width) * width**-0.5)
        first = torch.tensor([sum(levels[:k]) for k in range(len(levels))])
        rows = self.quantiser.digits(torch.arange(self.vocabulary)) + first  # (V, K)
        self.register_buffer("rows", rows, persistent=False)

    def forward(self) -> UnitVectors:
        """Of all units; for as long as nothing is learned, once is enough."""
        rows: Tensor = self.rows  # type: ignore[assignment]
        said = torch.cat([self.digits[rows].sum(1) + self.own, self.end])
        return UnitVectors(said, F.normalize(said, dim=-1).T.contiguous())


class Chooser(Protocol):
    """Draws what is said in one step, unit by unit: first how far a unit goes, then the unit."""

    def windows(self) -> Tensor:
        """What is read around each row's pointer as it stands now, (B, W)."""
        ...

    def move(self, logits: Tensor) -> Tensor:
        """Logits (B, A) -> (B,) int64 parts that the rows' pointers move on by."""
        ...

    def unit(self, logits: Tensor) -> Tensor:
        """Logits (B, V + 1) -> (B,) int64."""
        ...


class Logits(NamedTuple):
    """Of each step's units and of how far each moves on."""

    units: Tensor  # (B, S, M, V + 1)
    moves: Tensor  # (B, S, M, A)


class Step(nn.Module):
    """One unit of a step, given what it takes in of the text and those before it in the same step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.wide = nn.Linear(width, 2 * width)
        self.back = nn.Linear(2 * width, width)

    def forward(self, hidden: Tensor, given: Tensor) -> Tensor:
        """hidden (..., D) and what is known by now, (..., D) -> (..., D)."""
        out: Tensor = hidden + self.back(F.silu(self.wide(self.norm(hidden + given))))
        return out


class Speak(nn.Module):
    """Steps -> units, and how far each goes in the text."""

    def __init__(self, sizes: SpeakSizes, stack: LayerStack) -> None:
        """Args: stack: its layers, a copy of the core's top ones."""
        super().__init__()
        self.sizes, self.stack = sizes, stack
        d, m = sizes.width, sizes.units_per_step
        self.units = UnitTable(sizes.levels, d)
        self.symbols = nn.Embedding(sizes.symbols + sizes.parts, sizes.symbol_width)
        read = sizes.window * sizes.symbol_width
        self.reading = nn.Linear(read, d)
        self.manners = nn.Embedding(sizes.manners, d)
        self.gate = nn.Linear(2 * d, d)
        self.hidden_norm, self.text_norm = nn.RMSNorm(d), nn.RMSNorm(d)
        self.final = nn.RMSNorm(d)
        self.scale = scalar(1.0)
        self.steps = nn.ModuleList(Step(d) for _ in range(m))
        self.here, self.there = nn.Linear(read, d), nn.Linear(read, d)
        self.pace = nn.Sequential(
            nn.RMSNorm(d),
            nn.Linear(d, sizes.pace_width),
            nn.SiLU(),
            nn.Linear(sizes.pace_width, sizes.farthest + 1),
        )
        self.moved = nn.Embedding(sizes.farthest + 1, d)
        self.logit_scale = scalar(d**0.5)
        self.register_load_state_dict_pre_hook(reshape_saved)

    @property
    def vocabulary(self) -> int:
        return self.units.vocabulary

    def inputs(
        self,
        hidden: Tensor,
        text: Tensor,
        windows: Tensor,
        before: Tensor,
        manners: Tensor,
        table: UnitVectors,
    ) -> Tensor:
        """What the layers read at each step.

        Args:
            hidden: (B, S, D) of Think at the word that is said.
            text: (B, S, D) the embedding of its token.
            windows: (B, S, W) int64 symbols around the one that is said.
            before: (B, S, M) int64 the units of the step before, NOTHING at the first.
            manners: (B, manners) weights of each style, then of each voice.
            table: what `units()` gives.

        Returns: (B, S, D).
        """
        shared, written = self.hidden_norm(hidden), self.text_norm(text)
        gate = self.gate(torch.cat([shared, written], dim=-1)).sigmoid()
        said = table.said[before.clamp(min=0)] * (before >= 0)[..., None]  # (B, S, M, D)
        read = self.reading(self.symbols(windows).flatten(2))
        manner = (manners @ self.manners.weight)[:, None]
        together = gate * shared + (1 - gate) * written + read + said.sum(2) + manner
        return together * self.scale[0]

    def forward(
        self, inputs: Tensor, state: StackState | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, StackState]:
        """(B, S, D) -> hidden states (B, S, D), and the state that has read them too."""
        hidden, state = self.stack(inputs, state, valid)
        return self.final(hidden), state

    def heads(
        self, hidden: Tensor, units: Tensor, windows: Tensor, moves: Tensor, table: UnitVectors
    ) -> Logits:
        """What each step expects, given what was true before.

        Args: hidden (B, S, D); units and moves (B, S, M) int64, of which the last unit of each step is not
            looked at; windows (B, S, M + 1, W) where each unit begins, and where the last one ends.
        """
        said, further = [], []
        at = hidden
        for number in range(self.sizes.units_per_step):
            given = self._given(windows[..., number, :], units[..., number - 1], number, table)
            further.append(self.pace(at + given))
            at = self._step(number, at, given, windows[..., number + 1, :], moves[..., number].clamp(min=0))
            said.append(self._logits(at, table))
            if self.sizes.heads == "parallel":
                at = hidden
        return Logits(torch.stack(said, dim=-2), torch.stack(further, dim=-2))

    def choose(self, hidden: Tensor, chooser: Chooser, table: UnitVectors) -> Tensor:
        """The units of one step: (B, M) int64. Args: hidden (B, D)."""
        chosen: list[Tensor] = []
        at, windows = hidden, chooser.windows()
        for number in range(self.sizes.units_per_step):
            given = self._given(windows, chosen[-1] if chosen else None, number, table)
            moves = chooser.move(self.pace(at + given))
            windows = chooser.windows()
            at = self._step(number, at, given, windows, moves)
            chosen.append(chooser.unit(self._logits(at, table)))
            if self.sizes.heads == "parallel":
                at = hidden
        return torch.stack(chosen, dim=1)

    def _given(self, windows: Tensor, before: Tensor | None, number: int, table: UnitVectors) -> Tensor:
        """What a unit knows besides its step: (..., W) where it begins and, in turn, the unit before."""
        given: Tensor = self.here(self.symbols(windows).flatten(-2))
        if number and before is not None and self.sizes.heads == "sequential":
            given = given + table.said[before.clamp(min=0)]
        return given

    def _step(self, number: int, at: Tensor, given: Tensor, windows: Tensor, moves: Tensor) -> Tensor:
        """A unit's hidden state (..., D), given also (..., W) where it ends and (...) how far that is."""
        taken_in = self.there(self.symbols(windows).flatten(-2)) + self.moved(moves)
        out: Tensor = self.steps[number](at, given + taken_in)
        return out

    def _logits(self, hidden: Tensor, table: UnitVectors) -> Tensor:
        return (F.normalize(hidden, dim=-1) @ table.scored) * self.logit_scale[0]


def windows_at(symbols: Tensor, pointers: Tensor, sizes: SpeakSizes) -> Tensor:
    """What is read around each pointer: symbols, 0 beyond the text, and last which part of its own it is at.

    Args: symbols (P,) int64; pointers (S,) int64 parts, from 0 to P * parts.

    Returns: (S, W).
    """
    padded = F.pad(symbols, (sizes.behind, sizes.ahead + 1))
    at, part = pointers // sizes.parts, pointers % sizes.parts
    around = padded[at[:, None] + torch.arange(sizes.window - 1)[None]]
    return torch.cat([around, sizes.symbols + part[:, None]], dim=1)
