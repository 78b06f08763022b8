"""Stage 1-2: what is felt, and why, becomes part of the answer (the paper's 2.1 and 2.2).

Learned from the rows of a built data set (`harken.training.affect_rows`), whose users are heard. What stands
before the reply is a setting: nothing, so that the attribution is internalised; the IEAT step's trace in a
think block; or the label of the emotion alone. How synthetic voices feel is acted by rule, so in a share of
the turns the vector of a person who acted the emotion stands before the words. Beside it each batch replays
self-distillation (`harken.training.align`), so that words survive.

Trained: the affect prefix, the core's low-rank update and, slowly, the bridge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from harken.data.rows import Task, content_id
from harken.dialogue.render import (
    THINK_CLOSE,
    THINK_OPEN,
    AssistantTurn,
    Turn,
    UserTurn,
    parse_trace,
    render,
    trace,
)
from harken.errors import DataError
from harken.model.speller import Speller
from harken.training.affect_config import AffectConfig
from harken.training.affect_rows import Spoken, Talk
from harken.training.align import AlignTask, batch_losses, measures_on_dev
from harken.training.callbacks import WordsGuard, usual
from harken.training.examples import IGNORED, Bins, Example, collate, continued
from harken.training.loop import Losses, Objective, autocast, train
from harken.training.saving import identity
from harken.training.shared_prompt import prompt_length, read
from harken.training.states import CachedClip, StateCache
from harken.training.student import Student
from harken.training.words import Batches, WordsConfig, mask_frames, pad
from harken.training.world import ALONE, World

AFFECT_TASKS: tuple[Task, ...] = ("empathy", "trajectory", "reasoning", "paralinguistic", "contrast")


@dataclass(frozen=True)
class Sound:
    """A user's turn as it is to be heard."""

    words: CachedClip | str
    affect: Tensor | None  # (V,)


@dataclass(frozen=True)
class DrawnTalk:
    """A conversation, and how it is heard and answered this time."""

    talk: Talk
    turns: tuple[Sound | AssistantTurn, ...]
    aloud: CachedClip | None
    """An instruction that is heard before the first turn."""
    thought: str | None
    """What stands before the reply, in a think block."""
    replied: bool = True
    """Whether the reply is learned."""

    def clips(self) -> list[CachedClip]:
        said = [turn.words for turn in self.turns if isinstance(turn, Sound)]
        return [clip for clip in (self.aloud, *said) if isinstance(clip, CachedClip)]


