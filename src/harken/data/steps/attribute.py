"""The IEAT step (the paper's 2.2): the teacher's think block is opened with how the speaker feels and the
beginning of why, and the teacher reasons on from it, closes the block and answers.

What comes of it is a row of task "empathy": the reply is its target; the trace is apart and never spoken.
How injections read is `injections`, how a trace is judged `traces`, how a reply is judged `replies`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harken.data.rows import Row, Teacher, content_id, derive, with_last_user
from harken.data.steps import replies, traces
from harken.data.steps.base import Dropped, Resources
from harken.data.steps.injections import FEELINGS, QUOTES, injection, openings, shown
from harken.data.steps.prompts import ATTRIBUTE
from harken.data.steps.teaching import (
    DETAIL,
    LANGUAGES,
    NO_LANGUAGE,
    Fault,
    TaughtStep,
    Thought,
    conversation,
    draw,
    is_query,
    teacher,
    think,
)
from harken.data.workspace import Workspace
from harken.llm.base import LLM, Sampling

CONTRADICTS = "trace contradicts the injected emotion"
LEAKS = "reply leaks the injection"
NO_CAUSE = "trace too short to hold a cause"
AS_THE_SPEAKER = "trace speaks as the speaker"
NOT_IN_THE_WORDS = "cause not in the words"


class Attribute(TaughtStep):
    """Source rows with an emotion -> empathy rows."""

    step: Literal["attribute"] = "attribute"
    keep_human: bool = False
    """Where a source has a person's answer, that is the target, and the teacher writes the trace alone."""
    keep_cause: bool = False
    """With `keep_human`: where people marked the cause as well, or found nothing felt, the trace quotes it,
    and no teacher is asked."""

    def open(self, resources: Resources) -> AttributeStep:
        return AttributeStep(self, resources.llm(self.llm), resources.seed)


@dataclass(frozen=True)
class Attributed:
    """What the teacher, or people, thought and said of a row."""

    injection: str
    thought: Thought
    teacher: Teacher | None


@dataclass(frozen=True)
class AttributeStep:
    """The opened step."""

    config: Attribute
    llm: LLM
    seed: int

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        felt = [row for row in rows if is_query(row) and row.last_user.emotion in FEELINGS["en"]]
        found: dict[str, Attributed | Fault] = {}
        if self.config.keep_human and self.config.keep_cause:
            found = {row.id: by_people(row) for row in felt if _is_told(row)}
        asked = [row for row in felt if row.id not in found]
        answers = attributed(self.llm, self.config, self.seed, asked, self.config.keep_human)
        found |= dict(zip([row.id for row in asked], answers, strict=True))
        for row in rows:
            yield row
            answer = found.get(row.id)
            if isinstance(answer, Fault):
                yield Dropped(row, self.config.step, answer.reason, answer.detail)
            elif answer is not None:
                yield answered(row, self.config.made_with(self.llm), answer, task="empathy")


def _is_told(row: Row) -> bool:
    """Did people say all: the answer, and the cause of what is felt?"""
    known = bool(row.last_user.cause) or row.last_user.emotion == "neutral"
    return row.lang in LANGUAGES and bool(row.target) and known


def by_people(row: Row) -> Attributed:
    """The cause as people marked it, quoted after an injection that opens a quotation; their answer."""
    said = row.last_user
    cause = min((cause.span for cause in said.cause), key=len, default=said.text)
    quoting = [opening for opening in openings(said.emotion or "neutral", row.lang) if opening[-1] in QUOTES]
    opening = random.Random(content_id("injection", row.id)).choice(quoting)
    return Attributed(opening, Thought(f"{opening}{cause}{QUOTES[opening[-1]]}", row.target or ""), None)


