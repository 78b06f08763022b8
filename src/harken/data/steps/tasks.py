"""HumDial's tasks 1 and 2 from dialogues: how the emotion moved, and what lies behind it.

The teacher is shown the turns with their labels, and its think block is opened with them (as in the IEAT
step); the row itself shows only the conversation, and asks in one of a few ways until the instruct step gives
it words of its own. The trace is kept apart from the answer.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Literal

from pydantic import Field

from harken.data.rows import Instruction, Row, Task, Teacher, content_id, derive
from harken.data.steps import replies, task_prompts, traces
from harken.data.steps.base import Dropped, Resources
from harken.data.steps.injections import FEELINGS
from harken.data.steps.prompts import Prompt
from harken.data.steps.task_prompts import ASKED, REASONING, TRAJECTORY
from harken.data.steps.teaching import (
    DETAIL,
    LANGUAGES,
    Fault,
    TaughtStep,
    Thought,
    draw,
    teacher,
    think,
)
from harken.data.steps.told_tasks import is_told, told
from harken.data.workspace import Workspace
from harken.llm.base import LLM, Sampling
from harken.llm.templates import Message

PROMPTS = task_prompts.PROMPTS
"""What the teacher is told; the build keeps it beside the shards."""

EMOTION_MISSING = "an emotion of the history is missing"
EMOTION_ADDED = "an emotion that was not there"
OUT_OF_ORDER = "emotions out of order"
EARLY_TURNS_UNUSED = "early turns are not used"
SPEAKS_OF_THE_SPEAKER = "speaks of the speaker, not to them"

_PROMPTS = {"trajectory": TRAJECTORY, "reasoning": REASONING}
_OPENINGS = {
    ("trajectory", "en"): "In order the speaker sounded {order}. What happened is that",
    ("trajectory", "zh"): "对方先是{order}。事情是",
    ("reasoning", "en"): "At the end the speaker sounds {last}. It began with",
    ("reasoning", "zh"): "最后对方听起来{last}。起因是",
}
_THEN = {"en": ", then ", "zh": "，然后"}
_LABELLED = {"en": "{0} ({1}) {2}", "zh": "{0}（{1}）{2}"}
_SAID_OF_IT = {"en": 2, "zh": 3}  # content words in a run of four words or more
_FRIEND = {"en": "Friend: {0}", "zh": "朋友：{0}"}


class Tasks(TaughtStep):
    """Empathy rows of several turns -> the same, and rows of tasks "trajectory" and "reasoning"."""

    step: Literal["tasks"] = "tasks"
    max_words: int = 90
    tasks: tuple[Literal["trajectory", "reasoning"], ...] = ("trajectory", "reasoning")
    share: float = Field(default=1.0, ge=0, le=1)
    """Of the conversations, the share that each task is asked about, chosen by their ids."""
    told: bool = False
    """Where people marked all that is asked about, answers are put together from it; no teacher is asked."""
    max_turns: int = 5
    """Of the user; longer conversations are left alone, as a small teacher loses count."""

    def open(self, resources: Resources) -> TasksStep:
        return TasksStep(self, resources.llm(self.llm), resources.seed)


@dataclass(frozen=True)
class Written:
    """What was asked, and what the teacher, or a rule from what people marked, thought and answered."""

    question: str
    injection: str
    thought: Thought
    teacher: Teacher | None


@dataclass(frozen=True)
class TasksStep:
    """The opened step."""

    config: Tasks
    llm: LLM
    seed: int

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        yield from rows
        jobs = [
            (row, task)
            for row in rows
            if self._fits(row)
            for task in self.config.tasks
            if random.Random(content_id(task, row.id)).random() < self.config.share
        ]
        jobs = [job for job in jobs if _has_an_answer(*job)]
        by_people = [job for job in jobs if self.config.told and is_told(*job)]
        asked = [job for job in jobs if job not in by_people]
        answers = [_told(*job) for job in by_people] + draw(
            self.config, self.seed, len(asked), lambda these, how: self._once([asked[i] for i in these], how)
        )
        for (row, task), answer in zip([*by_people, *asked], answers, strict=True):
            if isinstance(answer, Fault):
                yield Dropped(row, f"{self.config.step}: {task}", answer.reason, answer.detail)
            else:
                yield derive(
                    row,
                    self.config.made_with(self.llm),
                    ("trajectory", "reasoning").index(task),
                    task=task,
                    stage="1-2",
                    instruction=Instruction(answer.question),
                    injection=answer.injection,
                    trace=answer.thought.trace,
                    target=answer.thought.reply,
                    teacher=answer.teacher,
                )

    def _fits(self, row: Row) -> bool:
        emotions = [turn.emotion for turn in row.turns if turn.role == "user"]
        in_range = 2 <= len(emotions) <= self.config.max_turns
        return row.task == "empathy" and row.lang in LANGUAGES and in_range and None not in emotions

    def _once(self, jobs: Sequence[tuple[Row, Task]], sampling: Sampling) -> list[Written | Fault]:
        asked = [
            ([*_PROMPTS[task][row.lang].messages(not self.llm.thinks), question(row)], opening(row, task))
            for row, task in jobs
        ]
        answers: list[Written | Fault] = []
        for (row, task), (_, injected), thought in zip(
            jobs, asked, think(self.llm, asked, sampling), strict=True
        ):
            if isinstance(thought, Fault):
                answers.append(thought)
            elif reason := fault(row, task, injected, thought, self.config.max_words):
                answers.append(Fault(reason, f"{thought.trace} -> {thought.reply}"[:DETAIL]))
            else:
                by = teacher(self.llm, _PROMPTS[task][row.lang], sampling)
                dice = random.Random(content_id("asked", task, row.id))
                answers.append(Written(dice.choice(ASKED[task, row.lang]), injected, thought, by))
        return answers


def _has_an_answer(row: Row, task: Task) -> bool:
    """A trajectory is of more than one emotion; a reason is for a feeling."""
    return len(set(felt(row))) > 1 if task == "trajectory" else felt(row)[-1] != "neutral"


def _told(row: Row, task: Task) -> Written:
    question, thought = told(row, task)
    return Written(question, thought.trace, thought, None)


def question(row: Row) -> Message:
    """The conversation for the teacher's eyes: the user's turns numbered, each with how it sounded."""
    lines: list[str] = []
    number = 0
    for turn in row.turns:
        if turn.role == "user":
            number += 1
            lines.append(_LABELLED[row.lang].format(number, _adjective(turn.emotion, row.lang), turn.text))
        else:
            lines.append(_FRIEND[row.lang].format(turn.text))
    return Message("user", "\n".join(lines))


def felt(row: Row) -> list[str]:
    """The emotions of the user's turns in order, each change once."""
    return [label for label, _ in groupby(t.emotion or "neutral" for t in row.turns if t.role == "user")]