class AffectTask:
    """Draws how conversations are heard, and turns them into what the core reads."""

    def __init__(
        self,
        student: Student,
        speller: Speller | None,
        tokenizer: Any,
        system: str,
        cache: StateCache,
        affects: Mapping[str, Tensor],
        config: AffectConfig,
    ) -> None:
        """Args:
        speller: None where the bridge does not spell.
        affects: emotion -> (M, V) readout vectors of people who acted it; without them a voice has its own.

        Raises: DataError where others' speech is to be heard and nobody speaks.
        """
        self.student, self.speller, self.tokenizer, self.system = student, speller, tokenizer, system
        self.cache, self.affects, self.config = cache, affects, config
        self.prompt = prompt_length(tokenizer, system)
        self.strangers = [clip for clip in cache.clips if clip.role == "user" and clip.split == "train"]
        if config.heard == "shuffled" and not self.strangers:
            raise DataError("no row is spoken, so there is no speech to shuffle", "build it with `speak`")

    def draw(self, talk: Talk, random: np.random.Generator) -> DrawnTalk:
        """How it is heard, and what stands before the reply."""
        turns = [
            self._sound(turn, talk.task, random) if isinstance(turn, Spoken) else turn for turn in talk.turns
        ]
        aloud = talk.asked.clip if talk.asked and self.config.heard != "transcript" else None
        if random.random() < self.config.written_share:
            aloud = None
        direct = random.random() < self.config.direct_share or talk.task in self.config.always_direct
        replied = not self._thought_alone(talk)
        drawn = DrawnTalk(
            talk, tuple(turns), aloud, None if direct and replied else self.thought(talk), replied
        )
        return self._in_another_voice(drawn, random)

    def _thought_alone(self, talk: Talk) -> bool:
        return talk.task == "empathy" and talk.source in self.config.thoughts_of

    def teaches(self, talk: Talk) -> bool:
        """Whether there is something in it to learn."""
        return not self._thought_alone(talk) or self.thought(talk) is not None

    def _in_another_voice(self, drawn: DrawnTalk, random: np.random.Generator) -> DrawnTalk:
        """The same, or in a share of what is thought before replies a person's voice that feels otherwise."""
        talk, config, last = drawn.talk, self.config, drawn.turns[-1]
        others = [emotion for emotion in self.affects if emotion != talk.emotion]
        heard = config.heard == "speech" and config.affect_vectors and not config.metadata
        decides = heard and others and drawn.thought and talk.task == "empathy"
        if not decides or random.random() >= config.other_voice_share:
            return drawn
        assert isinstance(last, Sound), "a talk ends with the user"
        emotion = others[random.integers(len(others))]
        people = self.affects[emotion]
        sound = replace(last, affect=people[random.integers(len(people))])
        thought = trace(emotion, parse_trace(drawn.thought or "")[1])
        return replace(drawn, turns=(*drawn.turns[:-1], sound), thought=thought, replied=False)

    def thought(self, talk: Talk) -> str | None:
        """What stands before the reply where it is not answered at once."""
        if self.config.supervise == "label":
            return trace(talk.emotion, None) if talk.emotion else None
        return talk.trace if self.config.supervise == "trace" else None

    def _sound(self, turn: Spoken, task: Task, random: np.random.Generator) -> Sound:
        if self.config.heard == "transcript":
            return Sound(turn.text, None)
        clip, emotion = turn.clip, turn.emotion
        if self.config.heard == "shuffled":
            clip = self.strangers[random.integers(len(self.strangers))]
            emotion = clip.emotion
        borrows = clip is None and task == "empathy" and self.config.borrowed_voices and self.strangers
        voice = self.strangers[random.integers(len(self.strangers))] if borrows else clip
        return Sound(clip or turn.text, self._affect(voice, emotion, random))

    def _affect(
        self, voice: CachedClip | None, emotion: str | None, random: np.random.Generator
    ) -> Tensor | None:
        """A person's vector of the emotion, or that of the voice."""
        if not self.config.affect_vectors:
            return None
        people = self.affects.get(emotion or "")
        if people is not None and (voice is None or random.random() < self.config.person_share):
            return people[random.integers(len(people))]
        return torch.tensor(voice.felt) if voice is not None else None

    def heard(self, clips: Sequence[CachedClip]) -> dict[str, Tensor]:
        """What the core reads of the words of recordings: id -> (N, D), all of them in one batch."""
        once = list({clip.id: clip for clip in clips}.values())
        if not once:
            return {}
        states = self.cache.states()
        rows, valid = pad([states[clip.start : clip.start + clip.frames] for clip in once])
        if self.student.training:
            rows = mask_frames(rows, WordsConfig())
        hearing = self.student.hear(rows, valid).to_spell()
        return {clip.id: self.student.read(hearing, row, self.speller) for row, clip in enumerate(once)}

    def example(self, drawn: DrawnTalk, heard: Mapping[str, Tensor]) -> Example:
        """A conversation as the core reads it, with the reply, and what stands before it, to be learned."""
        target, given = self._target(drawn)
        turns = self.turns(drawn, heard)
        return continued(self.student.core, self.tokenizer, self.system, turns, target, given)

    def _target(self, drawn: DrawnTalk) -> tuple[list[int], int]:
        """Token ids to write, and how many of them the loop writes itself."""
        block, given = self._block(drawn.thought)
        reply = [*self._ids(drawn.talk.target), self.tokenizer.eos_token_id]
        return [*block, *reply] if drawn.replied else block, given

    def turns(self, drawn: DrawnTalk, heard: Mapping[str, Tensor]) -> list[Turn]:
        """The turns of a conversation as the core reads them."""
        turns: list[Turn] = []
        before = drawn.aloud
        for turn in drawn.turns:
            if isinstance(turn, AssistantTurn):
                turns.append(turn)
                continue
            last = turn is drawn.turns[-1]
            content = self._content(turn, before, heard)
            turns.append(UserTurn(content, self._written(drawn) if last else None))
            before = None
        return turns

    def _content(self, turn: Sound, before: CachedClip | None, heard: Mapping[str, Tensor]) -> Tensor | str:
        """As one recording is heard: its affect, then its words, an instruction's first."""
        if isinstance(turn.words, str) and turn.affect is None and before is None:
            return turn.words
        parts = [] if before is None else [heard[before.id]]
        parts.append(
            self.student.embed(self._ids(turn.words)) if isinstance(turn.words, str) else heard[turn.words.id]
        )
        if turn.affect is not None:
            affect = turn.affect.to(self.student.core.embed.weight.device)
            parts.insert(0, self.student.prefix(affect[None])[0])
        return torch.cat([part.to(parts[-1]) for part in parts])

    def _written(self, drawn: DrawnTalk) -> str | None:
        """What stands in writing before the last turn."""
        asked = drawn.talk.asked if drawn.aloud is None else None
        lines = [asked.text if asked else "", drawn.talk.metadata if self.config.metadata else ""]
        return "\n".join(line for line in lines if line) or None

    def _block(self, thought: str | None) -> tuple[list[int], int]:
        """The token ids of a think block, and how many of them the loop writes itself: its opening."""
        if thought is None:
            return [], 0
        return self._ids(f"{THINK_OPEN}{thought}{THINK_CLOSE}"), len(self._ids(THINK_OPEN))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def length(self, talk: Talk) -> int:
        """Positions that it takes in writing, its thought included; heard it takes about as many."""
        turns = [Sound(t.text, None) if isinstance(t, Spoken) else t for t in talk.turns]
        drawn = DrawnTalk(talk, tuple(turns), None, self.thought(talk))
        written = render(self.turns(drawn, {}), self.tokenizer, self.system)
        return sum(map(len, written)) + len(self._target(drawn)[0])

    def losses(self, chosen: Sequence[Talk], random: np.random.Generator) -> dict[str, Tensor]:
        """Mean cross-entropy of all that is learned, in one forward pass; how many tokens were read."""
        core, drawn = self.student.core, [self.draw(talk, random) for talk in chosen]
        heard = self.heard([clip for one in drawn for clip in one.clips()])
        inputs, valid, labels = collate([self.example(one, heard) for one in drawn])
        learned = labels != IGNORED
        logits = core.logits(read(core, inputs, valid, self.prompt)[learned]).float()  # (M, V)
        return {"affect": F.cross_entropy(logits, labels[learned]), "tokens": valid.sum()}


