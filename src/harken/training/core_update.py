"""Stage `core`: a listener's manner, and how it follows the voice, learned from written dialogues alone.

It comes before self-distillation, because there the core's own answers are the targets for speech: they
should be worth imitating. In a part of the samples the affect vector of a person who acted an emotion stands
before the words, as in use it always does: the sample's own emotion or, in a part of the traces, any, and
then the voice decides what is felt.

Trained: the affect prefix, and the core's low-rank update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.dialogue.render import trace
from harken.errors import DataError
from harken.model.core import Core
from harken.model.listen import AffectPrefix
from harken.training.callbacks import usual
from harken.training.compiled import compile_layers
from harken.training.examples import Bins, Padded, Spelled, padded, spelled
from harken.training.loop import Losses, Objective, autocast, train
from harken.training.samples import Sample
from harken.training.saving import identity
from harken.training.schedule import CORE_UPDATE, Schedule
from harken.training.shared_prompt import prompt_length, read
from harken.training.world import ALONE, World


@dataclass(frozen=True)
class CoreUpdateConfig:
    """How long, how much in a batch, and how often a voice is heard."""

    schedule: Schedule = Schedule(
        steps=360,
        rates=(("prefix.*", 2.4e-3), (CORE_UPDATE, 8e-4)),
        warmup=40,
        evaluate_every=120,
        save_every=50,
    )
    batch_tokens: int = 1600
    most_tokens: int = 200
    """Longer samples are left out."""
    voice_share: float = 0.6
    """Share of samples of a known emotion that a person's voice goes with, where words tell it too."""
    against_share: float = 0.4
    """Share of traces in a voice whose voice says an emotion drawn freely, whatever the words say."""


Voiced = tuple[Sample, Tensor | None]
"""A sample, and the affect vector (V,) of the voice that it goes with, where there is one."""


class Listener(nn.Module):
    """What is trained, under one roof."""

    def __init__(self, prefix: AffectPrefix, core: Core) -> None:
        super().__init__()
        self.prefix, self.core = prefix, core


class CoreTask:
    """Draws how samples sound, and turns them into what the core reads."""

    def __init__(
        self,
        listener: Listener,
        tokenizer: Any,
        system: str,
        affects: dict[str, Tensor],
        config: CoreUpdateConfig,
    ) -> None:
        """Args: affects: emotion -> (M, V) readout vectors of people who acted it."""
        self.listener, self.tokenizer, self.system = listener, tokenizer, system
        self.affects, self.config = affects, config
        self.prompt = prompt_length(tokenizer, system)
        self._spelled: dict[tuple[Sample, bool], Spelled] = {}

    def draw(self, sample: Sample, random: np.random.Generator) -> Voiced:
        """The sample, and the affect vector (V,) that goes with it; or its trace in another voice."""
        if sample.emotion not in self.affects:
            return sample, None
        if not sample.open and random.random() >= self.config.voice_share:
            return sample, None
        emotion = sample.emotion
        if sample.task == "trace" and random.random() < self.config.against_share:
            emotion = str(random.choice(sorted(self.affects)))
            sample = in_voice(sample, emotion)
        felt = self.affects[emotion]
        return sample, felt[random.integers(len(felt))]

    def spelled(self, sample: Sample, voiced: bool) -> Spelled:
        """A sample in writing, with room for a voice's vectors where there is one; encoded once."""
        key = (sample, voiced)
        if key not in self._spelled:
            vectors = self.listener.prefix.count if voiced else None
            self._spelled[key] = spelled(self.tokenizer, self.system, sample, vectors)
        return self._spelled[key]

    def read(self, drawn: Sequence[Voiced]) -> tuple[Tensor, Padded]:
        """Samples as the core reads them: (B, T, D) and what is learned of it. The affect vector of a sample,
        where there is one, stands before the words of its last turn.
        """
        core = self.listener.core
        rows = [self.spelled(sample, affect is not None) for sample, affect in drawn]
        batch = padded(rows, core.embed.weight.device)
        inputs = core.embed(batch.ids)
        voiced = [
            (at, row.place, affect)
            for at, (row, (_, affect)) in enumerate(zip(rows, drawn, strict=True))
            if affect is not None
        ]
        if not voiced:
            return inputs, batch
        affects = torch.stack([affect for _, _, affect in voiced]).to(inputs.device)  # (N, V)
        vectors = self.listener.prefix(affects).to(inputs)  # (N, K, D)
        at = torch.tensor([[at, place] for at, place, _ in voiced], device=inputs.device)
        places = at[:, 1:] + torch.arange(vectors.shape[1], device=inputs.device)  # (N, K)
        return inputs.index_put((at[:, :1], places), vectors), batch

    def loss(self, samples: list[Sample], random: np.random.Generator) -> Tensor:
        """Mean cross-entropy of what the samples should make the core write."""
        inputs, batch = self.read([self.draw(sample, random) for sample in samples])
        core = self.listener.core
        # rows end in padding, which nothing before it attends to: no mask is needed
        hidden = read(core, inputs, None, self.prompt).flatten(0, 1).index_select(0, batch.learned)  # (M, D)
        unheard = sum(p.sum() for p in self.listener.prefix.parameters()) * 0.0  # a batch may have no voice
        return F.cross_entropy(core.logits(hidden).float(), batch.targets) + unheard


def in_voice(sample: Sample, emotion: str) -> Sample:
    """A trace of the same words in a voice that says another emotion; the cause stays what it was."""
    cause = min(sample.gold, key=len) if sample.gold else sample.said
    return replace(sample, emotion=emotion, target=trace(emotion, cause))


def train_core_update(
    task: CoreTask,
    samples: list[Sample],
    out: Path,
    people: str,
    precision: torch.dtype,
    world: World = ALONE,
) -> None:
    """Train the listener (see `add_low_rank`) on the train samples, in place.

    Args: people: names whose vectors voices have; a checkpoint of others is refused.

    Raises: DataError where there is none that fits.
    """
    config, schedule = task.config, task.config.schedule
    lengths = [len(task.spelled(sample, voiced=False).ids) for sample in samples]
    fits = [(s, n) for s, n in zip(samples, lengths, strict=True) if n <= config.most_tokens]
    made = {split: [(s, n) for s, n in fits if s.split == split] for split in ("train", "dev")}
    if not made["train"]:
        raise DataError(
            f"none of {len(samples)} samples is of split train and fits into {config.most_tokens} tokens",
            "name other dialogues: shorter ones, and of split train",
        )
    bins = Bins([n for _, n in made["train"]], config.batch_tokens, schedule.seed)
    dev = [sample for sample, _ in made["dev"]]
    dev = dev[:: max(1, len(dev) // 160)]

    def loss_of(chosen: list[Sample], seed: list[int]) -> Tensor:
        with autocast(task.listener, precision):
            return task.loss(chosen, np.random.default_rng(seed))

    def losses_at(number: int) -> Losses:
        return {"loss": loss_of([made["train"][i][0] for i in bins.at(number)], [schedule.seed, number])}

    def rows_at(number: int) -> list[str]:
        return [made["train"][i][0].id for i in bins.at(number)]

    def evaluate() -> dict[str, float]:
        losses = [float(loss_of(dev[i : i + 16], [i])) for i in range(0, len(dev), 16)]
        return {"loss": sum(losses) / len(losses)}

    compile_layers(task.listener, world)
    whose = identity("core", config, system=task.system, samples=samples, people=people)
    objective = Objective(task.listener, losses_at, rows_at)
    train(objective, schedule, out, whose, usual(evaluate if dev else None), world)
