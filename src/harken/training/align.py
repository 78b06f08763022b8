"""Stage 1-1, second half: the core's answer to what it hears becomes its answer to the same words in writing.

The core is its own teacher (self-distillation: Ultravox, BLSP): its written-side answers and their
distributions are the targets for the spoken side. Three tasks share a batch: *reply* (the answer), *repeat*
(so that words survive), *trace* (what the speaker feels, and why). The heard words come from cached encoder
states. The affect vector is the synthesised voice's own, which says little, so that the words decide; or that
of a person who acted an emotion, so that the voice does, also against the words. A reply in a person's voice
is learned from what the core writes when that emotion's vector stands before the written words.

Trained: the bridge, the affect prefix, and the core's low-rank update. A bridge that gives no transcript
(GOAT-SLM's adapter, of the `paper` recipe) begins here: its vectors are the heard words, and there is no CTC.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from harken.dialogue.render import trace
from harken.model.ctc_bridge import CtcBridge
from harken.model.speller import Speller
from harken.training.answers import Answer
from harken.training.callbacks import usual
from harken.training.examples import IGNORED, Example, alike, collate, example, target_ids
from harken.training.loop import Losses, Objective, autocast, train
from harken.training.samples import Sample, Task
from harken.training.saving import identity
from harken.training.schedule import CORE_UPDATE, Schedule
from harken.training.shared_prompt import prompt_length, read
from harken.training.states import CachedClip, StateCache
from harken.training.student import Hearing, Student
from harken.training.words import (
    Batches,
    WordsConfig,
    counts,
    ctc_loss,
    dev_clips,
    mask_frames,
    pad,
    words_on_dev,
)
from harken.training.world import ALONE, World

PORTION = 100
"""Positions of padding that it has to spare to read a batch in one portion more."""


@dataclass(frozen=True)
class AlignConfig:
    """How long, in what batches, and what share of which task."""

    schedule: Schedule = Schedule(
        steps=600,
        rates=(("prefix.*", 6e-4), ("bridge.*", 1.5e-4), (CORE_UPDATE, 3e-4)),
        warmup=30,
        evaluate_every=200,
        save_every=50,
    )
    batch_s: float = 50.0
    repeat_share: tuple[float, float] = (0.25, 0.1)
    """Share of users' turns that are repeated, at the first and at the last step; what has no answer, as the
    assistant's own turns, always is."""
    trace_share: float = 0.35
    no_affect_share: float = 0.2
    """Share of the replies and repeats not in a person's voice that see no affect vector."""
    person_share: float = 0.35
    """Share of replies and repeats that see a person's vector; the rest see the voice's own, or none."""
    words_share: float = 0.5
    """Share of annotated traces that go with the voice's own vector: what is felt is in the words."""
    voice_share: float = 0.25
    """Share of annotated traces in which a person's vector says any emotion, whatever the words say."""
    ctc_weight: float = 0.3
    repeat_weight: float = 0.5


@dataclass(frozen=True)
class DrawnTask:
    """A task for a clip."""

    sample: Sample
    affect: Tensor | None  # (V,) the readout's vector that goes with it
    answer: Answer | None
    """The teacher's answer: the target of a reply, and what follows a trace."""