def portions(talks: Sequence[Talk], shares: Sequence[tuple[Task, float]]) -> list[Talk]:
    """As many conversations as there are, in the shares of their tasks: some come twice, some not at all."""
    by_task = {task: [talk for talk in talks if talk.task == task] for task, _ in shares}
    wanted = {task: share for task, share in shares if by_task[task]}
    chosen: list[Talk] = []
    for task, share in wanted.items():
        found = sorted(by_task[task], key=lambda talk: content_id("portions", talk.id))
        count = round(share / sum(wanted.values()) * len(talks))
        chosen += [found[i % len(found)] for i in range(count)]
    return chosen


def train_affect(
    task: AffectTask,
    talks: Sequence[Talk],
    replay: AlignTask,
    spoken: StateCache,
    out: Path,
    origin: str,
    precision: torch.dtype = torch.bfloat16,
    world: World = ALONE,
    guard: bool = True,
) -> None:
    """Train the student on the conversations of split train, in place; see `train_align`.

    Args:
        replay: draws what is replayed, of `spoken`'s clips.
        origin: names the parts that the student began as, and whose vectors voices have; a checkpoint of
            another origin is refused.
        guard: refuse a stage that costs words, where the bridge spells.

    Raises: DataError where no conversation fits; TrainingError where too many words are lost.
    """
    student, config, schedule = task.student, task.config, task.config.schedule
    lengths = {talk.id: task.length(talk) for talk in talks}
    fits = [talk for talk in talks if lengths[talk.id] <= config.most_tokens and task.teaches(talk)]
    learned = portions([talk for talk in fits if talk.split == "train"], config.shares)
    if not learned:
        raise DataError(
            f"none of {len(talks)} conversations is of split train and fits into {config.most_tokens} tokens",
            "build more rows of stage 1-2: harken data build",
        )
    clips = [clip for clip in spoken.clips if clip.split == "train" and clip.role != "instruction"]
    pieces = task.speller.pieces if task.speller else None
    batches = Batches(spoken, clips, pieces, config.replay_s, schedule.seed)
    words = measures_on_dev(replay, spoken, precision, most=120)
    has_words = any(clip.split == "dev" and clip.role == "user" for clip in spoken.clips)

    def evaluate() -> dict[str, float]:
        with autocast(student, precision):
            found = losses_on(task, [talk for talk in fits if talk.split == "dev"])
        return found | (words() if has_words else {})

    guards = (WordsGuard(words),) if guard and has_words and pieces is not None else ()
    whose = identity(
        "affect", config, origin=origin, system=task.system, talks=learned, clips=[c.id for c in clips]
    )
    bins = Bins([lengths[talk.id] for talk in learned], config.batch_tokens, schedule.seed)
    objective = _objective(task, learned, bins, replay, batches, precision)
    train(objective, schedule, out, whose, usual(evaluate, *guards), world)


