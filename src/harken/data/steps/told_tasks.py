"""Answers to HumDial's tasks 1 and 2, put together from what people marked where they marked all of it: how
each of the user's turns feels, and the words that it rests on. No teacher is asked, and nothing can be wrong
that the annotation has right; the phrasing is a rule's, one of a few, drawn by the row's id.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from harken.data.rows import Row, Task, Turn, content_id
from harken.data.steps.injections import FEELINGS
from harken.data.steps.teaching import LANGUAGES, Thought

_ORDERS = {
    "en": (
        ("First you sounded {0}{1}", ", then {0}{1}", "."),
        ("You began {0}{1}", ", and then you were {0}{1}", "."),
        ("At first I heard that you were {0}{1}", ", next {0}{1}", "."),
    ),
    "zh": (
        ("一开始你听起来{0}{1}", "，然后{0}{1}", "。"),
        ("你先是{0}{1}", "，接着{0}{1}", "。"),
        ("起初我听出你{0}{1}", "，后来{0}{1}", "。"),
    ),
}
_WHEN = {"en": ' when you said "{0}"', "zh": "，因为你说“{0}”"}
_WHYS = {
    "en": (
        'You feel {0} because of what you said: "{1}".',
        'You sound {0}, and what lies behind it is this: "{1}".',
        'It is this that makes you feel {0}: "{1}".',
    ),
    "zh": ("你感到{0}，是因为你说的这件事：“{1}”。", "你听起来{0}，背后的原因是：“{1}”。"),
}
_BEFORE = {"en": ' Before that you were {0}: "{1}".', "zh": "在那之前你{0}：“{1}”。"}
_TRACES = {
    ("trajectory", "en"): "In order the speaker sounded {0}.",
    ("trajectory", "zh"): "对方先是{0}。",
    ("reasoning", "en"): 'At the end the speaker sounds {0}. It began with "{1}".',
    ("reasoning", "zh"): "最后对方听起来{0}。起因是“{1}”。",
}
_THEN = {"en": ", then ", "zh": "，然后"}


def is_told(row: Row) -> bool:
    """Did people mark how each of the user's turns feels, and why where it is not neutral?"""
    return row.lang in LANGUAGES and all(
        turn.emotion == "neutral" or (turn.emotion in FEELINGS["en"] and turn.cause)
        for turn in row.turns
        if turn.role == "user"
    )


def told(row: Row, task: Task) -> tuple[str, Thought]:
    """What the think block opens with, and the whole of it with the answer, for a row that `is_told`."""
    turns = [turn for turn in row.turns if turn.role == "user"]
    dice = random.Random(content_id("told", task, row.id))
    trace = _trace(turns, task, row.lang)
    answer = _order(turns, row.lang, dice) if task == "trajectory" else _reason(turns, row.lang, dice)
    return trace, Thought(trace, answer)


def _trace(turns: Sequence[Turn], task: Task, lang: str) -> str:
    feelings = [_feeling(turn, lang) for turn in turns]
    if task == "trajectory":
        return _TRACES[task, lang].format(_THEN[lang].join(feelings))
    return _TRACES[task, lang].format(feelings[-1], _cause(turns[0]))


def _order(turns: Sequence[Turn], lang: str, dice: random.Random) -> str:
    first, then, end = dice.choice(_ORDERS[lang])
    said = [(_feeling(turn, lang), _WHEN[lang].format(_cause(turn)) if turn.cause else "") for turn in turns]
    return first.format(*said[0]) + "".join(then.format(*each) for each in said[1:]) + end


def _reason(turns: Sequence[Turn], lang: str, dice: random.Random) -> str:
    *earlier, last = turns
    answer = dice.choice(_WHYS[lang]).format(_feeling(last, lang), _cause(last))
    before = next((turn for turn in reversed(earlier) if turn.emotion != last.emotion), None)
    return answer + (_BEFORE[lang].format(_feeling(before, lang), _cause(before)) if before else "")


def _feeling(turn: Turn, lang: str) -> str:
    return FEELINGS[lang][turn.emotion or "neutral"][0]


def _cause(turn: Turn) -> str:
    """The shortest of the marked causes, or all that was said, without the mark that ends it."""
    cause = min((cause.span for cause in turn.cause), key=len, default=turn.text)
    return cause.strip().rstrip(".!?。！？")
