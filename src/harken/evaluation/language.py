"""Which of two languages a text is written in, told by its characters: Chinese or English.

This is enough to notice a reply in the wrong one of the two. Other languages are not told apart: whatever is
in Latin letters counts as English.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")

CHINESE_SHARE = 0.25
"""A text is Chinese from this share of Chinese characters among its letters on: one says about what three
Latin letters say, so that an even mixture has it."""

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_TAG = re.compile(r"\[[^\]]*\]")


def is_han(char: str) -> bool:
    """Whether a character is a Chinese one."""
    return _HAN.match(char) is not None


def written_in(text: str) -> Language | None:
    """The language of a text; tags such as `[sigh]` do not count. None where it has no letters of either."""
    words = unicodedata.normalize("NFKC", _TAG.sub(" ", text))
    han = sum(map(is_han, words))
    latin = sum("LATIN" in unicodedata.name(char, "") for char in words if char.isalpha())
    if han + latin == 0:
        return None
    return "zh" if han / (han + latin) >= CHINESE_SHARE else "en"
