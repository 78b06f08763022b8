"""Stage 2, joint: a reply's text and its sound learned together, on what Think makes of the conversation.

The paper's 2.1: the bottom layers, and with them what is heard, stay as they are; Write's part of the core's
update and Speak are trained, each on its own output of the same reply. Since Think is frozen, what it makes
of each conversation is computed once. Beside it, each batch replays conversations of the stage `affect`, in
which the text alone is learned.

Shapes: B rows, L positions of a conversation with its reply, T tokens of the reply, D core width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from harken.model.core import Core
from harken.model.speak import Speak
from harken.training.affect import AffectTask, losses_on
from harken.training.affect_rows import Talk
from harken.training.callbacks import usual
from harken.training.examples import IGNORED, Bins
from harken.training.loop import Callback, Losses, Objective, autocast, train
from harken.training.saving import identity
from harken.training.schedule import Schedule
from harken.training.shared_prompt import through
from harken.training.speak import SpeakTask
from harken.training.world import ALONE, World


@dataclass(frozen=True)
class JointConfig:
    """How long, in what batches, and what counts how much."""

    schedule: Schedule = Schedule(
        steps=200,
        rates=(("speak.stack.*", 1e-4), ("speak.*", 2e-4), ("core.write.*lora_*", 1e-4)),
        warmup=20,
        evaluate_every=100,
        save_every=20,
    )
    steps_a_batch: int = 1200
    """Of speech."""
    text_weight: float = 0.5
    """How much text counts beside speech."""
    affect_share: float = 0.4
    """Share of the text's loss that is replayed from the stage `affect`."""
    affect_tokens: int = 600
    """Of what is replayed, in a batch."""


class JointStudent(nn.Module):
    """What is trained, under one roof, and what lies under it."""

    def __init__(self, core: Core, speak: Speak) -> None:
        super().__init__()
        self.core, self.speak = core, speak


@dataclass(frozen=True)
class Written:
    """A reply's text, as Write learns it."""

    labels: Tensor  # (L,) what each position should predict next; IGNORED before the reply

    @property
    def start(self) -> int:
        """Where the reply's first token stands."""
        return int((self.labels != IGNORED).nonzero()[0]) + 1


class JointTask:
    """Batches of replies in text and units, and what is lost on them."""

    def __init__(
        self,
        student: JointStudent,
        speaking: SpeakTask,
        written: Sequence[Written],
        shared: Callable[[int], Tensor],
        prompt: int = 0,
    ) -> None:
        """Args:
        speaking: the replies as Speak's steps; it is given what Think makes of them here.
        shared: number of a reply -> (L, D), what Think makes of its conversation.
        prompt: positions of the system prompt, which is read once a batch.
        """
        self.student, self.speaking, self.written, self.shared = student, speaking, written, shared
        self.prompt = prompt
        speaking.hidden = self.thought

    def thought(self, number: int) -> Tensor:
        """What Think makes of a reply's tokens, (T, D)."""
        start = self.written[number].start
        return self.shared(number)[start : start + len(self.speaking.said[number].ids)]

    def losses(self, numbers: Sequence[int], precision: torch.dtype, hide: bool) -> dict[str, Tensor]:
        """Of both outputs, each by itself. Args: hide: as in training; see `SpeakTask.losses`."""
        spoken = self.speaking.losses(self.speaking.batch(numbers), precision, hide)
        found = {"speech": spoken["loss"], "move": spoken["move"], "right": spoken["right"]}
        with autocast(self.student, precision):
            text, tokens = self.text(numbers)
        return found | {"text": text, "tokens": tokens}

    def text(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy of the replies' tokens, and how many positions were read."""
        core = self.student.core
        device = core.embed.weight.device
        shared = [self.shared(n).to(device, core.embed.weight.dtype) for n in numbers]
        labels = [self.written[n].labels.to(device) for n in numbers]
        valid = pad_sequence([torch.ones(len(row), dtype=torch.bool, device=device) for row in labels], True)
        hidden = through(core.write, pad_sequence(shared, True), valid, self.prompt)  # (B, L, D)
        wanted = pad_sequence(labels, True, IGNORED)
        learned = wanted != IGNORED
        return F.cross_entropy(core.logits(hidden[learned]).float(), wanted[learned]), valid.sum()


def train_joint(
    task: JointTask,
    dev: JointTask,
    replay: AffectTask,
    talks: Sequence[Talk],
    config: JointConfig,
    out: Path,
    origin: str,
    precision: torch.dtype,
    world: World = ALONE,
    others: Sequence[Callback] = (),
) -> None:
    """Train Speak and Write's update, in place; checkpoints and measurements go to `out`.

    Args:
        replay: draws how `talks` are heard.
        origin: names the parts that the student began as, the system prompt and whose vectors voices have;
            a checkpoint of another origin is refused.
    """
    schedule = config.schedule
    learned = [talk for talk in talks if talk.split == "train"]
    bins = Bins([replay.length(talk) for talk in learned], config.affect_tokens, schedule.seed)
    weight, share = config.text_weight, config.affect_share

    def losses_at(number: int) -> Losses:
        found = task.losses(task.speaking.bins.at(number), precision, hide=True)
        with autocast(task.student, precision):
            random = np.random.default_rng([schedule.seed, number])
            again = replay.losses([learned[i] for i in bins.at(number)], random)
        loss = found["speech"] + weight * ((1 - share) * found["text"] + share * again["affect"])
        tokens = found["tokens"] + again["tokens"]
        return {"loss": loss} | found | {"affect": again["affect"], "tokens": tokens}

    def rows_at(number: int) -> list[str]:
        said = [task.speaking.said[n].id for n in task.speaking.bins.at(number)]
        return said + [learned[i].id for i in bins.at(number)]

    def measure() -> dict[str, float]:
        rows = [dev.losses(numbers, precision, hide=False) for numbers in dev.speaking.bins.spread(8)]
        found = {
            key: float(np.mean([float(row[key]) for row in rows])) for key in ("speech", "text", "right")
        }
        with autocast(task.student, precision):
            return found | losses_on(replay, [talk for talk in talks if talk.split == "dev"])

    said = [(said.id, len(said.units)) for said in task.speaking.said]
    whose = identity("joint", config, origin=origin, replies=said, talks=[talk.id for talk in learned])
    objective = Objective(task.student, losses_at, rows_at)
    train(objective, schedule, out, whose, usual(measure, *others), world)
