"""Stage 1-1: the teacher answers the words, of a text query or of a recording's transcript.

The answers are what a spoken model is aligned to: from the same words heard, the same answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harken.data.rows import Row, Teacher, derive
from harken.data.steps import replies
from harken.data.steps.base import Dropped, Resources
from harken.data.steps.prompts import RESPOND
from harken.data.steps.teaching import (
    CUT_OFF,
    DETAIL,
    LANGUAGES,
    LLM_ERROR,
    NO_LANGUAGE,
    NO_WORDS,
    Fault,
    TaughtStep,
    complete,
    conversation,
    draw,
    is_query,
    teacher,
)
from harken.data.workspace import Workspace
from harken.llm.base import LLM, Completion, LLMError, Sampling
from harken.llm.templates import render


class Respond(TaughtStep):
    """Source rows -> the same, and rows of task "respond"."""

    step: Literal["respond"] = "respond"
    max_tokens: int = 128
    keep_human: bool = False
    """Where a source has an answer that a person gave, take it instead of a teacher's."""

    def open(self, resources: Resources) -> RespondStep:
        return RespondStep(self, resources.llm(self.llm), resources.seed)


@dataclass(frozen=True)
class Answer:
    """What is said, and who wrote it; None is a person."""

    text: str
    teacher: Teacher | None


@dataclass(frozen=True)
class RespondStep:
    """The opened step."""

    config: Respond
    llm: LLM
    seed: int

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        queries = [row for row in rows if is_query(row)]
        by_people = {row.id: row.target for row in queries if self.config.keep_human and row.target}
        asked = [row for row in queries if row.id not in by_people]
        answers = draw(
            self.config, self.seed, len(asked), lambda these, how: self._once([asked[i] for i in these], how)
        )
        found: dict[str, Answer | Fault] = {key: Answer(text, None) for key, text in by_people.items()}
        found |= dict(zip([row.id for row in asked], answers, strict=True))
        for row in rows:
            yield row
            answer = found.get(row.id)
            if isinstance(answer, Fault):
                yield Dropped(row, self.config.step, answer.reason, answer.detail)
            elif answer is not None:
                yield derive(
                    row,
                    self.config.made_with(self.llm),
                    task="respond",
                    stage="1-1",
                    target=answer.text,
                    teacher=answer.teacher,
                )

    def _once(self, rows: Sequence[Row], sampling: Sampling) -> list[Answer | Fault]:
        can_be = [row for row in rows if row.lang in LANGUAGES and row.last_user.text.strip()]
        prompts = [
            render(
                self.llm.template, RESPOND[row.lang].messages(not self.llm.thinks) + conversation(row.turns)
            )
            for row in can_be
        ]
        found = {
            row.id: self._judged(row, completion, sampling)
            for row, completion in zip(can_be, complete(self.llm, prompts, sampling), strict=True)
        }
        return [found.get(row.id, _cannot_be(row)) for row in rows]

    def _judged(self, row: Row, completion: Completion | LLMError, sampling: Sampling) -> Answer | Fault:
        if isinstance(completion, LLMError):
            return Fault(LLM_ERROR, completion.message)
        text, prompt = completion.text.strip(), RESPOND[row.lang]
        if completion.finish == "length":
            return Fault(CUT_OFF, text[:DETAIL])
        said, longest = row.last_user.text, self.config.max_words
        if reason := replies.fault(text, row.lang, said, longest, prompt.answers):
            return Fault(reason, text[:DETAIL])
        return Answer(text, teacher(self.llm, prompt, sampling))


def _cannot_be(row: Row) -> Fault:
    return Fault(NO_LANGUAGE, row.lang) if row.lang not in LANGUAGES else Fault(NO_WORDS)
