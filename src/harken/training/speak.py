"""Stage 2, the speech half: Speak learns to say replies, on what Think makes of them.

Everything below Speak stays as it is. A reply is learned at once: at each step the units and the pointer of
the step before are the true ones, and no step is computed apart from the others. The style is given: which
one answers which voice is learned by `harken.training.reply_style`.

Shapes: B rows, S steps, M units a step, W numbers read at once, T tokens of a reply, P symbols, D core width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from harken.dialogue.render import UserTurn, render
from harken.errors import DataError
from harken.model.core import Core
from harken.model.own_voice import STYLES
from harken.model.speak import NOTHING, Speak, SpeakSizes, windows_at
from harken.training.callbacks import usual
from harken.training.examples import IGNORED, Bins
from harken.training.loop import Losses, Objective, autocast, train
from harken.training.saving import identity
from harken.training.schedule import Schedule
from harken.training.speech_units import SpokenReply
from harken.training.world import ALONE, World


@dataclass(frozen=True)
class SpeakConfig:
    """How long, in what batches, and what counts how much."""

    schedule: Schedule = Schedule(
        steps=3000,
        rates=(("stack.*", 4e-4), ("*", 8e-4)),
        warmup=100,
        evaluate_every=500,
        save_every=200,
    )
    steps_a_batch: int = 2000
    move_weight: float = 0.3
    end_weight: float = 3.0
    """How much more the unit that ends a reply counts than another."""
    unit_dropout: float = 0.4
    """Share of earlier steps whose units are hidden, so that Speak does not lean on them alone."""
    thought_dropout: float = 0.7
    """Share of replies of which Think and the tokens are hidden: they would be known by heart from them."""
    style_dropout: float = 0.1
    window_dropout: float = 0.7
    """Share of replies that are read with fewer symbols around each, as few as one ahead: what is learned of
    whole words does not help with others."""
    dropout: float = 0.2
    nearby: float = 0.2
    """How much of a unit's weight goes to those that differ by one level in a dimension, of each dimension:
    they sound almost alike."""
    least_confidence: float = 0.0
    """Units that Speak itself finds less probable than this are not learned from, as GOAT-SLM masks them:
    what the tokenizer or the clock got wrong teaches nothing. 0 learns from all."""


class Said(NamedTuple):
    """A reply, step by step."""

    id: str
    units: Tensor  # (S, M), the end's number from where the reply has ended
    windows: Tensor  # (S, M + 1, W)
    moves: Tensor  # (S, M) parts that the unit moves on by, IGNORED from the end on
    tokens: Tensor  # (S,) the token whose word is said
    ids: Tensor  # (T,)
    style: int  # -1 where it is not known
    voice: int  # the same


def steps_of(
    reply: SpokenReply,
    ids: Sequence[int],
    token_ends: Sequence[int],
    speak: Speak,
    symbol_ids: dict[str, int],
    styles: Sequence[str],
    voices: Sequence[str],
) -> Said:
    """A reply as Speak's steps.

    Args: ids: its tokens; token_ends: how many characters of it there are after each.
    """
    sizes, m = speak.sizes, speak.sizes.units_per_step
    symbols, tokens = [], []
    for _, end, spelled in reply.words:
        token = next((t for t, there in enumerate(token_ends) if there >= end), len(token_ends) - 1)
        symbols += [symbol_ids[symbol] for symbol in spelled]
        tokens += [token] * len(spelled)
    units = torch.from_numpy(reply.unit_array())
    count = -(-len(units) // m)
    padded = F.pad(units, (0, count * m - len(units)), value=speak.vocabulary).view(count, m)
    if count * m == len(units):  # the end has a place of its own
        padded = F.pad(padded, (0, 0, 0, 1), value=speak.vocabulary)
        count += 1
    pointers = pointers_at(np.arange(count * m + 1), reply.ends, sizes)
    at, moves = torch.from_numpy(pointers), torch.from_numpy(np.diff(pointers)).view(count, m)
    windows = windows_at(torch.tensor(symbols), at, sizes)
    of_symbol = torch.tensor([*tokens, tokens[-1]])
    return Said(
        reply.id,
        padded,
        torch.cat([windows[:-1].view(count, m, -1), windows[m::m][:, None]], dim=1),
        moves.masked_fill(padded == speak.vocabulary, IGNORED),
        of_symbol[at[:-1:m] // sizes.parts],
        torch.tensor(list(ids)),
        list(styles).index(reply.style) if reply.style else -1,
        list(voices).index(reply.voice) if reply.voice in voices else -1,
    )


def pointers_at(units: np.ndarray, ends: Sequence[float], sizes: SpeakSizes) -> np.ndarray:
    """Where the text's pointer stands, in parts, when so many units have been said.

    Args: ends: of each symbol, in units.
    """
    ended = np.searchsorted(np.array(ends), units, side="right")  # symbols
    begun, until = np.array([0.0, *ends, np.inf])[[ended, ended + 1]]
    part = sizes.parts * (units - begun) / np.maximum(until - begun, 1e-9)
    return furthest(ended * sizes.parts + np.floor(part).astype(np.int64), sizes.farthest)


def furthest(pointers: np.ndarray, most: int) -> np.ndarray:
    """The same pointers, none more than `most` beyond the one before."""
    kept = [int(pointers[0])]
    for pointer in pointers[1:]:
        kept.append(min(int(pointer), kept[-1] + most))
    return np.array(kept)


@dataclass
class SpeakBatch:
    """Replies side by side, padded at the end."""

    units: Tensor  # (B, S, M)
    windows: Tensor  # (B, S, M + 1, W)
    moves: Tensor  # (B, S, M), IGNORED from the end on
    hidden: Tensor  # (B, S, D) of Think at the word that is said
    text: Tensor  # (B, S, D) its token's embedding
    styles: Tensor  # (B, styles) 1 at the one that it has, if it is known
    voices: Tensor  # (B, voices) the same
    valid: Tensor  # (B, S) bool


class SpeakTask:
    """Batches of replies, and what is lost on them."""

    def __init__(
        self,
        speak: Speak,
        embed: nn.Module,
        said: Sequence[Said],
        hidden: Callable[[int], Tensor],
        config: SpeakConfig,
    ) -> None:
        """Args: hidden: number of a reply -> (T, D), what Think makes of its tokens.

        Raises DataError where there is nothing to learn from.
        """
        if not said:
            raise DataError(
                "there are no replies to learn to say", "render some: harken data render --replies"
            )
        self.speak, self.embed, self.said, self.hidden, self.config = speak, embed, said, hidden, config
        self.styles = len(STYLES)
        self.nearby = [neighbours(levels, config.nearby) for levels in speak.sizes.levels]
        self.bins = Bins([len(s.units) for s in said], config.steps_a_batch, config.schedule.seed)

    def of(self, numbers: Sequence[int]) -> SpeakTask:
        """The same with some of its replies."""
        said = [self.said[n] for n in numbers]
        return SpeakTask(self.speak, self.embed, said, lambda n: self.hidden(numbers[n]), self.config)

    def at(self, number: int, precision: torch.dtype) -> Losses:
        """Losses of a batch."""
        return self.losses(self.batch(self.bins.at(number)), precision, hide=True)

    def batch(self, numbers: Sequence[int]) -> SpeakBatch:
        """Replies side by side."""
        said, device = [self.said[n] for n in numbers], next(self.speak.parameters()).device
        hidden = [self.hidden(n).float()[self.said[n].tokens] for n in numbers]
        of_embed = next(self.embed.parameters()).device  # the core's, which need not be where Speak learns
        with torch.no_grad():
            text = [self.embed(s.ids.to(of_embed)).float().to(device)[s.tokens.to(device)] for s in said]
        return SpeakBatch(
            pad_sequence([s.units for s in said], batch_first=True).to(device),
            pad_sequence([s.windows for s in said], batch_first=True).to(device),
            pad_sequence([s.moves for s in said], batch_first=True, padding_value=IGNORED).to(device),
            pad_sequence(hidden, batch_first=True).to(device),
            pad_sequence(text, batch_first=True),
            one_hot([s.style for s in said], self.styles).to(device),
            one_hot([s.voice for s in said], self.speak.sizes.manners - self.styles).to(device),
            pad_sequence([torch.ones(len(s.units), dtype=torch.bool, device=device) for s in said], True),
        )

    def losses(self, batch: SpeakBatch, precision: torch.dtype, hide: bool) -> dict[str, Tensor]:
        """How surprised Speak is. Args: hide: hides some of what it is given, as in training."""
        speak, config = self.speak, self.config
        before = F.pad(batch.units[:, :-1], (0, 0, 1, 0), value=NOTHING)
        styles, windows, known, dropout = batch.styles, batch.windows, torch.ones(1), 0.0
        if hide:
            dropout = config.dropout
            before = before.masked_fill(
                (torch.rand(before.shape[:2]) < config.unit_dropout)[..., None], NOTHING
            )
            styles = styles * (torch.rand(len(styles), 1) >= config.style_dropout)
            known = (torch.rand(len(styles), 1, 1) >= config.thought_dropout).float()
            windows = windows * self.seen(len(windows))[:, None, None]
        with autocast(speak, precision):
            table = speak.units()
            manners = torch.cat([styles, batch.voices], dim=1)
            inputs = speak.inputs(
                batch.hidden * known, batch.text * known, windows[:, :, 0], before, manners, table
            )
            hidden, _ = speak(F.dropout(inputs, dropout), valid=batch.valid)
            hidden = F.dropout(hidden, dropout)
            found = speak.heads(hidden, batch.units, windows, batch.moves, table)
            units, moves = (logits.float()[batch.valid] for logits in found)  # (N, M, V + 1), (N, M, A)
        said = batch.units[batch.valid]  # (N, M)
        of_units = self.surprise(units.flatten(0, 1), said.flatten()).view(said.shape)
        weight = torch.where(said == speak.vocabulary, config.end_weight, 1.0)
        weight = weight * (of_units.detach() <= -math.log(max(config.least_confidence, 1e-30)))
        of_units = (of_units * weight).sum(0) / weight.sum(0).clamp(min=1)  # (M,)
        of_moves = F.cross_entropy(
            moves.flatten(0, 1), batch.moves[batch.valid].flatten(), ignore_index=IGNORED
        )
        losses = {"loss": of_units.mean() + config.move_weight * of_moves, "move": of_moves}
        right = (units.argmax(-1) == said).float().mean(0)
        return losses | {f"unit{i}": of_units[i] for i in range(len(of_units))} | {"right": right.mean()}

    def seen(self, rows: int) -> Tensor:
        """Which numbers of the window each reply is read with, (B, W) of 0 and 1."""
        sizes = self.speak.sizes
        behind = torch.randint(0, sizes.behind + 1, (rows, 1))
        ahead = torch.randint(1, sizes.ahead + 1, (rows, 1))
        places = torch.arange(sizes.window)[None] - sizes.behind
        part = places == sizes.ahead + 1  # of the symbol that is said: always known
        few = (places >= -behind) & (places <= ahead) | part
        return (few | (torch.rand(rows, 1) >= self.config.window_dropout)).long()

    def surprise(self, logits: Tensor, said: Tensor) -> Tensor:
        """Cross-entropy (N,) of units (N,), each smeared over its neighbours, under logits (N, V + 1)."""
        logs = logits.log_softmax(-1)
        expected = logs[:, :-1].unflatten(1, self.speak.sizes.levels[::-1])  # (N, L_K, …, L_1)
        digits = self.speak.units.quantiser.digits(said.clamp(max=self.speak.vocabulary - 1))  # (N, K)
        for k, weights in enumerate(self.nearby):
            of_level = weights.to(digits.device)[digits[:, k]]  # (N, L_k)
            shape = (len(said), *[1] * (expected.dim() - 2), of_level.shape[1])
            expected = (expected * of_level.view(shape)).sum(-1)
        return -torch.where(said == self.speak.vocabulary, logs[:, -1], expected)


def neighbours(levels: int, share: float) -> Tensor:
    """What of a level's weight each level gets, (levels, levels): `share` goes to those next to it."""
    level = torch.arange(levels)
    near = ((level[:, None] - level[None]).abs() == 1).float()
    return (1 - share) * torch.eye(levels) + share * near / near.sum(1, keepdim=True)


