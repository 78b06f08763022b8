"""The systems of `harken bench train`: Harken's loop and the transformers `Trainer`, at the same work.

Both train the same parts with the same loss, optimizer, schedule, precision and attention; only the loop and
its batches are their own. A step of either takes as many samples, in one batch or in several.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harken.bench.train_cost import Tally
from harken.recipes import Recipe
from harken.training.examples import Bins
from harken.training.loop import Callback, Losses, Objective, Row, Training, attention, train
from harken.training.saving import identity
from harken.training.schedule import Rates, Schedule, adamw, trainable
from harken.training.world import World

AfterStep = Callable[[], None]
Ids = dict[str, Any]
"""A sample as `Trainer` has it; how many `input_ids` it has is how long it is."""
HARKEN, RANDOM, GROUPED = "harken", "trainer_random", "trainer_grouped"
SYSTEMS = (HARKEN, RANDOM, GROUPED)
_TRAINER_SAMPLES = {RANDOM: "random", GROUPED: "group_by_length"}


@dataclass(frozen=True)
class Work:
    """What is trained on, and in what steps."""

    open_lesson: Callable[[Work, World], Lesson]
    """Opens what is learned, in whichever process it is called."""
    recipe: Recipe
    samples_a_step: int
    precision: torch.dtype
    """What products are computed in."""
    accumulate: int = 1
    """In how many batches."""
    steps: int = 1000
    """More than anybody measures."""
    tight: bool = False
    """Memory that is freed is given back at once: slower, but then what is held is what is needed."""


class Lesson(ABC):
    """The work, opened: a model, samples, and what was read of them since it began."""

    def __init__(
        self, work: Work, world: World, module: nn.Module, rates: Rates, rows: Sequence[Ids]
    ) -> None:
        """Args: rates: of what is trained. rows: the samples, in order."""
        self.work, self.world, self.module, self.rates, self.rows = work, world, module, rates, rows
        trainable(module, rates)
        self._new = {name: p.detach().clone() for name, p in module.named_parameters() if p.requires_grad}
        self.tally = Tally()

    @property
    def schedule(self) -> Schedule:
        return Schedule(steps=self.work.steps, rates=self.rates, warmup=4, accumulate=self.work.accumulate)

    def begin(self, accumulate: int) -> None:
        """Make what is trained new again, and forget what was read. Args: accumulate: from now on."""
        self.work, self.tally = replace(self.work, accumulate=accumulate), Tally()
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                if name in self._new:
                    parameter.copy_(self._new[name])
                    parameter.grad = None

    @abstractmethod
    def loss(self, numbers: Sequence[int]) -> Tensor:
        """Of a batch of samples as Harken reads it."""

    @abstractmethod
    def collate(self, rows: Sequence[Ids]) -> dict[str, Tensor]:
        """A batch for `taught`, padded to its longest."""

    @abstractmethod
    def taught(self, read: Callable[[], Sequence[Ids]]) -> nn.Module:
        """The same model as `Trainer` takes it: a batch in, `loss` out. Args: read: the rows of a batch."""

    @abstractmethod
    def held_out(self) -> float:
        """Mean loss of samples that are not learned from."""

    def costs(self) -> tuple[int | None, float | None]:
        """Bytes that the largest batch should need, and operations a token; None where no formula tells."""
        return None, None


def run(system: str, lesson: Lesson, out: Path, after: AfterStep) -> None:
    """Train until all steps are done, or `after`, which is called after each, raises."""
    if system == HARKEN:
        _harken(lesson, out, after)
    else:
        _trainer(lesson, out, after, _TRAINER_SAMPLES[system])


class _After(Callback):
    def __init__(self, after: AfterStep) -> None:
        self._after = after

    def after(self, run: Training, row: Row) -> None:
        self._after()


def _harken(lesson: Lesson, out: Path, after: AfterStep) -> None:
    """Batches of like length, up to a budget of tokens, as the stages make them."""
    schedule = lesson.schedule
    lengths = [len(row["input_ids"]) for row in lesson.rows]
    budget = lesson.work.samples_a_step * sum(lengths) // len(lengths) // lesson.work.accumulate
    bins = Bins(lengths, budget, schedule.seed)

    def losses_at(number: int) -> Losses:
        return {"loss": lesson.loss(bins.at(number))}

    def rows_at(number: int) -> list[str]:
        return [str(i) for i in bins.at(number)]

    objective = Objective(lesson.module, losses_at, rows_at)
    train(objective, schedule, out, identity("bench", schedule), (_After(after),), lesson.world)


def _trainer(lesson: Lesson, out: Path, after: AfterStep, strategy: str) -> None:
    """Batches of so many samples, padded to the longest of each."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class After(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            after()

    schedule, device = lesson.schedule, lesson.world.device
    collated = deque[Sequence[Ids]]()

    def collate(rows: Sequence[Ids]) -> dict[str, Tensor]:
        collated.append(rows)  # some batches ahead of the model
        return lesson.collate(rows)

    model = lesson.taught(collated.popleft).to(device)
    rates = trainable(lesson.module, schedule.rates)
    named = {name: p for name, p in lesson.module.named_parameters() if p.requires_grad}
    optimizer = adamw(named, rates, schedule, device)
    arguments = TrainingArguments(
        str(out),
        max_steps=schedule.steps,
        per_device_train_batch_size=max(1, lesson.work.samples_a_step // schedule.accumulate),
        gradient_accumulation_steps=schedule.accumulate,
        max_grad_norm=schedule.clip,
        bf16=lesson.work.precision is torch.bfloat16,
        use_cpu=device.type == "cpu",
        seed=schedule.seed,
        train_sampling_strategy=strategy,
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model,
        arguments,
        collate,
        list(lesson.rows),
        callbacks=[After()],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.share)),
    )
    with attention(device):
        trainer.train()
