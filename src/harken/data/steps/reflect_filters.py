"""Whether what a teacher wrote is a reflection: about reply and person, not said to them, and no copy.

Plain rules on words, each with the reason under which a row is dropped, as in `harken.data.steps.replies`.
"""

from __future__ import annotations

import re

from harken.data.steps import replies, traces

LEAKS = "reply leaks the reflection"
MARKS = "reflection names its marks"
SPEAKS = "reflection speaks to the person"
COPIES = "reflection only repeats the reply"
BORROWS = "reflection is about an example"
BLAMES = "reflection calls a good reply weak"
ELSEWHERE = "reflection names nothing that was said"

_MARK = re.compile(r"<\s*\|?\s*/?|/?\s*\|?\s*>|\breflect", re.IGNORECASE)
_SPOKEN_TO = re.compile(r"\b(?:i|i'm|i've|me|my|you|you're|your|yours|we|let's|us|our)\b|[我你您咱]")
_REPLY = re.compile(
    r"<\s*\||\|\s*>|\breflect(?:ing|ions?)\b|\b(?:my|the|this) (?:reply|answer|response)\b"
    r"|\bso far (?:it|warm|cold)\b|反思|(?:我的|这个|这句)(?:回复|回答|回应)|目前(?:温暖|冷淡|跑题)"
)
_WEAK = re.compile(r"\bcold\b|\boff the point\b|\bfits? anyone\b|冷淡|跑题|对谁都")
_SAME_WORDS = {"en": 4, "zh": 6}
"""In a row are a copy; of Chinese, characters."""


def reply_fault(reply: str) -> str | None:
    """Why a reply gives away that it is reflected on; None where it does not."""
    return LEAKS if traces.announces(reply) or _REPLY.search(reply.lower()) else None


def names_what_was_said(written: str, said: str, lang: str) -> bool:
    """Does a part of a reflection that says what is missing name something that the person said?"""
    return bool(set(traces.content_words(written, lang)) & set(traces.content_words(said, lang)))


def fault(written: str, lang: str, reply: str, own: str, shown: str, max_words: int) -> str | None:
    """Why a part of a reflection cannot be kept; None where it can.

    Args:
        written: what the teacher went on with.
        reply: the whole of it.
        own: all that was said.
        shown: what the teacher's examples are about.
    """
    ours = replies.words(written)
    if not ours:
        return replies.EMPTY
    if not replies.in_language(written, lang):
        return replies.OTHER_LANGUAGE
    if _MARK.search(written):
        return MARKS
    if len(ours) > max_words:
        return replies.TOO_LONG
    plain = ("" if lang == "zh" else " ").join(ours)
    if _SPOKEN_TO.search(plain):
        return SPEAKS
    if _WEAK.search(plain):
        return BLAMES
    if replies.loops(written, lang):
        return replies.LOOP
    same = replies.longest_run(ours, replies.words(reply))[2]
    if same >= _SAME_WORDS[lang] or (2 * same > _SAME_WORDS[lang] and same == len(ours)):
        return COPIES
    if traces.borrowed(written, lang, own, shown):
        return BORROWS
    return None
