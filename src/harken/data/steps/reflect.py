"""*reflect* (seed 004): what is thought of a reply while it is given, and how a weak beginning is mended.

For each turn of a user that has a good reply, a row of task "reflect": the reply, and a reflection after
every few words of it, the first before any, which says what is needed alone. For a share of them a second row
whose reply begins weakly (generic, cold, off the point), is thought of as such, and then goes on well. Where
the chunks of a reply end is for the core's tokenizer to say when it is learned, so reflections stand at
characters.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field

from harken.data.rows import Reflection, Row, Task, content_id, derive
from harken.data.steps import replies
from harken.data.steps.base import Dropped, Resources
from harken.data.steps.reflect_filters import ELSEWHERE, fault, names_what_was_said, reply_fault
from harken.data.steps.reflect_prompts import (
    REFLECT,
    STOPS,
    need_opening,
    prompt,
    reply_opening,
    shown,
    whole,
)
from harken.data.steps.teaching import (
    CUT_OFF,
    DETAIL,
    LLM_ERROR,
    NO_LANGUAGE,
    Fault,
    TaughtStep,
    complete,
    draw,
    teacher,
)
from harken.data.steps.weak_replies import Kind, Weak, joined, weak_reply
from harken.data.workspace import Workspace
from harken.llm.base import LLM, Completion, LLMError, Sampling

STAGE = "reflect"
_CHARACTER = r"(?:[㐀-鿿]|[^\W㐀-鿿]+)[^\w\s]*"
"""Of Chinese, with the punctuation behind it; or a word of another script."""


class Reflect(TaughtStep):
    """Rows with a reply -> the same, and rows of task "reflect"."""

    step: Literal["reflect"] = "reflect"
    max_tokens: int = 24
    temperature: float = 0.3
    max_words: int = Field(default=7, ge=2)
    """That the teacher writes of either part of a reflection; of Chinese, twice as many characters."""
    tasks: tuple[Task, ...] = ("source", "empathy")
    """Rows of these tasks are replied to well."""
    every_words: int = Field(default=6, ge=1)
    """Of the reply: so far apart are reflections; of Chinese, twice as many characters. Whoever learns them
    takes the last one in each chunk."""
    weak_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the replies that come once more behind a weak beginning."""

    def open(self, resources: Resources) -> ReflectStep:
        return ReflectStep(self, resources.llm(self.llm), resources.seed)


@dataclass(frozen=True)
class Asked:
    """What the teacher is to go on with: the opening of a part of a reflection on a reply so far."""

    row: Row
    so_far: str
    opening: str
    weak: bool = False
    """It is to say what the reply should have named."""