def one_hot(numbers: Sequence[int], count: int) -> Tensor:
    """(B, count): 1 at each number, nowhere where it is -1."""
    return (torch.tensor(numbers)[:, None] == torch.arange(count)).float()


def train_speak(
    task: SpeakTask, dev: SpeakTask, out: Path, origin: str, precision: torch.dtype, world: World = ALONE
) -> None:
    """Train Speak, in place; checkpoints and measurements go to `out`.

    Args: origin: names codec, core and system prompt; a checkpoint of another origin is refused.
    """
    config = task.config
    ids = [(said.id, len(said.units)) for said in task.said]
    whose = identity("speak", config, origin=origin, sizes=task.speak.sizes, replies=ids)

    def measure() -> dict[str, float]:
        rows = [dev.losses(dev.batch(part), precision, hide=False) for part in dev.bins.spread(8)]
        return {key: float(np.mean([float(row[key]) for row in rows])) for key in rows[0]}

    objective = Objective(
        task.speak,
        lambda number: task.at(number, precision),
        lambda number: [task.said[n].id for n in task.bins.at(number)],
    )
    train(objective, config.schedule, out, whose, usual(measure), world)


@torch.no_grad()
def think_of(core: Core, tokenizer: Any, system: str, before: str | None, ids: Sequence[int]) -> Tensor:
    """What Think makes of a reply's tokens after what was said before: (T, D)."""
    parts = render([UserTurn(before or "")], tokenizer, system)
    prompt = [i for part in parts if not isinstance(part, Tensor) for i in part]
    shared, _ = core.think(core.embed(torch.tensor([[*prompt, *ids]])))
    return shared[0, len(prompt) :]
