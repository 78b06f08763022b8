"""What the core reads of a sample, and what it should write: embeddings, and a label at each position.

The form is `harken.dialogue.render`'s, as in use. A sample's last turn is text, or vectors: what was heard,
with or without the affect vector before it.

Shapes: T positions, B rows, D core width, N vectors of a turn, M positions that are learned, in all rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from harken.dialogue.render import REPEAT, THINK_CLOSE, THINK_OPEN, Turn, UserTurn, render
from harken.model.core import Core
from harken.training.samples import Sample, Task

IGNORED = -100


@dataclass
class Example:
    """A sample as the core reads it: positions whose `labels` are not IGNORED are learned."""

    inputs: Tensor  # (T, D)
    labels: Tensor  # (T,) what each position should predict next


@dataclass(frozen=True)
class Spelled:
    """A sample in writing as token ids, the same whenever it is drawn: embeddings are a batch's."""

    ids: list[int]  # (T,)
    labels: list[int]  # (T,) what each position should predict next
    place: int | None
    """Where vectors stand, in place of ids that mean nothing."""


@dataclass(frozen=True)
class Padded:
    """Samples in writing as a batch, on the device that learns; rows end in padding."""

    ids: Tensor  # (B, T)
    learned: Tensor  # (M,) places in (B * T,)
    targets: Tensor  # (M,) what they should predict next


def instruction(task: Task) -> str | None:
    """What is asked of the core beside answering."""
    return REPEAT if task == "repeat" else None


def target_ids(sample: Sample, tokenizer: Any) -> list[int]:
    """What the core should write after the prompt, with the end of its turn or of its thought."""
    if sample.task == "trace":
        return list(tokenizer.encode(f"{THINK_OPEN}{sample.target}{THINK_CLOSE}", add_special_tokens=False))
    return [*tokenizer.encode(sample.target, add_special_tokens=False), tokenizer.eos_token_id]


def opened_ids(sample: Sample, tokenizer: Any) -> int:
    """How many of the target's tokens the loop itself writes: the opening of the think block."""
    return len(tokenizer.encode(THINK_OPEN, add_special_tokens=False)) if sample.task == "trace" else 0


def example(
    core: Core, tokenizer: Any, system: str, sample: Sample, content: Tensor | str, target: list[int]
) -> Example:
    """A sample whose last turn is `content` (N, D) or text, and token ids to write after it."""
    turns = [*sample.history, UserTurn(content, instruction(sample.task))]
    return continued(core, tokenizer, system, turns, target, opened_ids(sample, tokenizer))


def continued(
    core: Core, tokenizer: Any, system: str, turns: Sequence[Turn], target: list[int], given: int = 0
) -> Example:
    """A conversation, and token ids to write after it, the first `given` of which are not learned."""
    prompt = prompted(core, tokenizer, system, turns)
    labels = torch.full((len(prompt) + len(target),), IGNORED)
    labels[len(prompt) - 1 + given : -1] = torch.tensor(target[given:])
    return Example(torch.cat([prompt, core.embed(torch.tensor(target))]), labels)


def spelled(tokenizer: Any, system: str, sample: Sample, vectors: int | None = None) -> Spelled:
    """A sample in writing. Args: vectors: how many stand before the words of its last turn, if any do."""
    content = sample.said if vectors is None else torch.empty(0)
    turns = [*sample.history, UserTurn(content, instruction(sample.task))]
    ids: list[int] = []
    place = None
    for part in render(turns, tokenizer, system):
        if isinstance(part, Tensor):
            place = len(ids)
            part = [0] * (vectors or 0) + tokenizer.encode(sample.said, add_special_tokens=False)
        ids += part
    target, given = target_ids(sample, tokenizer), opened_ids(sample, tokenizer)
    labels = [IGNORED] * (len(ids) - 1 + given) + target[given:] + [IGNORED]
    return Spelled(ids + target, labels, place)


def padded(rows: Sequence[Spelled], device: torch.device) -> Padded:
    """Samples in writing -> a batch of them."""
    longest = max(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    labels = np.full((len(rows), longest), IGNORED, dtype=np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row.ids)] = row.ids
        labels[at, : len(row.ids)] = row.labels
    learned = np.flatnonzero(labels != IGNORED)
    return Padded(*(torch.from_numpy(a).to(device) for a in (ids, learned, labels.ravel()[learned])))


def prompted(core: Core, tokenizer: Any, system: str, turns: Sequence[Turn]) -> Tensor:
    """A conversation up to where the reply begins, (T, D)."""
    segments = [
        part if isinstance(part, Tensor) else core.embed(torch.tensor(part))
        for part in render(turns, tokenizer, system)
    ]
    return torch.cat([part.to(segments[0]) for part in segments])


def collate(examples: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Examples -> inputs (B, T, D), valid (B, T) bool, labels (B, T)."""
    longest = max(len(e.labels) for e in examples)
    inputs = torch.stack([F.pad(e.inputs, (0, 0, 0, longest - len(e.inputs))) for e in examples])
    labels = torch.stack([F.pad(e.labels, (0, longest - len(e.labels)), value=IGNORED) for e in examples])
    valid = torch.arange(longest)[None] < torch.tensor([len(e.labels) for e in examples])[:, None]
    return inputs, valid, labels


def alike(lengths: Sequence[int], cost: float) -> list[list[int]]:
    """Rows in portions of like length, each padded to its longest: fewest positions in all.

    Args: cost: positions that one portion more has to spare; where it is infinite, all rows are one portion.
    """
    if math.isinf(cost):
        return [list(range(len(lengths)))]
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    best: list[tuple[float, int]] = [(0.0, 0)]  # of the first rows in order: positions, where the last begins
    for end in range(1, len(order) + 1):
        ways = ((best[i][0] + lengths[order[i]] * (end - i) + cost, i) for i in range(end))
        best.append(min(ways))
    found, end = [], len(order)
    while end:
        begin = best[end][1]
        found.append(order[begin:end])
        end = begin
    return found


def batch_at(seed: int, step: int, count: int) -> int:
    """Which of `count` batches a step gets: all of them in each epoch, every time in another order."""
    epoch, place = divmod(step, count)
    return int(np.random.default_rng([seed, epoch]).permutation(count)[place])


class Bins:
    """Items of like length together, up to a budget of tokens; seed and step alone choose the batch."""

    def __init__(self, lengths: list[int], budget: int, seed: int) -> None:
        self.seed = seed
        self.bins: list[list[int]] = [[]]
        for i in np.argsort(np.array(lengths), kind="stable"):
            if (len(self.bins[-1]) + 1) * lengths[i] > budget and self.bins[-1]:
                self.bins.append([])
            self.bins[-1].append(int(i))

    def at(self, step: int) -> list[int]:
        return self.bins[batch_at(self.seed, step, len(self.bins))]

    def spread(self, most: int) -> list[list[int]]:
        """Up to so many bins, evenly from that of the shortest items to that of the longest."""
        places = np.linspace(0, len(self.bins) - 1, min(most, len(self.bins))).round().astype(int)
        return [self.bins[place] for place in places]
