"""What a system's words come to: the emotions that they name, the candidate that they choose, and how much of
an annotated cause they hold. Naming is all that is read: negation and irony are not. What a system quotes are
the speaker's words, and name nothing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

from harken.data.groups import normalised
from harken.data.steps.paralinguistic_words import EMOTION_WORDS
from harken.evaluation.attribution import token_f1
from harken.evaluation.language import is_han

LETTERS = "ABCDEFGH"
_QUOTED = re.compile(r'"[^"]+"|“[^“”]+”|「[^「」]+」')
_ALONE = re.compile(r"\W*([A-H])\W*", re.IGNORECASE)
_FIRST = re.compile(r"\W*([A-H])\s*(?:[.):：,，、。）\]]|\n|$)")
_SAID = re.compile(
    r"(?:(?i:\b(?:answer|option|choice|choose|candidate)\b)|答案|选项|选择|选)"
    r"\s*(?:is|是|为)?[\s:：\"“(（*]*([A-H])(?![A-Za-z'’])"
)


def emotions_named(text: str) -> tuple[str, ...]:
    """The labels that words of either language name, in order, but in quotations. A word that may mean two of
    them counts as neither."""
    own = _QUOTED.sub(_unless_quoted, text)
    return tuple(_emotion_of()[found[0].lower()] for found in _emotion_words().finditer(own))


def chosen(text: str, candidates: Sequence[str], emotions: bool) -> str | None:
    """The candidate that an answer to a list of lettered candidates chooses; None where it names none.

    A letter stands alone, first, or after a word such as "answer". Without one, the answer has to hold the
    words of just one candidate, or (`emotions`) name just its emotions in their order.
    """
    for form in (_ALONE.fullmatch, _FIRST.match, _SAID.search):
        if found := form(text.strip()):
            place = LETTERS.index(found[1].upper())
            return candidates[place] if place < len(candidates) else None
    said = f" {_spaced(normalised(text))} "
    held = [each for each in candidates if f" {_spaced(normalised(each))} " in said]
    if len(held) == 1:
        return held[0]
    named = emotions_named(text)
    same = [each for each in candidates if emotions and named == emotions_named(each)]
    return same[0] if len(same) == 1 else None


def cause_overlap(text: str, causes: Sequence[str]) -> float:
    """F1 of words as in SQuAD, with the annotated cause that fits best; Chinese by characters."""
    return max(token_f1(_spaced(text), _spaced(cause)) for cause in causes)


def _unless_quoted(marked: re.Match[str]) -> str:
    """Nothing of a quotation; a word or two between such marks are none."""
    most = 4 if any(map(is_han, marked[0])) else 2
    return marked[0] if len(_spaced(marked[0]).split()) <= most else " "


def _spaced(text: str) -> str:
    """Each Chinese character as a word of its own, without Chinese marks."""
    plain = unicodedata.normalize("NFKC", text)
    apart = (f" {char} " if is_han(char) else " " if char in "。、《》「」“”" else char for char in plain)
    return " ".join("".join(apart).split())


@cache
def _emotion_of() -> dict[str, str]:
    named = [
        (word, label)
        for by_label in EMOTION_WORDS.values()
        for label, words in by_label.items()
        for word in words.split()
    ]
    times = Counter(word for word, _ in named)
    return {word: label for word, label in named if times[word] == 1}


@cache
def _emotion_words() -> re.Pattern[str]:
    """Longer words first, so that none is read inside another."""
    words = sorted(_emotion_of(), key=len, reverse=True)
    return re.compile(
        "|".join(re.escape(w) if is_han(w[0]) else rf"(?<![\w'-]){re.escape(w)}(?![\w-])" for w in words),
        re.IGNORECASE,
    )
