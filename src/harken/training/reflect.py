"""Seed 004's training: a reply and what is thought of it while it is given, as one sequence; and its rivals.

Conversations are heard as the stage `affect` hears them (`harken.training.affect.AffectTask`); what is
learned is the reply with its reflections in between, or without (`sft`), or with one before it
(`think-before`). `dpo` learns that the reply is better than a weak one: DPO's sigmoid loss (arXiv
2305.18290), -log sigma(beta ((log p(y) - log q(y)) - (log p(y') - log q(y')))), where q is the core as the
stage found it, and beside it the reply's own loss.

Trained: Write's part of the core's low-rank update and, where it reflects, the marks' vectors.

Shapes: B rows, T positions, M learned positions, D core width, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from harken.data.rows import Reflection
from harken.dialogue.render import THINK_CLOSE, THINK_OPEN
from harken.errors import DataError
from harken.model.conv_bridge import ConvBridge
from harken.model.core import Core
from harken.model.ctc_bridge import CtcBridge
from harken.model.listen import AffectPrefix
from harken.model.reflection_marks import ReflectionMarks
from harken.recipes import ReflectConfig
from harken.training.affect import AffectTask, DrawnTalk
from harken.training.callbacks import usual
from harken.training.examples import IGNORED, Bins, Example, collate, prompted
from harken.training.loop import Losses, Objective, autocast, train
from harken.training.reflect_arms import ReflectTraining
from harken.training.reflect_rows import Reflecting
from harken.training.reflect_sequence import Marks, Sequenced, sequenced
from harken.training.saving import identity
from harken.training.shared_prompt import through
from harken.training.student import Student
from harken.training.world import ALONE, World


class ReflectStudent(Student):
    """Bridge, affect prefix and core, which hear; and the marks around reflections."""

    def __init__(
        self, bridge: CtcBridge | ConvBridge, prefix: AffectPrefix, core: Core, marks: ReflectionMarks
    ) -> None:
        super().__init__(bridge, prefix, core)
        self.marks = marks


@dataclass
class ReflectExample(Example):
    """What the core reads, and which of its labels are a reflection's."""

    reflects: Tensor  # (T,) bool


class Read(NamedTuple):
    """A batch as Think made it."""

    shared: Tensor  # (B, T, D)
    valid: Tensor  # (B, T) bool, the positions that are there
    labels: Tensor  # (B, T), IGNORED where nothing is learned


