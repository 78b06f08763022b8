"""Harken as a system under test: a recipe with its trained parts, as `harken reply` runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harken.dialogue.events import AudioChunk, Done
from harken.errors import InputError
from harken.evaluation.systems.base import Answer, Question, Unanswered

if TYPE_CHECKING:
    from harken.api import Harken, Message


class SpokenSystem:
    """Answers by a Harken, greedily, without a think block; its voice speaks where sound is wanted."""

    concurrency = 1

    def __init__(self, harken: Harken, name: str) -> None:
        self.name = name
        self._harken = harken

    def answer(self, question: Question) -> Answer:
        """As of every `System`."""
        voice = None if question.spoken else "none"
        chunks: list[AudioChunk] = []
        done: Done | None = None
        try:
            events = self._harken.reply(
                _history(question), instruction=question.instruction, think="off", voice=voice
            )
            for event in events:
                if isinstance(event, AudioChunk):
                    chunks.append(event)
                elif isinstance(event, Done):
                    done = event
        except InputError as error:
            raise Unanswered(error.message, error.hint) from error
        assert done is not None, "a reply ends with Done"
        if not done.reply.strip():
            raise Unanswered(f"{self.name} said nothing")
        if not chunks:
            return Answer(done.reply)
        first_ms = done.timings_ms.get("first_audio")
        return Answer(
            done.reply,
            np.concatenate([chunk.samples for chunk in chunks]),
            chunks[0].sample_rate,
            None if first_ms is None else first_ms / 1000,
        )


def _history(question: Question) -> list[Message]:
    turns: list[Message] = []
    for recording, reply in question.turns:
        turns.append({"role": "user", "audio": recording})
        if reply is not None:
            turns.append({"role": "assistant", "text": reply})
    return turns
