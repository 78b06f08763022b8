"""Stage 1-1, first half: Listen learns words. CTC from cached encoder states onto the core's own embeddings.

No language model runs here, so it is cheap. Dev clips (other voices, other dialogues) are scored by word
error rate as training goes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from harken.errors import DataError
from harken.evaluation.words import word_error_rate
from harken.model.ctc_bridge import CtcBridge
from harken.model.pieces import Pieces
from harken.training.callbacks import usual
from harken.training.examples import batch_at
from harken.training.loop import Losses, Objective, autocast, train
from harken.training.saving import identity
from harken.training.schedule import Schedule
from harken.training.states import CachedClip, StateCache
from harken.training.world import ALONE, World

FRAMES_HZ = 50
"""Of encoder states."""
_LONGEST_SPAN = 15
"""Frames; a blanked span is shorter."""


@dataclass(frozen=True)
class WordsConfig:
    """How long, in what batches, and what is hidden from the bridge."""

    schedule: Schedule = Schedule(steps=3000, rates=(("*", 1e-3),), warmup=300)
    batch_s: float = 75.0
    """Seconds of speech in a batch."""
    piece_at_least: int = 10
    """How often a token must occur in the training transcripts to be a piece."""
    frame_dropout: float = 0.08
    spans: int = 3
    """How many stretches of up to 0.3 s are blanked in a clip."""


@dataclass
class Batch:
    """Clips of one step, padded at the end."""

    states: Tensor  # (B, T, E)
    valid: Tensor  # (B, T) bool
    targets: Tensor  # (sum of lengths,) pieces, none where nothing is spelled
    target_lengths: Tensor  # (B,)


class Batches:
    """Clips of like length together; which batch a step gets depends on the seed and the step alone."""

    def __init__(
        self, cache: StateCache, clips: list[CachedClip], pieces: Pieces | None, batch_s: float, seed: int
    ):
        """Args: pieces: None where nothing is spelled.

        Raises: DataError where none of the clips can be learned from.
        """
        self.states = cache.states()
        self.seed = seed
        fits = clips = sorted(clips, key=lambda clip: (clip.frames, clip.id))
        self.spelled = {clip.id: pieces.spell(clip.text) if pieces is not None else [] for clip in clips}
        if pieces is not None:
            fits = [c for c in clips if self.spelled[c.id] and self._shortest(c) <= (c.frames + 1) // 2]
        if not fits:
            raise DataError(
                f"none of {len(clips)} clips to train on can be learned from",
                "put spoken turns of split train, as long as their words need, into the data folder",
            )
        self.batches: list[list[CachedClip]] = []
        for clip in fits:
            if not self.batches or (len(self.batches[-1]) + 1) * clip.frames > batch_s * FRAMES_HZ:
                self.batches.append([])
            self.batches[-1].append(clip)

    def _shortest(self, clip: CachedClip) -> int:
        """Frames that CTC needs at least: one a piece, and a blank between equal neighbours."""
        spelled = self.spelled[clip.id]
        return len(spelled) + sum(a == b for a, b in pairwise(spelled))

    def at(self, step: int) -> Batch:
        return self.collate(self.clips_at(step))

    def clips_at(self, step: int) -> list[CachedClip]:
        return self.batches[batch_at(self.seed, step, len(self.batches))]

    def collate(self, clips: list[CachedClip]) -> Batch:
        states, valid = pad([self.states[c.start : c.start + c.frames] for c in clips])
        spelled = [self.spelled[clip.id] for clip in clips]
        return Batch(
            states,
            valid,
            torch.tensor([n for s in spelled for n in s]),
            torch.tensor([len(s) for s in spelled]),
        )


def pad(rows: list[NDArray[np.float16]]) -> tuple[Tensor, Tensor]:
    """Rows of (T_i, E) -> (B, T, E) float32 and valid (B, T) bool."""
    longest = max(len(row) for row in rows)
    states = np.zeros((len(rows), longest, rows[0].shape[1]), dtype=np.float32)
    for i, row in enumerate(rows):
        states[i, : len(row)] = row
    valid = np.arange(longest) < np.array([len(row) for row in rows])[:, None]
    device = torch.get_default_device()
    return torch.from_numpy(states).to(device), torch.from_numpy(valid).to(device)


def mask_frames(states: Tensor, config: WordsConfig) -> Tensor:
    """Drop single frames and short spans of (B, T, E), so that no frame is indispensable."""
    rows, length = states.shape[:2]
    keep = torch.rand(rows, length) >= config.frame_dropout
    start = torch.randint(length, (rows, config.spans, 1))
    stop = start + torch.randint(_LONGEST_SPAN, (rows, config.spans, 1))
    frame = torch.arange(length)
    spans = (frame >= start) & (frame < stop)  # (B, spans, T)
    return states * (keep & ~spans.any(1))[..., None]


def ctc_loss(log_probs: Tensor, valid: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """Mean CTC loss a target piece; log_probs (B, U, P + 1), valid (B, U)."""
    blank = log_probs.shape[-1] - 1
    total = F.ctc_loss(
        log_probs.transpose(0, 1),
        targets,
        valid.sum(1),
        target_lengths,
        blank,
        reduction="sum",
        zero_infinity=True,
    )
    return total / target_lengths.sum()


def transcribe(bridge: CtcBridge, pieces: Pieces, states: Tensor, valid: Tensor) -> list[str]:
    """What the bridge hears in each row of (B, T, E)."""
    soft = bridge.collapse(*bridge(states, valid))
    return [
        pieces.spelled(int(n) for n in row[present]).strip()
        for row, present in zip(soft.pieces, soft.valid, strict=True)
    ]


def train_words(
    bridge: CtcBridge,
    pieces: Pieces,
    cache: StateCache,
    config: WordsConfig,
    out: Path,
    precision: torch.dtype,
    world: World = ALONE,
) -> None:
    """Train the bridge on the cache's train clips, in place; checkpoints and measurements go to `out`."""
    train_clips = [clip for clip in cache.clips if clip.split == "train"]
    batches = Batches(cache, train_clips, pieces, config.batch_s, config.schedule.seed)

    def losses_at(number: int) -> Losses:
        batch = batches.at(number)
        states = mask_frames(batch.states, config)
        with autocast(bridge, precision):
            log_probs, valid = bridge(states, batch.valid)
        loss = ctc_loss(log_probs, valid, batch.targets, batch.target_lengths)
        return {"loss": loss} | counts(batch)

    def rows_at(number: int) -> list[str]:
        return [clip.id for clip in batches.clips_at(number)]

    evaluate = words_on_dev(bridge, pieces, cache, most=200)
    whose = identity("words", config, pieces=pieces.ids, clips=[(clip.id, clip.text) for clip in train_clips])
    train(Objective(bridge, losses_at, rows_at), config.schedule, out, whose, usual(evaluate), world)


def counts(batch: Batch) -> dict[str, Tensor]:
    """How many clips a batch has, and how many seconds they last."""
    return {
        "clips": torch.tensor(len(batch.target_lengths)),
        "audio_s": batch.valid.sum() / FRAMES_HZ,
    }


def words_on_dev(
    bridge: CtcBridge, pieces: Pieces, cache: StateCache, most: int
) -> Callable[[], dict[str, float]]:
    """A measurement for the loop: word error rate on up to `most` dev clips of users' turns."""
    dev, states = dev_clips(cache, most), cache.states()

    def measure() -> dict[str, float]:
        heard = []
        for start in range(0, len(dev), 20):
            rows, valid = pad([states[c.start : c.start + c.frames] for c in dev[start : start + 20]])
            heard += transcribe(bridge, pieces, rows, valid)
        return {"wer": word_error_rate([clip.text for clip in dev], heard)}

    return measure


def dev_clips(cache: StateCache, most: int) -> list[CachedClip]:
    """Up to so many dev clips of users' turns."""
    found = [c for c in cache.clips if c.split == "dev" and c.role == "user" and not c.augmented]
    return found[:most]
