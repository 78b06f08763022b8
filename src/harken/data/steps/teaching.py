"""How a step asks its teacher: settings, prompts in, think blocks and replies out, or why there is none.

A think block is opened in the prompt with the beginning of a thought, which the teacher goes on with
(`think`), as the IEAT step needs it. What is asked, and what is made of the answer, is each step's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from harken.data.rows import Row, Teacher, Turn
from harken.data.steps.base import StepConfig
from harken.data.steps.prompts import Prompt
from harken.llm.base import LLM, Completion, LLMError, Sampling
from harken.llm.templates import THINK_CLOSE, Message, opened_thought, render, split_thought

T = TypeVar("T")

LANGUAGES = ("en", "zh")
LLM_ERROR = "LLM error"
NEVER_CLOSES = "never closes"
CUT_OFF = "too long"
NO_LANGUAGE = "no prompt in its language"
NO_WORDS = "nothing was said in words"
DETAIL = 400
"""Characters of a refused answer that are kept with the reason."""

_CLOSED = "\n</think>\n\n"


class TaughtStep(StepConfig):
    """A step with a teacher: which, and how it is drawn from."""

    llm: str = "teacher"
    max_tokens: int = 256
    temperature: float = 0.5
    top_p: float = 0.9
    tries: int = 3
    """Answers drawn for a row, with another seed each, before it is dropped."""
    max_words: int = 45
    """Of an answer; of Chinese, half as many characters again."""

    def sampling(self, seed: int) -> Sampling:
        return Sampling(self.max_tokens, self.temperature, self.top_p, seed=seed)


@dataclass(frozen=True)
class Fault:
    """Why nothing came of asking: a reason that a dropped row is given, and details."""

    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Thought:
    """A think block, its injection included, and what is said after it."""

    trace: str
    reply: str


def conversation(turns: Sequence[Turn]) -> list[Message]:
    """Turns as messages."""
    return [Message(turn.role, turn.text) for turn in turns]


def is_query(row: Row) -> bool:
    """Is it a source row that ends with a user's words?"""
    return row.task == "source" and bool(row.turns) and row.turns[-1].role == "user"


def teacher(llm: LLM, prompt: Prompt, sampling: Sampling) -> Teacher:
    """The provenance of a target."""
    return Teacher(llm.name, llm.revision, prompt.sha256, sampling.canonical(), sampling.seed)


def complete(llm: LLM, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
    """As `llm.complete`, but each prompt once, and those with the same beginning one after another: a server
    or an embedded model reads a beginning that it has just read at no cost."""
    once = sorted(set(prompts))
    answers = dict(zip(once, llm.complete(once, sampling), strict=True)) if once else {}
    return [answers[prompt] for prompt in prompts]


def draw(
    config: TaughtStep, seed: int, count: int, once: Callable[[list[int], Sampling], Sequence[T | Fault]]
) -> list[T | Fault]:
    """What `once` makes of items 0 to `count`; what is at fault is drawn again, `tries` times in all.

    Each try has the next seed; the last fault is given. An LLM error is final: clients have tried again.
    """
    found: list[T | Fault] = [Fault("not asked")] * count
    still = list(range(count))
    for number in range(config.tries):
        for i, answer in zip(still, once(still, config.sampling(seed + number)), strict=True):
            found[i] = answer
        still = [i for i in still if _may_be_drawn_again(found[i])]
        if not still:
            break
    return found


def think(
    llm: LLM, asked: Sequence[tuple[list[Message], str]], sampling: Sampling, replies: bool = True
) -> list[Thought | Fault]:
    """For each (messages, injection) the teacher's think block, which begins with it, and its reply.

    A teacher that stops at `</think>`, or before it, is continued once more from there. Without `replies` it
    is stopped there, and what it says is empty.
    """
    if not replies:
        sampling = replace(sampling, stop=(THINK_CLOSE,))
    opened = [opened_thought(render(llm.template, messages), injection) for messages, injection in asked]
    thoughts: list[Thought | Fault] = [
        _read(completion, injection)
        for completion, (_, injection) in zip(complete(llm, opened, sampling), asked, strict=True)
    ]
    if not replies:
        return [t if isinstance(t, Fault) else replace(t, reply="") for t in thoughts]
    silent = {i: t for i, t in enumerate(thoughts) if isinstance(t, Thought) and not t.reply}
    again = [
        opened_thought(render(llm.template, asked[i][0]), thought.trace) + _CLOSED
        for i, thought in silent.items()
    ]
    for (i, thought), completion in zip(silent.items(), complete(llm, again, sampling), strict=True):
        thoughts[i] = _reply(completion, thought)
    return thoughts


def _may_be_drawn_again(answer: object) -> bool:
    return isinstance(answer, Fault) and answer.reason not in (LLM_ERROR, NO_LANGUAGE, NO_WORDS)


def _read(completion: Completion | LLMError, injection: str) -> Thought | Fault:
    if isinstance(completion, LLMError):
        return Fault(LLM_ERROR, completion.message)
    whole = injection + completion.text
    parted = split_thought(whole)
    if completion.finish == "length":
        return Fault(NEVER_CLOSES if parted is None else CUT_OFF, whole[-200:])
    return Thought(*parted) if parted else Thought(whole.strip(), "")


def _reply(completion: Completion | LLMError, thought: Thought) -> Thought | Fault:
    if isinstance(completion, LLMError):
        return Fault(LLM_ERROR, completion.message)
    if completion.finish == "length":
        return Fault(CUT_OFF, completion.text[-200:])
    return replace(thought, reply=completion.text.strip())
