"""What `harken bench train` measures: Harken's loop and the transformers `Trainer`, at the same work.

The work is the core's low-rank update on the listening dialogues that come with Harken. Both train the same
core with the same loss (`harken.training.core_update`), optimizer, schedule, precision and attention; only
the loop and its batches are their own. A step of either takes as many samples, in one batch or in several.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.bench.train_cost import Sizes, Tally
from harken.checkpoint import load_text_side, new_prefix
from harken.model.core import Core, new_core
from harken.model.pretrained import load_tokenizer
from harken.recipes import Recipe, small
from harken.training.compiled import compile_layers
from harken.training.core_update import CoreTask, CoreUpdateConfig, Listener
from harken.training.examples import IGNORED, Bins
from harken.training.loop import Callback, Losses, Objective, Row, Training, attention, autocast, train
from harken.training.low_rank import add_low_rank
from harken.training.samples import Sample, listening_dialogues, listening_samples
from harken.training.saving import identity
from harken.training.schedule import CORE_UPDATE, Schedule, adamw, trainable
from harken.training.world import World
from harken.weights.store import ensure

TextSide = Callable[[], tuple[Any, Core]]
"""Opens a tokenizer and a core, in whichever process it is called."""
AfterStep = Callable[[], None]
Ids = dict[str, list[int]]
"""A sample's `input_ids` and `labels`."""
HARKEN, RANDOM, GROUPED = "harken", "trainer_random", "trainer_grouped"
SYSTEMS = (HARKEN, RANDOM, GROUPED)
_TRAINER_SAMPLES = {RANDOM: "random", GROUPED: "group_by_length"}
_AFFECT_WIDTH = 1
_DEV_SAMPLES = 64


def large_text_side(recipe: Recipe) -> tuple[Any, Core]:
    """The recipe's tokenizer, and the core of the recipe `small` with random weights, drawn on a GPU if there
    is one: there it takes no time.
    """
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        core = new_core(small().core)
    return load_tokenizer(ensure(recipe.core.weights)), core


CORES: dict[str, Callable[[Recipe], tuple[Any, Core]]] = {
    "recipe": load_text_side,
    "qwen3-0.6b": large_text_side,
}


@dataclass(frozen=True)
class Work:
    """What is trained on, and in what steps."""

    open_text_side: TextSide
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

    @property
    def schedule(self) -> Schedule:
        rates = ((CORE_UPDATE, 8e-4),)
        return Schedule(steps=self.steps, rates=rates, warmup=4, accumulate=self.accumulate)