def attributed(
    llm: LLM, config: TaughtStep, seed: int, rows: Sequence[Row], keep_human: bool = False
) -> list[Attributed | Fault]:
    """For each row, whose last user's turn has an emotion, what the teacher thought and said, or why not.

    Args: keep_human: a target that a row has already is what is said.
    """

    def once(numbers: list[int], sampling: Sampling) -> list[Attributed | Fault]:
        these = [rows[i] for i in numbers]
        found: dict[str, Attributed | Fault] = {}
        for answered in (False, True):
            part = [row for row in these if bool(keep_human and row.target) == answered]
            made = _attributed_once(llm, config, sampling, part, answered)
            found |= dict(zip([row.id for row in part], made, strict=True))
        return [found[row.id] for row in these]

    return draw(config, seed, len(rows), once)


def _attributed_once(
    llm: LLM, config: TaughtStep, sampling: Sampling, rows: Sequence[Row], answered: bool
) -> list[Attributed | Fault]:
    """Args: answered: the rows' targets are what is said; the teacher only thinks."""
    known = [row for row in rows if row.lang in LANGUAGES]
    opened = [injection(row.last_user.emotion or "neutral", row.lang, row.id) for row in known]
    asked = [
        ATTRIBUTE[row.lang].messages(not llm.thinks, shown(row.lang)) + conversation(row.turns)
        for row in known
    ]
    thoughts = think(llm, list(zip(asked, opened, strict=True)), sampling, replies=not answered)
    found: dict[str, Attributed | Fault] = {}
    for row, opening, thought in zip(known, opened, thoughts, strict=True):
        if isinstance(thought, Fault):
            found[row.id] = thought
            continue
        reason = trace_fault(row, opening, thought.trace)
        if answered:
            thought = Thought(thought.trace, row.target or "")
        else:
            reason = reason or reply_fault(row, opening, thought.reply, config.max_words)
        if reason:
            found[row.id] = Fault(reason, f"{thought.trace} -> {thought.reply}"[:DETAIL])
        else:
            found[row.id] = Attributed(opening, thought, teacher(llm, ATTRIBUTE[row.lang], sampling))
    return [found.get(row.id, Fault(NO_LANGUAGE, row.lang)) for row in rows]


def trace_fault(row: Row, opening: str, trace: str) -> str | None:
    """Why a think block cannot be kept; None where it can."""
    emotion = row.last_user.emotion or "neutral"
    quote = opening[-1] if opening[-1] in QUOTES else ""
    continuation = quote + trace.removeprefix(opening)
    cause = quote + traces.named_cause(trace, opening)
    if not traces.names_a_cause(continuation, row.lang):
        return NO_CAUSE
    if not replies.in_language(continuation, row.lang):
        return replies.OTHER_LANGUAGE
    if replies.loops(continuation, row.lang):
        return replies.LOOP
    if traces.contradicts(continuation, emotion, row.lang):
        return CONTRADICTS
    if traces.speaks_as_the_speaker(cause, row.lang):
        return AS_THE_SPEAKER
    if not traces.rests_on(row, cause):
        return NOT_IN_THE_WORDS
    return None


def reply_fault(row: Row, opening: str, reply: str, max_words: int) -> str | None:
    """Why a teacher's reply cannot be kept; None where it can."""
    if traces.leaks(reply, opening):
        return LEAKS
    if replies.unfit(reply, row.last_user.emotion or "neutral", row.lang):
        return replies.UNFIT
    shown = ATTRIBUTE[row.lang].answers
    return replies.fault(reply, row.lang, row.last_user.text, max_words, shown)


def answered(row: Row, maker: str, answer: Attributed, number: int = 0, **changes: Any) -> Row:
    """The row that follows from `row`; a cause that nobody annotated is the words that the trace names."""
    thought = answer.thought
    made = derive(
        row,
        maker,
        number,
        stage="1-2",
        injection=answer.injection,
        trace=thought.trace,
        target=thought.reply,
        teacher=answer.teacher,
        **changes,
    )
    if row.last_user.cause:
        return made
    cause = traces.named_cause(thought.trace, answer.injection)
    return with_last_user(made, cause=traces.causes_in(row.turns, cause, row.lang))