class ReflectTask:
    """Turns conversations into what the core reads, and says what is lost on them."""

    def __init__(
        self, hearing: AffectTask, student: ReflectStudent, how: ReflectConfig | None, config: ReflectTraining
    ) -> None:
        """Args:
        hearing: draws how conversations are heard; of the same student.
        how: the parts that come of it reflect; None where they do not.
        """
        self.hearing, self.student, self.how, self.config = hearing, student, how, config
        self.reference: Core | None = None
        """The core as the stage found it, of `dpo`."""

    def sequence(self, one: Reflecting, random: np.random.Generator | None = None) -> Sequenced:
        """A reply as it is learned. Args: random: leaves some reflections out; None leaves none."""
        before = self.config.arm == "think-before"
        kept = [reflection for reflection in one.reflections if reflection.at == 0 or not before]
        silent: list[bool] = []
        if random is not None:
            silent = (random.random(len(one.reflections)) < self.config.silent_share).tolist()
        return self._sequenced(one.talk.target, one.given, kept, silent)

    def weak(self, one: Reflecting) -> Sequenced:
        """The reply that is rejected; a weak beginning that the preferred one has too is not learned."""
        rejected = one.rejected or ""
        given = one.given if one.talk.target[: one.given] == rejected[: one.given] else 0
        return self._sequenced(rejected, given, ())

    def _sequenced(
        self, reply: str, given: int, reflections: Sequence[Reflection], silent: Sequence[bool] = ()
    ) -> Sequenced:
        marks = Marks(self.student.marks.opening, self.student.marks.closing)
        return sequenced(self.hearing.tokenizer, reply, given, reflections, self.how, marks, silent)

    def example(self, drawn: DrawnTalk, heard: Mapping[str, Tensor], reply: Sequenced) -> ReflectExample:
        """A conversation with a reply to be learned, behind the trace where one was drawn."""
        hearing, core = self.hearing, self.student.core
        prompt = prompted(core, hearing.tokenizer, hearing.system, hearing.turns(drawn, heard))
        opening = self._ids(THINK_OPEN) if drawn.thought is not None else []
        thought = self._ids(f"{THINK_OPEN}{drawn.thought}{THINK_CLOSE}")[len(opening) :] if opening else []
        ids = torch.tensor([*opening, *thought, *reply.ids])
        kinds = [*["given"] * len(opening), *["reply"] * len(thought), *reply.parts]
        learned = torch.tensor([kind != "given" for kind in kinds])
        labels = torch.full((len(prompt) + len(ids),), IGNORED)
        labels[len(prompt) - 1 : -1] = ids.masked_fill(~learned, IGNORED)
        reflects = torch.zeros(len(labels), dtype=torch.bool)
        reflects[len(prompt) - 1 : -1] = torch.tensor([kind == "reflection" for kind in kinds])
        embedded = self.student.marks.embed(ids, core.embed)
        return ReflectExample(torch.cat([prompt, embedded.to(prompt)]), labels, reflects)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.hearing.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def length(self, one: Reflecting) -> int:
        """Positions that it takes in writing, with all of its reflections, the same for each arm."""
        return self.hearing.length(one.talk) + sum(
            len(self._ids(reflection.text)) + 2 for reflection in one.reflections
        )

    def losses(self, chosen: Sequence[Reflecting], random: np.random.Generator) -> dict[str, Tensor]:
        """Mean cross-entropy of the reply's tokens and of the reflections', in one forward pass; of `dpo`,
        how much the reply is preferred to the weak one. `loss` is what is minimised."""
        drawn = [self.hearing.draw(one.talk, random) for one in chosen]
        heard = self.hearing.heard([clip for one in drawn for clip in one.clips()])
        learned = [
            self.example(now, heard, self.sequence(one, random))
            for now, one in zip(drawn, chosen, strict=True)
        ]
        if self.config.arm == "dpo":
            return self._preferred(chosen, drawn, heard, learned)
        read = self.read(learned)
        log_probs = self.log_probs(self.student.core, read)
        reflects = torch.cat([one.reflects[one.labels != IGNORED] for one in learned])
        reply, reflection = -log_probs[~reflects], -log_probs[reflects]
        found = {"reply": reply.mean(), "tokens": read.valid.sum()}
        unread = self.student.marks.rows.sum() * 0.0  # a batch may have no reflection
        if self.how is None:
            return found | {"loss": found["reply"]}
        found["reflection"] = reflection.mean() if len(reflection) else unread
        return found | {"loss": found["reply"] + self.config.reflection_weight * found["reflection"] + unread}

    def read(self, examples: Sequence[ReflectExample]) -> Read:
        """The stage leaves Think as it is, so this serves the core that learns and the reference."""
        inputs, valid, labels = collate(examples)
        prompt = self.hearing.prompt
        return Read(through(self.student.core.think, inputs, valid, prompt), valid, labels)

    def log_probs(self, core: Core, read: Read) -> Tensor:
        """Log-probability of each learned token by a core's Write, (M,), row by row."""
        learned = read.labels != IGNORED
        hidden = through(core.write, read.shared, read.valid, self.hearing.prompt)[learned]  # (M, D)
        logits = core.logits(hidden)
        if self.how is not None:
            logits = self.student.marks.with_logits(logits, hidden)
        return -F.cross_entropy(logits.float(), read.labels[learned], reduction="none")

    def _preferred(
        self,
        chosen: Sequence[Reflecting],
        drawn: Sequence[DrawnTalk],
        heard: Mapping[str, Tensor],
        good: Sequence[ReflectExample],
    ) -> dict[str, Tensor]:
        """The loss of `dpo`. Rows without a rejected reply have the reply's own loss alone."""
        assert self.reference is not None, "dpo has a reference"
        paired = [n for n, one in enumerate(chosen) if one.rejected]
        weak = [self.example(drawn[n], heard, self.weak(chosen[n])) for n in paired]
        both = [*good, *weak]
        read = self.read(both)
        log_probs = self.log_probs(self.student.core, read)
        with torch.no_grad():
            before = self.log_probs(self.reference, read)
        counts = [int((one.labels != IGNORED).sum()) for one in both]
        gained = torch.stack([part.sum() for part in (log_probs - before).split(counts)])
        margin = self.config.beta * (gained[: len(good)][paired] - gained[len(good) :])
        reply = -log_probs[: sum(counts[: len(good)])].mean()
        found = {"reply": reply, "tokens": read.valid.sum()}
        if not paired:
            return found | {"loss": self.config.reply_weight * reply}
        found["preference"] = preference_loss(margin)
        found["preferred"] = (margin > 0).float().mean()
        return found | {"loss": found["preference"] + self.config.reply_weight * reply}