class Lesson:
    """The work, opened: a core with a new update, samples, and what was read of them since it began."""

    def __init__(self, work: Work, world: World) -> None:
        self.work, self.world = work, world
        self.tokenizer, core = work.open_text_side()
        torch.manual_seed(0)
        prefix = new_prefix(work.recipe, core, _AFFECT_WIDTH)
        core.to(work.precision)
        add_low_rank(core, work.recipe.core.low_rank)
        compile_layers(core, world)
        self._new = {name: p.detach().clone() for name, p in core.named_parameters() if p.requires_grad}
        self.sizes = Sizes.of(core, work.recipe.core.low_rank)
        self.task = CoreTask(
            Listener(prefix, core), self.tokenizer, work.recipe.system, {}, CoreUpdateConfig()
        )  # of nobody's voice: words alone
        samples = list(listening_samples(listening_dialogues()))
        rows = [(sample, self.row(sample)) for sample in samples]
        fits = [(s, row) for s, row in rows if len(row["labels"]) <= self.task.config.most_tokens]
        self.samples = [(s, row) for s, row in fits if s.split == "train"]
        self.dev = [s for s, _ in fits if s.split == "dev"][:_DEV_SAMPLES]
        self.tally = Tally()

    @property
    def core(self) -> Core:
        return self.task.listener.core

    def begin(self, accumulate: int) -> None:
        """Make the update new again, and forget what was read. Args: accumulate: of the work from now on."""
        self.work, self.tally = replace(self.work, accumulate=accumulate), Tally()
        with torch.no_grad():
            for name, parameter in self.core.named_parameters():
                if name in self._new:
                    parameter.copy_(self._new[name])
                    parameter.grad = None

    def row(self, sample: Sample) -> Ids:
        """What `CoreTask` makes of a sample: `labels` say what each position should predict next."""
        spelled = self.task.spelled(sample, voiced=False)
        return {"input_ids": spelled.ids, "labels": spelled.labels}

    @property
    def prompt(self) -> int:
        """Positions that Harken reads once a batch."""
        return 0 if self.core.think.learn else self.task.prompt

    def read(self, rows: Sequence[Ids], prompt: int = 0) -> None:
        """Take down that a batch of them was read. Args: prompt: positions that were read once for all."""
        learned = sum(len(row["labels"]) - row["labels"].count(IGNORED) for row in rows)
        lengths = [len(row["labels"]) for row in rows]
        self.tally.add(lengths, learned, prompt if len(rows) > 1 else 0)

    def held_out(self) -> float:
        """Mean loss of dev samples, sixteen by sixteen."""
        core, device = self.core, self.world.device
        was = core.training
        core.eval()
        with torch.no_grad(), attention(device), torch.device(device), autocast(core, self.work.precision):
            losses = [float(self.loss(self.dev[i : i + 16])) for i in range(0, len(self.dev), 16)]
        core.train(was)
        return sum(losses) / len(losses)

    def loss(self, samples: list[Sample]) -> Tensor:
        return self.task.loss(samples, np.random.default_rng(0))


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
    schedule = lesson.work.schedule
    lengths = [len(row["labels"]) for _, row in lesson.samples]
    budget = lesson.work.samples_a_step * sum(lengths) // len(lengths) // lesson.work.accumulate
    bins = Bins(lengths, budget, schedule.seed)

    def losses_at(number: int) -> Losses:
        chosen = [lesson.samples[i] for i in bins.at(number)]
        lesson.read([row for _, row in chosen], lesson.prompt)
        with autocast(lesson.task.listener, lesson.work.precision):
            return {"loss": lesson.loss([sample for sample, _ in chosen])}

    def rows_at(number: int) -> list[str]:
        return [lesson.samples[i][0].id for i in bins.at(number)]

    objective = Objective(lesson.task.listener, losses_at, rows_at)
    train(objective, schedule, out, identity("bench", schedule), (_After(after),), lesson.world)


class _Taught(nn.Module):
    """The core as `Trainer` takes it: ids in, the loss of `CoreTask` out."""

    def __init__(self, core: Core, before: Callable[[], None]) -> None:
        super().__init__()
        self.core, self._before = core, before

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """(B, T) each; labels say what each position should predict next. Rows end in padding, which nothing
        before it attends to, so that the mask is not needed.
        """
        self._before()
        labels = labels.flatten()
        learned = (labels != IGNORED).nonzero()[:, 0]  # (M,)
        hidden = self.core(self.core.embed(input_ids)).hidden.flatten(0, 1)  # (B * T, D)
        logits = self.core.logits(hidden.index_select(0, learned)).float()
        return {"loss": F.cross_entropy(logits, labels[learned])}


def _trainer(lesson: Lesson, out: Path, after: AfterStep, strategy: str) -> None:
    """Batches of so many samples, padded to the longest of each by transformers' own collator."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

    class After(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            after()

    schedule, device = lesson.work.schedule, lesson.world.device
    lesson.tokenizer.padding_side = "right"
    lesson.tokenizer.pad_token = lesson.tokenizer.pad_token or lesson.tokenizer.eos_token
    pad, collated = DataCollatorForSeq2Seq(lesson.tokenizer), deque[Sequence[Ids]]()

    def collate(rows: Sequence[Ids]) -> Any:
        collated.append(rows)  # some batches ahead of the model
        return pad(rows)

    model = _Taught(lesson.core, lambda: lesson.read(collated.popleft())).to(device)
    rates = trainable(model, schedule.rates)
    optimizer = adamw(dict(model.named_parameters()), rates, schedule, device)
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
        [row for _, row in lesson.samples],
        callbacks=[After()],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, schedule.share)),
    )
    with attention(device):
        trainer.train()
