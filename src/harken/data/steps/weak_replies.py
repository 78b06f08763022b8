"""Weak replies by rule: what would fit anyone, what is cold, and what was meant for somebody else.

They are what a reply should not have begun with, and what preference training sets a good reply against. Each
has a turn of phrase with which a good reply can still follow it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harken.data.rows import Row, content_id
from harken.data.steps.replies import words
from harken.data.steps.traces import content_words

Kind = Literal["generic", "cold", "off the point"]
KINDS: tuple[Kind, ...] = ("generic", "cold", "off the point")

_HARD = ("sad", "anger", "fear", "disgust")
_GENERIC_EN = {
    "hard": (
        "I am sorry to hear that.",
        "That must be really hard for you.",
        "That sounds like a difficult situation.",
        "I understand how you feel about that.",
    ),
    "glad": (
        "That is great, thanks for telling me.",
        "That sounds really nice for you.",
        "Wonderful, I am happy to hear it.",
    ),
    "plain": (
        "I see, thank you for sharing that.",
        "That is interesting, thanks for telling me.",
        "Okay, I hear what you are saying.",
    ),
}
_COLD_EN = {
    "hard": (
        "Well, these things happen to everybody.",
        "There is no reason to make a fuss.",
        "It could be a lot worse, really.",
        "You will get over it soon enough.",
    ),
    "glad": (
        "That is nothing special, is it?",
        "Well, do not get your hopes up.",
        "Plenty of people can say that.",
    ),
    "plain": ("And what is that to me?", "Fine, if you say so.", "I do not see why that matters."),
}
_GENERIC_ZH = {
    "hard": ("听到这个我很难过。", "那一定很不容易。", "听起来确实很难办。", "我理解你的感受。"),
    "glad": ("那太好了，谢谢你告诉我。", "听起来真不错。", "真好，我为你高兴。"),
    "plain": ("好的，谢谢你的分享。", "挺有意思的，谢谢你告诉我。", "嗯，我听到了。"),
}
_COLD_ZH = {
    "hard": ("这种事谁都会遇到。", "没必要大惊小怪。", "还有比这更糟的呢。", "过几天你就忘了。"),
    "glad": ("这也没什么特别的吧。", "别高兴得太早。", "能这么说的人多了。"),
    "plain": ("这跟我有什么关系？", "行吧，你说了算。", "我看不出这有什么要紧。"),
}
_GENERIC, _COLD = {"en": _GENERIC_EN, "zh": _GENERIC_ZH}, {"en": _COLD_EN, "zh": _COLD_ZH}
_TURNS: dict[str, dict[Kind, tuple[str, ...]]] = {
    "en": {
        "generic": ("",),
        "cold": ("Sorry, that was too quick of me.", "No, that came out wrong."),
        "off the point": ("But back to you.", "Sorry, my mind was elsewhere."),
    },
    "zh": {
        "generic": ("",),
        "cold": ("对不起，我刚才说得太急了。", "不，我不该这么说。"),
        "off the point": ("还是说说你吧。", "抱歉，我刚才走神了。"),
    },
}
_OTHERS_WORDS = {"en": range(4, 10), "zh": range(5, 18)}
"""Of a sentence that was meant for somebody else; of Chinese, characters."""


@dataclass(frozen=True)
class Weak:
    """A weak reply, what is wrong with it, and how a good one can follow it."""

    kind: Kind
    text: str
    turn: str
    """What is said before the good one; often nothing."""


def weak_reply(row: Row, others: Sequence[Row], maker: str) -> Weak:
    """The weak reply to a row's last turn that its id draws. Args: others: rows with replies to others."""
    dice = random.Random(content_id("weak", maker, row.id))
    kind = KINDS[dice.randrange(len(KINDS))]
    said = _sentence(row, others, dice) if kind == "off the point" else None
    if kind == "off the point" and said is None:
        kind = "generic"
    emotion = row.last_user.emotion
    feeling = "hard" if emotion in _HARD else "glad" if emotion == "happy" else "plain"
    text = said or dice.choice((_COLD if kind == "cold" else _GENERIC)[row.lang][feeling])
    return Weak(kind, text, dice.choice(_TURNS[row.lang][kind]))


def joined(parts: Sequence[str], lang: str) -> str:
    """Sentences, or parts of one, behind one another."""
    return ("" if lang == "zh" else " ").join(part for part in parts if part)


def _sentence(row: Row, others: Sequence[Row], dice: random.Random) -> str | None:
    """The first sentence of a reply to somebody of another group, about other things; None where none is."""
    own = set(content_words(" ".join([*(turn.text for turn in row.turns), row.target or ""]), row.lang))
    for other in dice.sample(others, min(20, len(others))):
        sentence = re.split(r"(?<=[.!?])\s|(?<=[。！？])", other.target or "", maxsplit=1)[0]
        apart = other.group != row.group and (other.split, other.lang) == (row.split, row.lang)
        fits = apart and len(words(sentence)) in _OTHERS_WORDS[row.lang]
        if fits and sentence[-1:] in ".!?。！？" and not own & set(content_words(sentence, row.lang)):
            return sentence
    return None
