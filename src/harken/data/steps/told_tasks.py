"""Answers to HumDial's tasks 1 and 2, put together from what people marked: how each of the user's turns
feels, and the words that it rests on. No teacher is asked, and nothing can be wrong that the annotation has
right; the phrasing is a rule's, one of a few, drawn by the row's id. Half of the rows are asked by the
speaker, half by somebody who speaks of them. Asked for the feelings alone, the answer names no more.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from harken.data.rows import Cause, Row, Task, Turn, content_id
from harken.data.steps.injections import FEELINGS
from harken.data.steps.task_prompts import ASKED
from harken.data.steps.teaching import LANGUAGES, Thought

_SPOKEN_OF = {
    ("trajectory", "en"): (
        "List what the speaker feels in each turn.",
        "What is the order of the speaker's emotions?",
        "Turn by turn, how did this person sound?",
        "Name the speaker's feelings from the first turn to the last.",
        "Which feelings were there, one after the other?",
    ),
    ("trajectory", "zh"): (
        "请列出说话人每一轮的感受。",
        "说话人的情绪先后是哪些？",
        "这个人每句话听起来是什么心情？",
        "从第一轮到最后一轮，说话人分别是什么情绪？",
    ),
    ("reasoning", "en"): (
        "Why does the speaker feel like that at the end?",
        "What lies behind the speaker's last emotion?",
        "What made this person feel so?",
        "Explain why the speaker sounds this way.",
    ),
    ("reasoning", "zh"): (
        "说话人最后为什么有这样的心情？",
        "是什么让这个人有这种感受？",
        "说话人情绪的原因是什么？",
    ),
}
"""Of trajectories they ask for the feelings alone."""
_FEELINGS_ALONE = {
    "en": ("The speaker sounds {0}.", "First {0}."),
    "zh": ("说话人听起来先是{0}。", "依次是：{0}。"),
}
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
_WHO = {"en": {"user": "you said", "assistant": "you heard"}, "zh": {"user": "你说", "assistant": "你听到"}}
_WHEN = {"en": ' when {0} "{1}"', "zh": "，因为{0}“{1}”"}
_WHYS = {
    "en": (
        'You feel {0} because of what {1}: "{2}".',
        'You sound {0}, and what lies behind it is this: "{2}".',
        'It is this that makes you feel {0}: "{2}".',
    ),
    "zh": ("你感到{0}，是因为{1}的这件事：“{2}”。", "你听起来{0}，背后的原因是：“{2}”。"),
}
_BEFORE = {"en": ' Before that you were {0}: "{1}".', "zh": "在那之前你{0}：“{1}”。"}
_TRACES = {
    ("trajectory", "en"): "In order the speaker sounded {0}.",
    ("trajectory", "zh"): "对方先是{0}。",
    ("reasoning", "en"): 'At the end the speaker sounds {0}. It began with "{1}".',
    ("reasoning", "zh"): "最后对方听起来{0}。起因是“{1}”。",
}
_THEN = {"en": ", then ", "zh": "，然后"}


def is_told(row: Row, task: Task) -> bool:
    """Did people mark all that the task asks about: how each of the user's turns feels, and for a reason why
    the last one does?"""
    turns = _said(row)
    felt = all(turn.emotion in FEELINGS["en"] for turn in turns)
    return row.lang in LANGUAGES and felt and (task == "trajectory" or bool(turns[-1].cause))


def told(row: Row, task: Task) -> tuple[str, Thought]:
    """What is asked, and what is thought and answered, of a row that `is_told`."""
    turns = _said(row)
    dice = random.Random(content_id("told", task, row.id))
    spoken_of = dice.random() < 0.5 or (
        task == "trajectory" and any(turn.emotion != "neutral" and not turn.cause for turn in turns)
    )
    question = dice.choice((_SPOKEN_OF if spoken_of else ASKED)[task, row.lang])
    if task == "reasoning":
        answer = _reason(row, turns, dice)
    elif spoken_of:
        answer = dice.choice(_FEELINGS_ALONE[row.lang]).format(_feelings(turns, row.lang))
    else:
        answer = _order(row, turns, dice)
    return question, Thought(_trace(turns, task, row.lang), answer)


def _said(row: Row) -> list[Turn]:
    return [turn for turn in row.turns if turn.role == "user"]


def _trace(turns: Sequence[Turn], task: Task, lang: str) -> str:
    if task == "trajectory":
        return _TRACES[task, lang].format(_feelings(turns, lang))
    return _TRACES[task, lang].format(_feeling(turns[-1], lang), _cause(turns[0]))


def _order(row: Row, turns: Sequence[Turn], dice: random.Random) -> str:
    first, then, end = dice.choice(_ORDERS[row.lang])
    when = _WHEN[row.lang]
    said = [
        (_feeling(turn, row.lang), when.format(_who(row, turn), _cause(turn)) if turn.cause else "")
        for turn in turns
    ]
    return first.format(*said[0]) + "".join(then.format(*each) for each in said[1:]) + end


def _reason(row: Row, turns: Sequence[Turn], dice: random.Random) -> str:
    *earlier, last = turns
    answer = dice.choice(_WHYS[row.lang]).format(_feeling(last, row.lang), _who(row, last), _cause(last))
    before = next((turn for turn in reversed(earlier) if turn.emotion != last.emotion), None)
    if before is None:
        return answer
    return answer + _BEFORE[row.lang].format(_feeling(before, row.lang), _cause(before))


def _feelings(turns: Sequence[Turn], lang: str) -> str:
    return _THEN[lang].join(_feeling(turn, lang) for turn in turns)


def _feeling(turn: Turn, lang: str) -> str:
    return FEELINGS[lang][turn.emotion or "neutral"][0]


def _cause(turn: Turn) -> str:
    """The shortest of the marked causes, or all that was said, without the mark that ends it."""
    marked = _marked(turn)
    return (marked.span if marked else turn.text).strip().rstrip(".!?。！？")


def _who(row: Row, turn: Turn) -> str:
    """Whether the cause was said by the speaker, or to them."""
    marked = _marked(turn)
    return _WHO[row.lang][row.turns[marked.turn].role if marked else "user"]


def _marked(turn: Turn) -> Cause | None:
    return min(turn.cause, key=lambda cause: len(cause.span), default=None)