def _objective(
    task: AffectTask,
    learned: Sequence[Talk],
    bins: Bins,
    replay: AlignTask,
    batches: Batches,
    precision: torch.dtype,
) -> Objective:
    """A batch of conversations of like length, and one that is replayed."""
    config = task.config
    seed, weight = config.schedule.seed, config.replay_weight

    def losses_at(number: int) -> Losses:
        again = batch_losses(replay, batches, number, config.repeat_share, precision)
        found = {"loss": weight * again["loss"], "replay": again["loss"], "words": again["repeat"]}
        found |= {name: again[name] for name in ("clips", "audio_s")}
        if weight == 1:
            return found
        with autocast(task.student, precision):
            random = np.random.default_rng([seed, number])
            of_talks = task.losses([learned[i] for i in bins.at(number)], random)
        return found | of_talks | {"loss": found["loss"] + (1 - weight) * of_talks["affect"]}

    def rows_at(number: int) -> list[str]:
        again = [clip.id for clip in batches.clips_at(number)]
        return again + [learned[i].id for i in bins.at(number)] * (weight < 1)

    return Objective(task.student, losses_at, rows_at)


def losses_on(task: AffectTask, talks: Sequence[Talk], most: int = 32, batch: int = 8) -> dict[str, float]:
    """Mean loss of each task's conversations, up to `most` of them, evenly chosen and always drawn alike."""
    found: dict[str, float] = {}
    for name in AFFECT_TASKS:
        of_task = [talk for talk in talks if talk.task == name]
        chosen = of_task[:: max(1, len(of_task) // most)][:most]
        losses = [
            float(task.losses(chosen[i : i + batch], np.random.default_rng([i]))["affect"])
            for i in range(0, len(chosen), batch)
        ]
        if losses:
            found[name] = sum(losses) / len(losses)
    return found