class AlignTask:
    """Draws samples for clips and turns them into what the core reads."""

    def __init__(
        self,
        student: Student,
        speller: Speller | None,
        tokenizer: Any,
        system: str,
        answers: dict[str, Answer],
        felt: dict[str, tuple[str, Answer]],
        traces: dict[str, Sample],
        causes: dict[str, str],
        affects: dict[str, Tensor],
        config: AlignConfig,
    ) -> None:
        """Args:
        speller: None where the bridge does not spell.
        answers: by text.
        felt: by text, an emotion and the answer to the same words in a voice of that emotion.
        traces: annotated traces, by the words of the turn.
        affects: emotion -> (M, V) readout vectors of people who acted it.
        """
        self.student, self.speller, self.tokenizer, self.system = student, speller, tokenizer, system
        self.answers, self.felt, self.traces, self.causes = answers, felt, traces, causes
        self.affects, self.config = affects, config
        self.prompt = prompt_length(tokenizer, system)

    def draw(self, clip: CachedClip, repeat_share: float, random: np.random.Generator) -> DrawnTask:
        """A task for a clip, with its affect vector and the answer that it is taught."""
        chance = random.random()
        if clip.text not in self.answers or chance < repeat_share:
            words = Sample(clip.id, "repeat", clip.split, (), clip.text, None, clip.text)
            return DrawnTask(words, self._any_voice(clip, random), None)
        if chance < repeat_share + self.config.trace_share:
            return self._trace(clip, random)
        emotion, answer, affect = None, self.answers[clip.text], self._own_voice(clip, random)
        if clip.text in self.felt and random.random() < self.config.person_share:
            emotion, answer = self.felt[clip.text]
            affect = self._person(emotion, random)
        return DrawnTask(Sample(clip.id, "reply", clip.split, (), clip.text, emotion, ""), affect, answer)

    def _own_voice(self, clip: CachedClip, random: np.random.Generator) -> Tensor | None:
        """The voice's own vector; sometimes none, lest words lean on it."""
        return None if random.random() < self.config.no_affect_share else torch.tensor(clip.felt)

    def _any_voice(self, clip: CachedClip, random: np.random.Generator) -> Tensor | None:
        """A vector for words that do not depend on it."""
        if random.random() < self.config.person_share:
            return self._person(str(random.choice(sorted(self.affects))), random)
        return self._own_voice(clip, random)

    def _trace(self, clip: CachedClip, random: np.random.Generator) -> DrawnTask:
        """What is felt as annotated, in a voice that says so or nothing; or as the voice alone says it."""
        annotated, chance, answer = self.traces.get(clip.text), random.random(), self.answers[clip.text]
        if annotated is not None and chance < self.config.words_share:
            return DrawnTask(annotated, torch.tensor(clip.felt), None if annotated.history else answer)
        if annotated is not None and chance < 1 - self.config.voice_share:
            return DrawnTask(annotated, self._person(annotated.emotion or "neutral", random), None)
        emotion = str(random.choice(sorted(self.affects)))
        cause = min(annotated.gold, key=len) if annotated and annotated.gold else self.causes.get(clip.text)
        thought = trace(emotion, cause)
        history = annotated.history if annotated else ()
        sample = Sample(clip.id, "trace", clip.split, history, clip.text, emotion, thought)
        felt, said = self.felt.get(clip.text, (None, None))
        return DrawnTask(
            sample, self._person(emotion, random), said if felt == emotion and not history else None
        )

    def _person(self, emotion: str, random: np.random.Generator) -> Tensor | None:
        felt = self.affects.get(emotion)
        return None if felt is None else felt[random.integers(len(felt))]

    def example(self, drawn: DrawnTask, heard: Hearing, row: int) -> Example:
        """A sample with its last turn as heard."""
        core, content = self.student.core, self.student.read(heard, row, self.speller)
        if drawn.affect is not None:
            affect = drawn.affect.to(core.embed.weight.device)
            content = torch.cat([self.student.prefix(affect[None])[0].to(content), content])
        return example(core, self.tokenizer, self.system, drawn.sample, content, self.target(drawn))

    def target(self, drawn: DrawnTask) -> list[int]:
        """Token ids to write: the teacher's answer, alone or after the trace; or the words to repeat."""
        answer = drawn.answer.tokens if drawn.answer else []
        if drawn.sample.task == "reply":
            return answer
        return [*target_ids(drawn.sample, self.tokenizer), *answer]

    def losses(self, drawn: list[DrawnTask], heard: Hearing) -> dict[str, Tensor]:
        """What the core makes of a mixed batch, read in portions: the reply's divergence, the others'
        cross-entropy; and how many positions it read, without padding and with it.
        """
        heard = heard.to_spell()
        examples = [self.example(one, heard, row) for row, one in enumerate(drawn)]
        found = [self._read(examples, rows) for rows in self._portions([len(e.labels) for e in examples])]
        logits, targets, owner = (torch.cat(parts) for parts in zip(*(one[:3] for one in found), strict=True))
        task_of = [one.sample.task for one in drawn]
        entropy = F.cross_entropy(logits, targets, reduction="none")
        replied = [row for row in owner.unique_consecutive().tolist() if task_of[row] == "reply"]
        answers = [answer for row in replied if (answer := drawn[row].answer)]
        return {
            "reply": divergence(logits[_is(owner, task_of, "reply")], answers),
            "repeat": _mean(entropy[_is(owner, task_of, "repeat")]),
            "trace": _mean(entropy[_is(owner, task_of, "trace")]),
            "tokens": torch.tensor(sum(len(e.labels) for e in examples)),
            "padded": torch.tensor(sum(one[3] for one in found)),
        }

    def _portions(self, lengths: list[int]) -> list[list[int]]:
        """The rows of a batch that are read together: on a CPU rows of like length; on a GPU, and where the
        core is spread over processes, which have to read in step, all of them.
        """
        on_cpu = self.student.core.embed.weight.device.type == "cpu"
        parts = self.prompt > 0 and on_cpu and not torch.distributed.is_initialized()
        return alike(lengths, PORTION if parts else math.inf)

    def _read(self, examples: Sequence[Example], rows: list[int]) -> tuple[Tensor, Tensor, Tensor, int]:
        """Of some rows: logits (M, V) where something is learned, what (M,), by which row (M,); and how many
        positions were read, with padding.
        """
        inputs, valid, labels = collate([examples[row] for row in rows])
        learned, core = labels != IGNORED, self.student.core
        logits = core.logits(read(core, inputs, valid, self.prompt)[learned]).float()
        owner = torch.tensor(rows)[:, None].expand_as(labels)[learned]
        return logits, labels[learned], owner, valid.numel()


