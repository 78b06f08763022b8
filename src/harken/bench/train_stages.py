"""The stages `align` and `joint` as `harken bench train` learns them, beginning with parts that are there.

What comes before the first step (encoder states, the core's own answers, what Think makes of replies) is done
once, by the stages' own code, and kept in a folder as a run keeps it. A token is a position that the core
reads, and of `joint` also a step of Speak; the system prompt counts in each row.
"""

from __future__ import annotations

import shutil
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from harken.bench.train_systems import Ids, Lesson, Work
from harken.checkpoint import LISTEN, UPDATE
from harken.training.align import AlignConfig, AlignTask, losses_of_clips
from harken.training.align_stage import align_task
from harken.training.begun import complete, made_whole
from harken.training.joint import JointConfig
from harken.training.joint_stage import begin, joined
from harken.training.loop import attention
from harken.training.stage_parts import Run, encode, spoken, state_cache
from harken.training.states import CachedClip, StateCache
from harken.training.words import Batches
from harken.training.world import World

CLIPS = 160
"""Of users' train turns, that `align` learns from; every turn is answered in writing first."""
HELD_OUT = 32


@dataclass(frozen=True)
class Place:
    """Where a stage finds data and parts, and keeps what it prepares."""

    data: Path
    out: Path
    parts: Path

    def run(self, work: Work, world: World) -> Run:
        """A call of a stage that begins with the parts."""
        run = Run(work.recipe, self.data, self.out, None, world, begin=self.parts)
        run.trained.mkdir(parents=True, exist_ok=True)
        complete(run.trained, self.parts)
        if not (self.out / "core").is_dir():
            with made_whole(self.out / "core") as half:
                for name in (UPDATE, LISTEN):
                    shutil.copyfile(self.parts / name, half / name)
        return run


def turns(run: Run) -> StateCache:
    """Some users' train turns, as the encoder hears them."""
    cache, clips = state_cache(run, "states"), spoken(run.data, run.recipe.languages)
    some = [clip for clip in clips if clip.split == "train" and clip.role == "user"][:CLIPS]
    encode(run, cache, some, "encoding train speech")
    cache.keep(some)
    cache.clips = [clip for clip in cache.clips if not clip.augmented]
    return cache


class StageLesson(Lesson):
    """A stage whose samples `Trainer` knows by their numbers: the stage itself makes batches of them."""

    def collate(self, rows: Sequence[Ids]) -> dict[str, Tensor]:
        return {"numbers": torch.tensor([row["number"] for row in rows])}

    def taught(self, read: Callable[[], Sequence[Ids]]) -> nn.Module:
        return _Numbered(self)

    def held_out(self) -> float:
        was = self.module.training
        self.module.eval()
        device = self.world.device
        with torch.random.fork_rng(), torch.no_grad(), attention(device), torch.device(device):
            torch.manual_seed(0)
            found = self.loss_held_out()
        self.module.train(was)
        return found

    @abstractmethod
    def whole(self, numbers: Sequence[int]) -> Tensor:
        """Loss of a batch whose rows are read from end to end."""

    @abstractmethod
    def loss_held_out(self) -> float:
        """Of samples that are not learned from."""


def _rows(lengths: Sequence[int]) -> list[Ids]:
    return [{"number": number, "input_ids": [0] * length} for number, length in enumerate(lengths)]


class _Numbered(nn.Module):
    """A lesson as `Trainer` takes it: the samples' numbers in, their loss out."""

    def __init__(self, lesson: StageLesson) -> None:
        super().__init__()
        self.module, self._lesson = lesson.module, lesson

    def forward(self, numbers: Tensor) -> dict[str, Tensor]:
        """(B,) numbers."""
        with torch.device(self._lesson.world.device):
            return {"loss": self._lesson.whole(numbers.tolist())}


class AlignLesson(StageLesson):
    """Stage 1-1: clips of users' turns, as long as they last."""

    def __init__(self, place: Place, work: Work, world: World) -> None:
        run = place.run(work, world)
        cache, config = turns(run), AlignConfig()
        self.task: AlignTask = align_task(run, cache.clips, config)
        pieces = self.task.speller.pieces if self.task.speller else None
        self._batches = Batches(cache, list(cache.clips), pieces, config.batch_s, config.schedule.seed)
        fit = sorted((clip for batch in self._batches.batches for clip in batch), key=lambda clip: clip.id)
        held_out = min(HELD_OUT, len(fit) // 4)
        self._clips, self._dev = fit[held_out:], fit[:held_out]
        self._read = 0
        rows = _rows([clip.frames for clip in self._clips])
        super().__init__(work, world, self.task.student, config.schedule.rates, rows)
        self._prompt = self.task.prompt

    def begin(self, accumulate: int) -> None:
        self._read = 0
        super().begin(accumulate)

    def loss(self, numbers: Sequence[int]) -> Tensor:
        return self._loss([self._clips[number] for number in numbers], self._prompt)

    def whole(self, numbers: Sequence[int]) -> Tensor:
        return self._loss([self._clips[number] for number in numbers], 0)

    def loss_held_out(self) -> float:
        kept, self._read = (self._read, self.tally.tokens, self.tally.padded), 0
        losses = [float(self._loss(self._dev[i : i + 8], self._prompt)) for i in range(0, len(self._dev), 8)]
        self._read, self.tally.tokens, self.tally.padded = kept
        return sum(losses) / len(losses)

    def _loss(self, clips: list[CachedClip], prompt: int) -> Tensor:
        """Args: prompt: positions that are read once for all rows; at 0 rows are read whole, and together."""
        self._read += 1
        random = np.random.default_rng([self.schedule.seed, self._read])
        self.task.prompt = prompt
        share = self.task.config.repeat_share[0]
        found = losses_of_clips(self.task, self._batches, clips, share, random, self.work.precision)
        self.tally.tokens += int(found["tokens"])
        self.tally.padded += int(found["padded"])
        return found["loss"]


class JointLesson(StageLesson):
    """Stage 2: replies in text and units, as many steps of Speak as they last; nothing is replayed."""

    def __init__(self, place: Place, work: Work, world: World) -> None:
        run, self.config = place.run(work, world), JointConfig()
        joining = joined(run, begin(run), turns(run), self.config)
        self.task, self.dev = joining.tasks["train"], joining.tasks["dev"]
        rows = _rows([len(said.units) for said in self.task.speaking.said])
        super().__init__(work, world, joining.student, self.config.schedule.rates, rows)

    def loss(self, numbers: Sequence[int]) -> Tensor:
        for lengths in (
            [len(self.task.speaking.said[n].units) for n in numbers],
            [len(self.task.written[n].labels) for n in numbers],
        ):
            self.tally.tokens += sum(lengths)
            self.tally.padded += max(lengths) * len(lengths)
        found = self.task.losses(numbers, self.work.precision, hide=True)
        return found["speech"] + self.config.text_weight * found["text"]

    def whole(self, numbers: Sequence[int]) -> Tensor:
        prompt, self.task.prompt = self.task.prompt, 0
        loss = self.loss(numbers)
        self.task.prompt = prompt
        return loss

    def loss_held_out(self) -> float:
        found = [
            self.dev.losses(some, self.work.precision, hide=False)
            for some in self.dev.speaking.bins.spread(4)
        ]
        losses = [float(one["speech"] + self.config.text_weight * one["text"]) for one in found]
        return sum(losses) / len(losses)


STAGES: dict[str, Callable[[Place, Work, World], StageLesson]] = {"align": AlignLesson, "joint": JointLesson}
