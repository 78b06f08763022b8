"""What `harken bench train` learns where no stage is named: the core's low-rank update, on the listening
dialogues that come with Harken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.bench.train_cost import Sizes
from harken.bench.train_systems import Ids, Lesson, Work
from harken.checkpoint import load_text_side, new_prefix
from harken.model.core import Core, new_core
from harken.model.pretrained import load_tokenizer
from harken.recipes import Recipe, small
from harken.training.compiled import compile_layers
from harken.training.core_update import CoreTask, CoreUpdateConfig, Listener
from harken.training.examples import IGNORED
from harken.training.loop import attention, autocast
from harken.training.low_rank import add_low_rank
from harken.training.samples import Sample, listening_dialogues, listening_samples
from harken.training.schedule import CORE_UPDATE
from harken.training.world import World
from harken.weights.store import ensure

TextSide = Callable[[], tuple[Any, Core]]
"""Opens a tokenizer and a core, in whichever process it is called."""
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


class CoreLesson(Lesson):
    """A core with a new update, taught by the stage `core`'s loss, of nobody's voice: words alone."""

    def __init__(self, open_text_side: TextSide, work: Work, world: World) -> None:
        self.tokenizer, core = open_text_side()
        torch.manual_seed(0)
        prefix = new_prefix(work.recipe, core, _AFFECT_WIDTH)
        core.to(work.precision)
        add_low_rank(core, work.recipe.core.low_rank)
        compile_layers(core, world)
        self.task = CoreTask(
            Listener(prefix, core), self.tokenizer, work.recipe.system, {}, CoreUpdateConfig()
        )
        samples = list(listening_samples(listening_dialogues()))
        rows = [(sample, self.row(sample)) for sample in samples]
        fits = [(s, row) for s, row in rows if len(row["labels"]) <= self.task.config.most_tokens]
        self.samples = [(s, row) for s, row in fits if s.split == "train"]
        self.dev = [s for s, _ in fits if s.split == "dev"][:_DEV_SAMPLES]
        super().__init__(
            work, world, self.task.listener, ((CORE_UPDATE, 8e-4),), [row for _, row in self.samples]
        )
        self.sizes = Sizes.of(core, work.recipe.core.low_rank)

    @property
    def core(self) -> Core:
        return self.task.listener.core

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

    def loss(self, numbers: Sequence[int]) -> Tensor:
        chosen = [self.samples[i] for i in numbers]
        self.read([row for _, row in chosen], self.prompt)
        with autocast(self.task.listener, self.work.precision):
            return self._loss([sample for sample, _ in chosen])

    def collate(self, rows: Sequence[Ids]) -> dict[str, Tensor]:
        """By transformers' own collator."""
        from transformers import DataCollatorForSeq2Seq

        self.tokenizer.padding_side = "right"
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
        batch: dict[str, Tensor] = DataCollatorForSeq2Seq(self.tokenizer)(rows)
        return batch

    def taught(self, read: Callable[[], Sequence[Ids]]) -> nn.Module:
        return _Taught(self.core, lambda: self.read(read()))

    def held_out(self) -> float:
        """Of dev samples, sixteen by sixteen."""
        core, device = self.core, self.world.device
        was = core.training
        core.eval()
        with torch.no_grad(), attention(device), torch.device(device), autocast(core, self.work.precision):
            losses = [float(self._loss(self.dev[i : i + 16])) for i in range(0, len(self.dev), 16)]
        core.train(was)
        return sum(losses) / len(losses)

    def costs(self) -> tuple[int, float]:
        compiled = self.world.device.type == "cuda"
        return self.tally.peak_bytes(self.sizes, compiled), self.tally.flops_a_token(self.sizes)

    def _loss(self, samples: list[Sample]) -> Tensor:
        return self.task.loss(samples, np.random.default_rng(0))


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
