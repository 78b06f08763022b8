"""Stage 2's `joint` as `harken train joint` runs it: what it begins with, learns from and leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from harken.checkpoint import RECIPE, UPDATE, load_text_side
from harken.data.files import write_text
from harken.errors import DataError
from harken.model.own_voice import ReplyStyle
from harken.tensors import save_tensors
from harken.training.affect import AffectTask
from harken.training.affect_config import AffectConfig
from harken.training.affect_rows import Spoken, Talk, affect_rows, rows_folder, talks
from harken.training.affect_stage import needed, new_student, row_states
from harken.training.begun import beginning, leaving
from harken.training.callbacks import Samples
from harken.training.examples import Example
from harken.training.joint import JointConfig, JointStudent, JointTask, Written, train_joint
from harken.training.loop import autocast
from harken.training.low_rank import low_rank_update
from harken.training.sample_replies import sample_replies
from harken.training.saving import digest
from harken.training.speak import SpeakConfig, SpeakTask
from harken.training.speech_stages import replies_in_units, said_of
from harken.training.speech_units import SpokenReply
from harken.training.stage_parts import Run, felt_vectors, people, precision, speller, states
from harken.training.stage_parts import spoken as spoken_clips
from harken.training.states import CachedClip, StateCache
from harken.training.thoughts import kept_thoughts
from harken.unit_checkpoint import SPEAK, UNIT_FILES, codec_voices, hash_of, load_speak, save_speak

if TYPE_CHECKING:
    from harken.data.speech import Clip
    from harken.model.core import Core

SPEAKS = (SPEAK, *UNIT_FILES)
"""What the stage builds on beside what hears and writes."""
SAMPLES = 3
"""Dev turns that are answered whenever measurements are taken."""


@dataclass(frozen=True)
class Joining:
    """What the stage trains and learns from, but for what it replays."""

    begun: Path
    student: JointStudent
    style: ReplyStyle
    tasks: Mapping[str, JointTask]
    """Of each split."""
    hearing: Callable[[StateCache], AffectTask]
    """Hears conversations of whoever's states those are."""


def train_joint_stage(run: Run) -> None:
    """The text of replies and their sound, together."""
    config: JointConfig = run.scaled(JointConfig())
    begun = begin(run)
    rows = affect_rows(rows_folder(run.data), run.recipe.languages)
    replay_states, spoken = row_states(run, rows, rows_folder(run.data)), states(run)
    joining = joined(run, begun, spoken, config)
    replay = joining.hearing(replay_states)
    conversations = [
        talk
        for talk in talks(rows, {clip.id: clip for clip in replay_states.clips})
        if replay.length(talk) <= replay.config.most_tokens and replay.teaches(talk)
    ]
    keep = partial(_keep, run, joining)
    samples = sample_replies(keep, run.out / "joint" / "parts", _dev_clips(run))
    files = [(begun / name).read_bytes() for name in _parts(run)]
    origin = digest([run.recipe.system, people(run), *files])
    train_joint(
        joining.tasks["train"], joining.tasks["dev"], replay, conversations, config, run.out / "joint",
        origin, precision(), run.world, (Samples(samples),),
    )  # fmt: skip
    if run.world.first:
        with leaving(run, "joint") as folder:
            keep(folder)


def begin(run: Run) -> Path:
    """The parts that the stage begins with."""
    return run.world.made(lambda: beginning(run, "joint", _parts(run)))


def _parts(run: Run) -> tuple[str, ...]:
    return (*needed(run.recipe), *SPEAKS)


def joined(run: Run, begun: Path, spoken: StateCache, config: JointConfig) -> Joining:
    """Replies in text and units, on what Think makes of them. Args: spoken: whom they answer."""
    replies, _ = run.world.made(lambda: replies_in_units(run))
    tokenizer, core = load_text_side(run.recipe)
    speak, style = load_speak(run.recipe, begun, core)
    settings = AffectConfig(schedule=config.schedule, supervise="trace", other_voice_share=0.0)
    listener, pieces = new_student(run, run.recipe, begun, settings)
    listener.requires_grad_(False).eval()  # nothing that is heard is learned
    affects, spelling = felt_vectors(run), speller(pieces)

    def hearing(cache: StateCache, settings: AffectConfig = settings) -> AffectTask:
        return AffectTask(listener, spelling, tokenizer, run.recipe.system, cache, affects, settings)

    torch.manual_seed(config.schedule.seed)
    student = JointStudent(listener.core, speak)
    listener.to(run.world.device)
    student.to(run.world.device)
    answering = hearing(spoken, replace(settings, direct_share=1.0))
    tasks = run.world.made(lambda: _tasks(run, student, answering, replies, spoken, config))
    return Joining(begun, student, style, tasks, hearing)