@dataclass(frozen=True)
class ReflectStep:
    """The opened step."""

    config: Reflect
    llm: LLM
    seed: int

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        replied = [row for row in rows if self._is_concerned(row)]
        made = self._reflected([row for row in replied if _unfit(row) is None], replied)
        for row in rows:
            yield row
            if not self._is_concerned(row):
                continue
            found = _unfit(row) or made[row.id]
            if isinstance(found, Fault):
                yield Dropped(row, self.config.step, found.reason, found.detail)
            else:
                yield from found

    def _is_concerned(self, row: Row) -> bool:
        ends_with_user = bool(row.turns) and row.turns[-1].role == "user"
        return row.task in self.config.tasks and ends_with_user and bool((row.target or "").strip())

    def _reflected(self, rows: Sequence[Row], others: Sequence[Row]) -> dict[str, list[Row] | Fault]:
        """The rows that follow from each, by its id, or why there are none."""
        opened = [Asked(row, "", need_opening(row.last_user.emotion, row.lang)) for row in rows]
        found: dict[str, list[Row] | Fault] = {}
        needs: dict[str, str] = {}
        for row, need in zip(rows, self._written(opened), strict=True):
            if isinstance(need, Fault):
                found[row.id] = need
            else:
                needs[row.id] = need
        weak = {row.id: weak_reply(row, others, self.config.maker) for row in rows if row.id in needs}
        asked = [
            Asked(row, so_far, reply_opening(needs[row.id], kind, row.lang), kind is not None)
            for row in rows
            if row.id in needs
            for so_far, kind in self._so_far(row, weak[row.id])
        ]
        thoughts: dict[str, list[str | Fault]] = {row_id: [] for row_id in needs}
        for one, thought in zip(asked, self._written(asked), strict=True):
            thoughts[one.row.id].append(thought)
        for row in rows:
            if row.id in needs:
                found[row.id] = self._rows(row, needs[row.id], thoughts[row.id], weak[row.id])
        return found

    def _so_far(self, row: Row, weak: Weak) -> Iterator[tuple[str, Kind | None]]:
        """What is reflected on: the reply up to each place, then the weak one where it is mended."""
        for end in ends(row.target or "", self.config.every_words, row.lang):
            yield (row.target or "")[:end], None
        if self._is_mended(row):
            yield weak.text, weak.kind

    def _is_mended(self, row: Row) -> bool:
        return (
            random.Random(content_id("mended", self.config.maker, row.id)).random() < self.config.weak_share
        )

    def _rows(self, row: Row, need: str, thoughts: Sequence[str | Fault], weak: Weak) -> list[Row] | Fault:
        """The row's reply with its reflections, and the same behind a weak beginning."""
        texts = [thought for thought in thoughts if not isinstance(thought, Fault)]
        if len(texts) < len(thoughts):
            return next(thought for thought in thoughts if isinstance(thought, Fault))
        reply, first = row.target or "", Reflection(0, need)
        places = ends(reply, self.config.every_words, row.lang)
        along = [Reflection(at, text) for at, text in zip(places, texts, strict=False)]
        sampling = replace(self.config.sampling(self.seed), stop=STOPS)
        maker = self.config.made_with(self.llm)
        good = derive(
            row, maker, task="reflect", stage=STAGE, injection=None, trace=None,
            teacher=teacher(self.llm, REFLECT[row.lang], sampling),
            reflections=(first, *along), rejected=weak.text,
        )  # fmt: skip
        if not self._is_mended(row):
            return [good]
        begun = len(weak.text)
        before = joined([weak.text, weak.turn, reply], row.lang).removesuffix(reply)
        mending = (first, Reflection(begun, texts[-1]), *(replace(r, at=r.at + len(before)) for r in along))
        mended = derive(
            row, maker, 1, task="reflect", stage=STAGE, injection=None, trace=None, teacher=good.teacher,
            target=before + reply, given=begun, reflections=mending, rejected=weak.text,
        )  # fmt: skip
        return [good, mended]

    def _written(self, asked: Sequence[Asked]) -> list[str | Fault]:
        """Each opening with what the teacher went on with, to the end of the sentence."""
        return draw(
            self.config, self.seed, len(asked), lambda these, how: self._once([asked[i] for i in these], how)
        )

    def _once(self, asked: Sequence[Asked], sampling: Sampling) -> list[str | Fault]:
        sampling = replace(sampling, stop=STOPS)
        prompts = [prompt(self.llm.template, a.row.turns, a.so_far, a.opening, a.row.lang) for a in asked]
        completions = complete(self.llm, prompts, sampling)
        return [self._judged(one, answer) for one, answer in zip(asked, completions, strict=True)]

    def _judged(self, asked: Asked, completion: Completion | LLMError) -> str | Fault:
        if isinstance(completion, LLMError):
            return Fault(LLM_ERROR, completion.message)
        written, row = completion.text.strip(), asked.row
        sentence = whole(asked.opening, written, row.lang)
        if completion.finish == "length":
            return Fault(CUT_OFF, sentence[:DETAIL])
        most = self.config.max_words * (2 if row.lang == "zh" else 1)
        own = " ".join([*(turn.text for turn in row.turns), row.target or "", asked.so_far])
        reason = fault(written, row.lang, row.target or "", own, shown(row.lang), most)
        if not reason and asked.weak and not names_what_was_said(written, _said(row), row.lang):
            reason = ELSEWHERE
        return Fault(reason, sentence[:DETAIL]) if reason else sentence


def ends(reply: str, every_words: int, lang: str = "en") -> list[int]:
    """How many characters of a reply stand before each place that it is reflected on at: after every so many
    words (of Chinese: twice as many characters), with the punctuation behind them, and not at its end."""
    word, every = (_CHARACTER, 2 * every_words) if lang == "zh" else (r"\S+", every_words)
    found = [word.end() for word in re.finditer(word, reply)]
    return [end for end in found[every - 1 :: every] if end < len(reply.rstrip())]


def _said(row: Row) -> str:
    """By the user, in all turns."""
    return " ".join(turn.text for turn in row.turns if turn.role == "user")


def _unfit(row: Row) -> Fault | None:
    """Why a row's reply cannot be reflected on."""
    if row.lang not in REFLECT:
        return Fault(NO_LANGUAGE, row.lang)
    reply = row.target or ""
    if not replies.in_language(reply, row.lang):
        return Fault(replies.OTHER_LANGUAGE, reply[:DETAIL])
    reason = reply_fault(reply)
    return Fault(reason, reply[:DETAIL]) if reason else None
