"""Stage 1-1, second half: the core's answer to what it hears becomes its answer to the same words in writing.

The core is its own teacher (self-distillation: Ultravox, BLSP): its written-side answers and their
distributions are the targets for the spoken side. Three tasks share a batch: *reply* (the answer), *repeat*
(so that words survive), *trace* (what the speaker feels, and why). The heard words come from cached encoder
states. The affect vector is the synthesised voice's own, which says little, so that the words decide; or that
of a person who acted an emotion, so that the voice does, also against the words.

Trained: the bridge, the affect prefix, and the core's low-rank update.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harken.dialogue.render import UserTurn, render, trace
from harken.model.core import Core
from harken.model.ctc_bridge import CtcBridge, SoftTokens
from harken.model.listen import AffectPrefix
from harken.model.speller import Speller
from harken.training.answers import Answer
from harken.training.core_update import IGNORED, Example, collate, opened_ids, target_ids
from harken.training.loop import Losses, Schedule, train
from harken.training.samples import Sample, Task, instruction
from harken.training.states import CachedClip, StateCache
from harken.training.words import Batches, WordsConfig, ctc_loss, mask_frames, words_on_dev


@dataclass(frozen=True)
class AlignConfig:
    """How long, in what batches, and what share of which task."""

    schedule: Schedule = Schedule(
        steps=600,
        learning_rate=2e-4,
        warmup=30,
        faster=(("prefix", 10.0),),
        evaluate_every=100,
        save_every=50,
    )
    batch_s: float = 50.0
    repeat_share: tuple[float, float] = (0.4, 0.2)
    """Share of repeat samples at the first and at the last step."""
    trace_share: float = 0.35
    no_affect_share: float = 0.2
    """Share of reply and repeat samples that see no affect vector."""
    person_share: float = 0.2
    """Share of reply and repeat samples that see a person's vector; the rest see the voice's own."""
    words_share: float = 0.5
    """Share of annotated traces that go with the voice's own vector: what is felt is in the words."""
    voice_share: float = 0.25
    """Share of annotated traces in which a person's vector says another emotion than the words."""
    ctc_weight: float = 0.3
    repeat_weight: float = 0.5


class Student(nn.Module):
    """What is trained, under one roof."""

    def __init__(self, bridge: CtcBridge, prefix: AffectPrefix, core: Core) -> None:
        super().__init__()
        self.bridge, self.prefix, self.core = bridge, prefix, core