def opening(row: Row, task: Task) -> str:
    """What the think block opens with: the labels, and the beginning of what they go back to."""
    adjectives = [_adjective(label, row.lang) for label in felt(row)]
    return _OPENINGS[task, row.lang].format(order=_THEN[row.lang].join(adjectives), last=adjectives[-1])


def fault(row: Row, task: Task, injected: str, thought: Thought, max_words: int) -> str | None:
    """Why a think block and its answer cannot be kept; None where they can."""
    continuation = thought.trace.removeprefix(injected)
    if not replies.in_language(continuation, row.lang):
        return replies.OTHER_LANGUAGE
    if replies.loops(continuation, row.lang):
        return replies.LOOP
    if reason := replies.fault(thought.reply, row.lang, "", max_words):
        return reason
    if traces.announces(thought.reply):
        return SPEAKS_OF_THE_SPEAKER
    if any(_echoes(text, row, _PROMPTS[task][row.lang]) for text in (continuation, thought.reply)):
        return replies.ECHO
    if task == "trajectory":
        return order_fault(thought.reply, felt(row), row.lang)
    early = " ".join(turn.text for turn in row.turns[:-1] if turn.role == "user")
    used = set(traces.content_words(thought.reply, row.lang)) & set(traces.content_words(early, row.lang))
    return None if used else EARLY_TURNS_UNUSED


def _echoes(text: str, row: Row, prompt: Prompt) -> bool:
    """Does a text tell of what happened in the prompt's examples, or say of it what they say?"""
    own = " ".join(
        [*(turn.text for turn in row.turns), *(_adjective(label, row.lang) for label in felt(row))]
    )
    happened = " ".join(re.findall(r"^\d+ ?[(（][^)）]*[)）](.*)$", prompt.text, re.MULTILINE))
    if len(traces.borrowed(text, row.lang, own, happened)) >= 2:
        return True
    told = replies.words(text)
    start, _, length = replies.longest_run(told, replies.words(prompt.text))
    run = ("" if row.lang == "zh" else " ").join(told[start : start + length])
    said = traces.borrowed(run, row.lang, f"{own} {_frame(prompt, row.lang)}", run)
    return length >= 4 and len(said) >= _SAID_OF_IT[row.lang]


@cache
def _frame(prompt: Prompt, lang: str) -> str:
    """What several of a prompt's examples answer with: how a thing is put, not what happened."""
    of_examples = Counter(word for told in prompt.thoughts for word in set(traces.content_words(told, lang)))
    return " ".join(word for word, examples in of_examples.items() if examples > 1)


def order_fault(answer: str, emotions: Sequence[str], lang: str) -> str | None:
    """Does an answer name every emotion of the history, none besides, and in the order in which they came?"""
    named = traces.emotions_in_order(answer, lang)
    if set(emotions) - set().union(*named, ()):
        return EMOTION_MISSING
    if any(not labels & set(emotions) for labels in named):
        return EMOTION_ADDED
    place = iter(named)
    in_order = all(any(label in labels for labels in place) for label in emotions)
    return None if in_order else OUT_OF_ORDER


def _adjective(label: str | None, lang: str) -> str:
    return FEELINGS[lang][label or "neutral"][0]
