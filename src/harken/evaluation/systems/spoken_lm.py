"""Harken as a system under test: a recipe with its trained parts, as `harken reply` runs it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harken.dialogue.events import Attribution, AudioChunk, Done, Heard
from harken.errors import InputError
from harken.evaluation.systems.base import Answer, Felt, Question, Unanswered

if TYPE_CHECKING:
    from harken.api import Harken, Message
    from harken.dialogue.render import Turn
    from harken.evaluation.writing import Writer


class SpokenSystem:
    """Answers by a Harken, greedily; its voice speaks where sound is wanted.

    Among candidates it takes the one that becomes most probable by what it hears: the log probability after
    the conversation, less that after the question with nothing heard (domain-conditional pointwise mutual
    information; Holtzman et al., 2021, Surface Form Competition). How common, and how long, a candidate is
    does not count. It thinks only where its attribution is asked for, and then before anything else, beside
    its answer.
    """

    concurrency = 1
    ranks = True

    def __init__(self, harken: Harken, name: str, reflect: bool = False, voice: str | None = None) -> None:
        """Args: reflect: it reflects while it replies. voice: by its name, where one was chosen."""
        self.name, self.voice = name, voice
        self._harken, self._reflect = harken, reflect

    def answer(self, question: Question) -> Answer:
        """As of every `System`."""
        try:
            felt = self._felt(question) if question.felt else None
            if question.candidates:
                return Answer(self._likeliest(question), felt=felt)
            return self._replied(question, felt)
        except InputError as error:
            raise Unanswered(error.message, error.hint) from error

    def _replied(self, question: Question, felt: Felt | None) -> Answer:
        voice = None if question.spoken else "none"
        chunks: list[AudioChunk] = []
        done: Done | None = None
        events = self._harken.reply(
            _history(question),
            instruction=question.instruction,
            think="off",
            voice=voice,
            reflect=self._reflect,
        )
        for event in events:
            if isinstance(event, AudioChunk):
                chunks.append(event)
            elif isinstance(event, Done):
                done = event
        assert done is not None, "a reply ends with Done"
        if not done.reply.strip():
            raise Unanswered(f"{self.name} said nothing")
        if not chunks:
            return Answer(done.reply, felt=felt)
        first_ms = done.timings_ms.get("first_audio")
        return Answer(
            done.reply,
            np.concatenate([chunk.samples for chunk in chunks]),
            chunks[0].sample_rate,
            None if first_ms is None else first_ms / 1000,
            felt,
        )

    def _felt(self, question: Question) -> Felt:
        """What is heard in the last turn, and the attribution, without an instruction."""
        heard = None
        for event in self._harken.reply(_history(question), think="before", voice="none"):
            if isinstance(event, Heard):
                heard = event.emotion
            elif isinstance(event, Attribution):
                return Felt(heard, event.emotion, event.cause)
        return Felt(heard)  # the words were not understood

    @cached_property
    def _writer(self) -> Writer:
        from harken.evaluation.writing import Writer

        return Writer(self._harken.model)

    def _likeliest(self, question: Question) -> str:
        from harken.dialogue.render import UserTurn

        unheard = [UserTurn("", question.instruction)]
        heard = self._log_probs(self._turns(question), question.candidates)
        gained = heard - self._log_probs(unheard, question.candidates)
        return question.candidates[int(gained.argmax())]

    def _log_probs(self, turns: Sequence[Turn], answers: Sequence[str]) -> NDArray[np.float64]:
        """Of each answer, all its tokens together, after these turns."""
        encode = self._harken.model.tokenizer.encode
        tokens = [encode(answer, add_special_tokens=False) for answer in answers]
        expected = self._writer.log_probs([self._writer.prompt(turns)] * len(tokens), tokens)
        rows = zip(expected, tokens, strict=True)  # (answer's length, V) each
        return np.array([float(row[range(len(answer)), answer].sum()) for row, answer in rows])

    def _turns(self, question: Question) -> list[Turn]:
        from harken.api import read_audio
        from harken.dialogue.render import AssistantTurn, UserTurn

        turns: list[Turn] = []
        for number, (recording, reply) in enumerate(question.turns, 1):
            last = number == len(question.recordings)
            heard = self._harken.model.hear(read_audio(recording).samples)
            turns.append(UserTurn(heard.embeddings, question.instruction if last else None))
            if reply is not None:
                turns.append(AssistantTurn(reply))
        return turns


def _history(question: Question) -> list[Message]:
    turns: list[Message] = []
    for recording, reply in question.turns:
        turns.append({"role": "user", "audio": recording})
        if reply is not None:
            turns.append({"role": "assistant", "text": reply})
    return turns