def divergence(logits: Tensor, answers: list[Answer]) -> Tensor:
    """Mean KL (nats a token) from the written side's most probable tokens to the spoken side.

    Args: logits (M, V) at the answers' positions, in order.
    """
    if not answers:
        return logits.sum() * 0.0
    top = torch.tensor([position for a in answers for position in a.top])  # (M, TOP)
    teacher = torch.tensor([position for a in answers for position in a.log_probs]).log_softmax(-1)
    student = logits.log_softmax(-1).gather(1, top)
    return (teacher.exp() * (teacher - student)).sum(-1).mean()


def _is(owner: Tensor, tasks: list[Task], task: Task) -> Tensor:
    return torch.tensor([t == task for t in tasks])[owner]


def _mean(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else values.sum()


def losses_of_clips(
    task: AlignTask,
    batches: Batches,
    clips: list[CachedClip],
    repeat_share: float,
    random: np.random.Generator,
    precision: torch.dtype,
) -> Losses:
    """The losses of a batch of clips."""
    student, config = task.student, task.config
    batch = batches.collate(clips)
    drawn = [task.draw(clip, repeat_share, random) for clip in clips]
    with autocast(student, precision):
        heard = student.hear(mask_frames(batch.states, WordsConfig()), batch.valid)
        losses = task.losses(drawn, heard)
    loss = losses["reply"] + losses["trace"] + config.repeat_weight * losses["repeat"]
    if heard.log_probs is not None:
        losses["ctc"] = ctc_loss(heard.log_probs, heard.valid, batch.targets, batch.target_lengths)
        loss = loss + config.ctc_weight * losses["ctc"]
    return {"loss": loss} | losses | counts(batch)


def batch_losses(
    task: AlignTask, batches: Batches, number: int, repeat_share: float, precision: torch.dtype
) -> Losses:
    """The losses of a batch, which is a function of its number and the schedule's seed."""
    random = np.random.default_rng([task.config.schedule.seed, number])
    return losses_of_clips(task, batches, batches.clips_at(number), repeat_share, random, precision)


def train_align(
    task: AlignTask,
    cache: StateCache,
    config: AlignConfig,
    out: Path,
    origin: str,
    precision: torch.dtype = torch.bfloat16,
    world: World = ALONE,
) -> None:
    """Train the student on the cache's train clips, in place; checkpoints and measurements go to `out`.

    Args: origin: names whose answers the targets are, and the bridge that the student began with; a
        checkpoint of another origin is refused.
    """
    student = task.student
    pieces = task.speller.pieces if task.speller else None
    train_clips = [clip for clip in cache.clips if clip.split == "train"]
    batches = Batches(cache, train_clips, pieces, config.batch_s, config.schedule.seed)

    def losses_at(number: int) -> Losses:
        first, last = config.repeat_share
        done = number / (config.schedule.steps * config.schedule.accumulate * world.size)
        return batch_losses(task, batches, number, first + (last - first) * done, precision)

    def rows_at(number: int) -> list[str]:
        return [clip.id for clip in batches.clips_at(number)]

    evaluate = measures_on_dev(task, cache, precision, most=120)
    ids = [clip.id for clip in train_clips]
    whose = identity("align", config, origin=origin, traces=sorted(task.traces), clips=ids)
    train(Objective(student, losses_at, rows_at), config.schedule, out, whose, usual(evaluate), world)


def measures_on_dev(
    task: AlignTask, cache: StateCache, precision: torch.dtype, most: int
) -> Callable[[], dict[str, float]]:
    """A measurement for the loop, on dev clips of users' turns: word error rate; of a bridge that gives no
    transcript, how surprised the core is (nats a token) by the words that it is to repeat.
    """
    student = task.student
    if isinstance(student.bridge, CtcBridge) and task.speller:
        return words_on_dev(student.bridge, task.speller.pieces, cache, most)
    dev, states = dev_clips(cache, most), cache.states()

    def measure() -> dict[str, float]:
        losses = []
        for start in range(0, len(dev), 20):
            clips, random = dev[start : start + 20], np.random.default_rng(start)
            rows, valid = pad([states[clip.start : clip.start + clip.frames] for clip in clips])
            drawn = [task.draw(clip, 1.0, random) for clip in clips]
            with autocast(student, precision):
                heard = student.hear(rows, valid)
                losses.append(float(task.losses(drawn, heard)["repeat"]))
        return {"repeat": sum(losses) / len(losses)} if losses else {}

    return measure