def _tasks(
    run: Run,
    student: JointStudent,
    answering: AffectTask,
    replies: Sequence[SpokenReply],
    spoken: StateCache,
    config: JointConfig,
) -> dict[str, JointTask]:
    """Of each split. Raises DataError where one has no reply to somebody in a voice that Speak has."""
    clips, voices = {clip.id: clip for clip in spoken.clips}, codec_voices(run.trained)
    settings = replace(SpeakConfig(), schedule=config.schedule, steps_a_batch=config.steps_a_batch)
    tasks = {}
    for split in ("train", "dev"):
        answers = [r for r in replies if r.split == split and r.before and r.voice in voices]
        if not answers:
            raise DataError(
                f"no reply of split {split} answers a user", "render some: harken data render --replies"
            )
        said = said_of(answers, answering.tokenizer, student.speak, voices)
        drawn = [_talk(reply, clips) for reply in answers]
        written = [
            Written(_example(answering, talk, number).labels.cpu()) for number, talk in enumerate(drawn)
        ]
        shared = kept_thoughts(
            run.out / "joint" / f"think-{split}-{thinks(run, clips, answers)}.f16",
            [len(one.labels) for one in written],
            student.core.width,
            partial(_think, student.core, answering, drawn),
        )
        speaking = SpeakTask(student.speak, student.core.embed, said, shared, settings)
        tasks[split] = JointTask(student, speaking, written, shared, answering.prompt)
    return tasks


def thinks(run: Run, clips: Collection[str], answers: Sequence[SpokenReply]) -> str:
    """Names what is thought of replies: by which parts and prompt, what is heard, and of which replies.

    Args: clips: the ids of those that are heard.
    """
    parts = [hash_of(run.out / "joint" / "begun" / name) for name in needed(run.recipe)]
    read = [(reply.id, reply.before, reply.text) for reply in answers]
    return digest([run.recipe.system, people(run), sorted(clips), parts, read])


def _talk(reply: SpokenReply, clips: Mapping[str, CachedClip]) -> Talk:
    """A reply with what it answers: heard where somebody spoke it, else in writing."""
    clip = clips.get(reply.id.removesuffix("-reply") + "-user")
    said = Spoken(reply.before or "", clip.emotion if clip else None, clip)
    return Talk(reply.id, "empathy", reply.split, (said,), None, "", None, reply.text)


@torch.no_grad()
def _example(answering: AffectTask, talk: Talk, number: int) -> Example:
    """The conversation as the core reads it, drawn by its number."""
    with torch.device(answering.student.core.embed.weight.device):
        drawn = answering.draw(talk, np.random.default_rng([number]))
        return answering.example(drawn, answering.heard(drawn.clips()))


@torch.no_grad()
def _think(core: Core, answering: AffectTask, drawn: Sequence[Talk], number: int) -> Tensor:
    """What Think makes of a conversation, (L, D)."""
    inputs = _example(answering, drawn[number], number).inputs
    with autocast(core, precision()):
        shared, _ = core.think(inputs[None].to(core.embed.weight.dtype))
    return shared[0]


def _dev_clips(run: Run) -> list[Clip]:
    clips = spoken_clips(run.data, run.recipe.languages)
    return [clip for clip in clips if clip.split == "dev" and clip.role == "user"][:SAMPLES]


def _keep(run: Run, joining: Joining, folder: Path) -> None:
    """Write the parts as they are now, what was not trained as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in joining.begun.iterdir():
        if file.name not in (SPEAK, UPDATE):
            shutil.copyfile(file, folder / file.name)
    write_text(folder / RECIPE, run.recipe.model_dump_json(indent=2) + "\n")
    save_speak(folder, joining.student.speak, joining.style)
    save_tensors(folder / UPDATE, low_rank_update(joining.student.core))
