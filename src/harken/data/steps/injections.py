"""What the IEAT step opens a think block with: how the speaker feels, and the beginning of why.

An injection never ends the sentence that it begins, nor the think block: the teacher reasons on from it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from harken.data.rows import content_id

FEELINGS = {
    "en": {
        "anger": ("angry", "anger"),
        "disgust": ("disgusted", "disgust"),
        "fear": ("afraid", "fear"),
        "happy": ("happy", "happiness"),
        "neutral": ("calm", "calm"),
        "sad": ("sad", "sadness"),
        "surprise": ("surprised", "surprise"),
    },
    "zh": {
        "anger": ("生气", "怒气"),
        "disgust": ("反感", "反感"),
        "fear": ("害怕", "恐惧"),
        "happy": ("开心", "喜悦"),
        "neutral": ("平静", "平静"),
        "sad": ("难过", "悲伤"),
        "surprise": ("惊讶", "惊讶"),
    },
}
"""An emotion as an adjective and as a noun."""

QUOTES = {'"': '"', "“": "”"}
"""What opens a quotation, and what closes it."""

_MOVED = {
    "en": (
        "The speaker sounds {0}. They feel this way because",
        "I can hear that they are {0}, and the reason is that",
        "There is {1} in the speaker's voice, and it comes from these words: \"",
        "From how it is said, the speaker feels {0}. That is because",
        'They sound {0} to me, because of what they just told me: "',
    ),
    "zh": (
        "听起来对方很{0}，因为对方说：“",
        "从语气里能听出对方{0}，让对方这样的是这件事：“",
        "对方的声音里带着{1}，原因就在这句话里：“",
        "我能感觉到对方很{0}，这是因为",
        "说话的人听上去很{0}，起因是这句：“",
    ),
}
_UNMOVED = {
    "en": (
        "The speaker sounds calm. They are simply telling me that",
        "There is no strong feeling in the voice, because all they want to say is that",
        'They sound calm to me, and what they have in mind is this: "',
    ),
    "zh": (
        "对方听起来很平静，只是想告诉我：“",
        "语气里没有什么强烈的情绪，因为对方说的只是：“",
        "我听对方心情平稳，心里想的是这件事：“",
    ),
}


def openings(emotion: str, lang: str) -> list[str]:
    """Every injection for an emotion."""
    phrasings = _UNMOVED if emotion == "neutral" else _MOVED
    return [phrasing.format(*FEELINGS[lang][emotion]) for phrasing in phrasings[lang]]


def injection(emotion: str, lang: str, key: str) -> str:
    """The injection that a row's id (`key`) draws."""
    phrasings = openings(emotion, lang)
    dice = random.Random(content_id("injection", key))
    return phrasings[dice.randrange(len(_MOVED[lang])) % len(phrasings)]


def shown(lang: str) -> Callable[[str, str], str]:
    """Fills `{emotion}` in a prompt's examples with an injection for it, each in another phrasing.

    They are the same for all rows, so that what a teacher has read of them it need not read again. Where one
    opens a quotation, what follows it is what was said, as it was said.
    """

    def fill(said: str, answer: str) -> str:
        for number, emotion in enumerate(FEELINGS[lang]):
            phrasings = openings(emotion, lang)
            mark, opening = f"{{{emotion}}}", phrasings[number % len(phrasings)]
            if mark in answer and opening[-1] in QUOTES:
                before, after = answer.split(mark)
                return f"{before}{opening}{said}{QUOTES[opening[-1]]}{after[after.index(chr(10)) :]}"
            answer = answer.replace(mark, opening)
        return answer

    return fill