class AlignTask:
    """Draws samples for clips and turns them into what the core reads."""

    def __init__(
        self,
        student: Student,
        speller: Speller,
        tokenizer: Any,
        system: str,
        answers: dict[str, Answer],
        traces: dict[str, Sample],
        causes: dict[str, str],
        affects: dict[str, Tensor],
        config: AlignConfig,
    ) -> None:
        """Args:
        answers: by text.
        traces: annotated traces, by the words of the turn.
        affects: emotion -> (M, V) readout vectors of people who acted it.
        """
        self.student, self.speller, self.tokenizer, self.system = student, speller, tokenizer, system
        self.answers, self.traces, self.causes = answers, traces, causes
        self.affects, self.config = affects, config

    def draw(
        self, clip: CachedClip, repeat_share: float, random: np.random.Generator
    ) -> tuple[Sample, Tensor | None]:
        """A task for a clip, and the affect vector (V,) that goes with it."""
        chance = random.random()
        if clip.text not in self.answers or chance < repeat_share:
            words = Sample(clip.id, "repeat", clip.split, (), clip.text, None, clip.text)
            return words, self._felt(clip, random)
        if chance < repeat_share + self.config.trace_share:
            return self._trace(clip, random)
        answer = self.tokenizer.decode(self.answers[clip.text].tokens[:-1])
        return Sample(clip.id, "reply", clip.split, (), clip.text, None, answer), self._felt(clip, random)

    def _felt(self, clip: CachedClip, random: np.random.Generator) -> Tensor | None:
        """A vector for tasks whose target does not depend on it; sometimes none, lest words lean on it."""
        chance = random.random()
        if chance < self.config.no_affect_share:
            return None
        if chance < self.config.no_affect_share + self.config.person_share:
            return self._person(clip.emotion or str(random.choice(sorted(self.affects))), random)
        return torch.tensor(clip.felt)

    def _trace(self, clip: CachedClip, random: np.random.Generator) -> tuple[Sample, Tensor | None]:
        """What is felt as annotated, in a voice that says so or nothing; or as the voice alone says it."""
        annotated, chance = self.traces.get(clip.text), random.random()
        if annotated is not None and chance < self.config.words_share:
            return annotated, torch.tensor(clip.felt)
        if annotated is not None and chance < 1 - self.config.voice_share:
            return annotated, self._person(annotated.emotion or "neutral", random)
        emotion = str(random.choice(sorted(self.affects)))
        cause = min(annotated.gold, key=len) if annotated and annotated.gold else self.causes.get(clip.text)
        thought = trace(emotion, cause if emotion != "neutral" else None)
        history = annotated.history if annotated else ()
        sample = Sample(clip.id, "trace", clip.split, history, clip.text, emotion, thought)
        return sample, self._person(emotion, random)

    def _person(self, emotion: str, random: np.random.Generator) -> Tensor | None:
        felt = self.affects.get(emotion)
        return None if felt is None else felt[random.integers(len(felt))]

    def example(
        self, sample: Sample, affect: Tensor | None, words: SoftTokens, log_probs: Tensor, row: int
    ) -> Example:
        """A sample with its last turn as heard."""
        core = self.student.core
        embed: Callable[[list[int]], Tensor] = lambda ids: core.embed(torch.tensor(ids))  # noqa: E731
        content = self.speller.vectors(self.speller.words(words, log_probs, row), words, embed, row)
        if affect is not None:
            content = torch.cat([self.student.prefix(affect[None])[0].to(content), content])
        turns = [*sample.history, UserTurn(content, instruction(sample.task))]
        segments = render(turns, self.tokenizer, self.system)
        prompt = torch.cat([s if isinstance(s, Tensor) else embed(s).to(content) for s in segments])
        target, given = self.target(sample), opened_ids(sample, self.tokenizer)
        labels = torch.full((len(prompt) + len(target),), IGNORED)
        labels[len(prompt) - 1 + given : -1] = torch.tensor(target[given:])
        return Example(torch.cat([prompt, embed(target).to(content)]), labels)

    def target(self, sample: Sample) -> list[int]:
        """Token ids to write: the core's own answer, alone or after the trace; or the words to repeat."""
        answer = self.answers[sample.said].tokens if sample.task != "repeat" else []
        return answer if sample.task == "reply" else [*target_ids(sample, self.tokenizer), *answer]

    def losses(
        self, samples: list[Sample], affects: list[Tensor | None], words: SoftTokens, log_probs: Tensor
    ) -> dict[str, Tensor]:
        """One forward of the core over a mixed batch: the reply's divergence, the others' cross-entropy."""
        core = self.student.core
        examples = [
            self.example(s, a, words, log_probs, row)
            for row, (s, a) in enumerate(zip(samples, affects, strict=True))
        ]
        inputs, valid, labels = collate(examples, core)
        learned = labels != IGNORED
        logits = core.logits(core(inputs, valid=valid).hidden[learned]).float()  # (M, V)
        task_of = [s.task for s in samples]
        owner = torch.arange(len(samples))[:, None].expand_as(labels)[learned]  # (M,) whose position it is
        entropy = F.cross_entropy(logits, labels[learned], reduction="none")
        answers = [self.answers[s.said] for s in samples if s.task == "reply"]
        return {
            "reply": divergence(logits[_is(owner, task_of, "reply")], answers),
            "repeat": _mean(entropy[_is(owner, task_of, "repeat")]),
            "trace": _mean(entropy[_is(owner, task_of, "trace")]),
        }


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


def train_align(
    task: AlignTask,
    cache: StateCache,
    config: AlignConfig,
    out: Path,
    teacher: str,
    precision: torch.dtype = torch.bfloat16,
) -> None:
    """Train the student on the cache's train clips, in place; checkpoints and measurements go to `out`.

    Args: teacher: names whose answers the targets are; a checkpoint of another teacher's student is refused.
    """
    student, words = task.student, WordsConfig()
    batches = Batches(
        cache,
        [c for c in cache.clips if c.split == "train"],
        task.speller.pieces,
        config.batch_s,
        config.schedule.seed,
    )

    def losses_at(step: int) -> Losses:
        random = np.random.default_rng([config.schedule.seed, step])
        first, last = config.repeat_share
        share = first + (last - first) * step / config.schedule.steps
        clips = batches.clips_at(step)
        batch = batches.collate(clips)
        drawn = [task.draw(clip, share, random) for clip in clips]
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            log_probs, valid = student.bridge(mask_frames(batch.states, words), batch.valid)
            heard = student.bridge.collapse(log_probs, valid)
            losses = task.losses([s for s, _ in drawn], [a for _, a in drawn], heard, log_probs)
        losses["ctc"] = ctc_loss(log_probs, valid, batch.targets, batch.target_lengths)
        loss = (
            losses["reply"]
            + losses["trace"]
            + config.repeat_weight * losses["repeat"]
            + config.ctc_weight * losses["ctc"]
        )
        return {"loss": loss} | losses

    evaluate = words_on_dev(student.bridge, task.speller.pieces, cache, most=120)
    fingerprint = f"align teacher={teacher} seed={config.schedule.seed}"
    train(student, losses_at, config.schedule, out, fingerprint, evaluate)
