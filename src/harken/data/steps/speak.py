"""*speak*: gives a voice to users' turns that are only written, and to the replies.

A user speaks in one voice of the split's cast through a whole dialogue, and as the annotated emotion asks;
the assistant has one voice a language, and answers in the style that fits what it heard. Who annotated the
emotion stays as it was: the voice only acts it. Making and checking the sound is
`harken.data.speech_making`'s.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from harken.data.rows import TASKS, Row, Speaker, Task, Turn, content_id
from harken.data.speech_making import Speech, SpeechMaker, Unspoken, side_by_side
from harken.data.steps.base import Dropped, Resources, Step, StepConfig
from harken.data.workspace import Workspace
from harken.errors import DataError
from harken.voices.styles import reply_style, user_style

_SPOKEN = tuple(task for task in TASKS[1:] if task != "reflect")  # those are learned in writing


class Speak(StepConfig):
    """Speech for what is only written."""

    computes: ClassVar[bool] = True

    step: Literal["speak"] = "speak"
    speech: Speech = Speech()
    tasks: tuple[Task, ...] = _SPOKEN
    """Tasks whose users' turns are spoken; others pass. `source` alone, as the first step, speaks queries so
    that the steps behind it hear them."""
    reply_tasks: tuple[Task, ...] = _SPOKEN
    """Of those, the tasks whose targets are spoken as well."""

    def open(self, resources: Resources) -> Step:
        return SpeakStep(self, self.speech.open())


@dataclass(frozen=True)
class SpeakStep:
    """The step, with what speaks."""

    config: Speak
    maker: SpeechMaker

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        def speak(row: Row) -> Row | Dropped:
            try:
                return self._spoken(row, workspace) if row.task in self.config.tasks else row
            except Unspoken as fault:
                return Dropped(row, self.config.step, fault.reason, fault.detail)
            except DataError as error:  # nobody speaks in this split and language
                return Dropped(row, self.config.step, "no voice", error.message)

        yield from side_by_side(speak, rows)

    def _spoken(self, row: Row, workspace: Workspace) -> Row:
        turns = [
            self._user(row, turn, workspace) if turn.role == "user" and turn.audio is None else turn
            for turn in row.turns
        ]
        if row.target and row.task in self.config.reply_tasks:
            if turns[-1].role == "assistant" and turns[-1].text == row.target:
                turns.pop()  # written, not yet spoken
            turns.append(self._reply(row, row.target, workspace))
        return replace(row, turns=tuple(turns))

    def _user(self, row: Row, turn: Turn, workspace: Workspace) -> Turn:
        voice = self._voice_of(row, turn.speaker)
        said = self.maker.say(turn.text, row.lang, voice, user_style(turn.emotion), workspace)
        gender = turn.speaker.gender or self.config.speech.voices.gender(voice)
        speaker = replace(turn.speaker, id=turn.speaker.id or voice, gender=gender)
        return replace(turn, audio=said.audio, seconds=said.seconds, speaker=speaker)

    def _voice_of(self, row: Row, speaker: Speaker) -> str:
        """A voice for a speaker, or for whoever speaks in a group of rows: always the same one."""
        cast = self.config.speech.voices.cast(row.split, row.lang, speaker.gender)
        return random.Random(content_id("voice", speaker.id or row.group)).choice(cast)

    def _reply(self, row: Row, text: str, workspace: Workspace) -> Turn:
        voices = self.config.speech.voices.reply_voices
        if row.lang not in voices:
            raise Unspoken("no voice", f"no reply voice speaks {row.lang!r}")
        name, style = reply_style(row.last_user.emotion)
        said = self.maker.say(text, row.lang, voices[row.lang], style, workspace)
        return Turn("assistant", text, said.audio, said.seconds, style=name)
