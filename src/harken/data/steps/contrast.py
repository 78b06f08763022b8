"""The same words in other emotions, so that the answer depends on how they sound and not on the words alone.

Short turns whose words leave the feeling open are copied; each copy has another emotion, is still to be
spoken in it (no audio), and is answered through the IEAT step. Copies that are answered alike teach nothing
and are dropped. Where no teacher is to be asked (`told`), each copy is asked how the speaker sounds, and a
rule answers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harken.data.rows import Affect, Instruction, Row, content_id, derive, with_last_user
from harken.data.steps.attribute import answered, attributed
from harken.data.steps.base import Dropped, Resources
from harken.data.steps.injections import FEELINGS
from harken.data.steps.paralinguistic_clip import clip_of
from harken.data.steps.paralinguistic_templates import questions_of
from harken.data.steps.paralinguistic_words import emotions_named
from harken.data.steps.replies import words
from harken.data.steps.teaching import LANGUAGES, Fault, TaughtStep
from harken.data.workspace import Workspace
from harken.llm.base import LLM

SAME_ANSWER = "same answer in another emotion"
MOST_WORDS = {"en": 12, "zh": 20}
"""Of a turn whose words may leave its emotion open; of Chinese, characters."""
_TELLING = {
    "en": re.compile(
        r"\b(?:love|hate|like|enjoy|fun|terribl[ey]|awful|horribl[ey]|great|wonderful|lovely|amazing|perfect"
        r"|beautiful|best|worst|bad|good|nice|cry|cries|cried|crying|die[sd]?|dead|death|kill\w*|hurt\w*|pain"
        r"|sick|sorry|thanks?|congratulations|won|lost|stole\w*|broken?|ugh|wow|yay|oh no|damn|how dare"
        r"|unfair|disgusting|scary|funny|alone|miss)\b|!"
    ),
    "zh": re.compile(
        r"爱|恨|喜欢|讨厌|太好|真好|糟|可怕|吓|哭|笑|死|疼|痛|病|对不起|谢谢|恭喜|赢|输|丢了|偷|坏|骗|骂|脏|臭|惨|气|怕"
        r"|棒|烦|想念|一个人|凭什么|天哪|！"
    ),
}
"""Words, and marks, that tell a feeling without naming one."""


class Contrast(TaughtStep):
    """Empathy rows -> the same, and copies of some in other emotions."""

    step: Literal["contrast"] = "contrast"
    share: float = 0.5
    """Of the rows whose words leave the emotion open."""
    copies: int = 2
    told: bool = False
    """Each copy is asked how the speaker sounds, and no teacher is asked."""

    def open(self, resources: Resources) -> ContrastStep:
        return ContrastStep(self, None if self.told else resources.llm(self.llm), resources.seed)


def leaves_open(text: str, lang: str) -> bool:
    """Do the words fit several emotions: two to twelve (Chinese: 4 to 20 characters), none that tells one?"""
    count = len(words(text))
    return (
        (4 if lang == "zh" else 2) <= count <= MOST_WORDS[lang]
        and not emotions_named(text, lang)
        and not _TELLING[lang].search(text.lower())
    )


@dataclass(frozen=True)
class ContrastStep:
    """The opened step."""

    config: Contrast
    llm: LLM | None
    seed: int

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        yield from rows
        parents = [row for row in rows if self._is_chosen(row)]
        copies = [
            (parent, number, row) for parent in parents for number, row in enumerate(self._copies(parent))
        ]
        if self.llm is None:
            yield from (self._asked(row) for _, _, row in copies)
            return
        answers = attributed(self.llm, self.config, self.seed, [row for _, _, row in copies])
        heard = {parent.id: {tuple(words(parent.target or ""))} for parent in parents}
        for (parent, number, row), answer in zip(copies, answers, strict=True):
            if isinstance(answer, Fault):
                yield Dropped(row, self.config.step, answer.reason, answer.detail)
                continue
            said = tuple(words(answer.thought.reply))
            if said in heard[parent.id]:
                yield Dropped(row, self.config.step, SAME_ANSWER, answer.thought.reply)
                continue
            heard[parent.id].add(said)
            yield answered(row, self.config.made_with(self.llm), answer, number, parents=(parent,))

    def _asked(self, row: Row) -> Row:
        """The copy with a question about how it sounds, and a rule's answer."""
        clip = clip_of(row, 0.0)
        assert clip is not None, "its emotion is known"
        asked = next(d for d in questions_of(clip, int(content_id("asked", row.id), 16)) if d.type == "E")
        asked_about = Instruction(asked.question)
        return replace(row, stage="1-2", instruction=asked_about, target=asked.answer, teacher=None)

    def _is_chosen(self, row: Row) -> bool:
        dice = random.Random(content_id("chosen", self.config.maker, row.id))
        return (
            row.task == "empathy"
            and row.lang in LANGUAGES
            and len(row.turns) == 1
            and row.turns[0].role == "user"
            and row.last_user.emotion is not None
            and leaves_open(row.last_user.text, row.lang)
            and dice.random() < self.config.share
        )

    def _copies(self, row: Row) -> list[Row]:
        """The row with other emotions, to be acted by rule."""
        others = [label for label in FEELINGS[row.lang] if label != row.last_user.emotion]
        dice = random.Random(content_id("emotions", self.config.maker, row.id))
        maker = self.config.made_with(self.llm) if self.llm else self.config.maker
        chosen = dice.sample(others, min(self.config.copies, len(others)))
        return [
            with_last_user(
                derive(
                    row,
                    maker,
                    number,
                    task="contrast",
                    target=None,
                    trace=None,
                    injection=None,
                ),
                affect=(Affect(label, "rule"),),
                audio=None,
                seconds=None,
                units=(),
                words=(),
                cause=(),
            )
            for number, label in enumerate(chosen)
        ]