def preference_loss(margin: Tensor) -> Tensor:
    """DPO's sigmoid loss. Args: margin: (N,) beta times how much more good replies gained than weak ones."""
    return -F.logsigmoid(margin).mean()


def train_reflect(
    task: ReflectTask,
    replies: Sequence[Reflecting],
    out: Path,
    origin: str,
    precision: torch.dtype = torch.bfloat16,
    world: World = ALONE,
) -> None:
    """Train the student on the replies of split train, in place; checkpoints and measurements go to `out`.

    Args: origin: names the parts that the student began as, and whose vectors voices have; a checkpoint of
        another origin is refused.

    Raises: DataError where no reply fits, or an arm's rows lack what it learns from.
    """
    config, schedule = task.config, task.config.schedule
    lengths = {one.id: task.length(one) for one in replies}
    fits = [one for one in replies if lengths[one.id] <= config.most_tokens]
    learned = [one for one in fits if one.split == "train"]
    dev = [one for one in fits if one.split == "dev"]
    _check(task, learned, len(replies))
    if config.arm == "dpo":
        task.reference = copy.deepcopy(task.student.core).requires_grad_(False).eval().to(world.device)
    bins = Bins([lengths[one.id] for one in learned], config.batch_tokens, schedule.seed)

    def losses_at(number: int) -> Losses:
        with autocast(task.student, precision):
            random = np.random.default_rng([schedule.seed, number])
            return task.losses([learned[i] for i in bins.at(number)], random)

    def rows_at(number: int) -> list[str]:
        return [learned[i].id for i in bins.at(number)]

    def measure() -> dict[str, float]:
        with autocast(task.student, precision):
            return losses_on(task, dev)

    system, how = task.hearing.system, task.how
    whose = identity("reflect", config, origin=origin, system=system, replies=learned, how=how)
    objective = Objective(task.student, losses_at, rows_at)
    train(objective, schedule, out, whose, usual(measure if dev else None), world)


def losses_on(
    task: ReflectTask, replies: Sequence[Reflecting], most: int = 64, batch: int = 8
) -> dict[str, float]:
    """Mean losses of replies, up to `most` of them, evenly chosen and always drawn alike."""
    chosen = replies[:: max(1, len(replies) // most)][:most]
    sums: dict[str, list[float]] = {}
    for i in range(0, len(chosen), batch):
        found = task.losses(chosen[i : i + batch], np.random.default_rng([i]))
        for name, value in found.items():
            if name != "tokens":
                sums.setdefault(name, []).append(float(value))
    return {name: sum(values) / len(values) for name, values in sums.items()}


def _check(task: ReflectTask, learned: Sequence[Reflecting], rows: int) -> None:
    """Raises DataError where there is nothing that the arm can learn."""
    if not learned:
        raise DataError(
            f"none of {rows} replies is of split train and fits into {task.config.most_tokens} tokens",
            "build more rows: harken data build reflect",
        )
    if task.config.arm == "dpo" and not any(one.rejected for one in learned):
        raise DataError(
            "no row has a reply that is rejected", "build rows that do: harken data build reflect"
        )
    if task.how and not any("reflection" in task.sequence(one).parts for one in learned):
        size = f"{task.how.response_tokens} tokens a chunk, {task.how.reflection_tokens} a reflection"
        raise DataError(
            f"none of {len(learned)} replies has a place for one of its reflections ({size})",
            "shorter chunks or longer reflections: `reflect` of the recipe",
        )
