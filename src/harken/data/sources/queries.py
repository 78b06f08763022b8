"""Which written queries somebody might as well have said: short, one line, no code, addresses or tables.

For sets of queries to chat assistants, of which stage 1-1 takes the ones that can be spoken.
"""

from __future__ import annotations

import re

from harken.data.sources.base import Unusable

LENGTHS = {"zh": (4, 60), "en": (3, 40)}
"""Characters of Chinese, words of English."""

_UNSPOKEN = {
    "code": r"```|`[^`]+`|[{}<>\\]|\b\w+\(\)|==|;\s*$|\b(?:def|import|SELECT|printf|console\.log)\b",
    "address": r"https?://|www\.|\S+@\S+\.\w|\b\w+\.(?:com|org|net|cn|io)\b",
    "table": r"\|.*\||\t",
    "list or heading": r"^\s*(?:[-*•#]|\d+[.)、])\s*\S",
    "formula": r"[=^∑∫√≤≥±]|\$[^$]+\$|\d\s*[*/]\s*\d",
    "blank to fill": r"_{2,}|\[[^\]]*\]|【[^】]*】",
}
_PATTERNS = {name: re.compile(pattern, re.MULTILINE) for name, pattern in _UNSPOKEN.items()}


def check_speakable(text: str, lang: str) -> None:
    """Raises Unusable for a query that nobody would say aloud."""
    length = len(text) if lang == "zh" else len(text.split())
    shortest, longest = LENGTHS[lang]
    if length < shortest:
        raise Unusable("too short", f"{length} of at least {shortest}")
    if length > longest:
        raise Unusable("too long", f"{length} of at most {longest}")
    if "\n" in text:
        raise Unusable("not spoken-like", "several lines")
    for name, pattern in _PATTERNS.items():
        if pattern.search(text):
            raise Unusable("not spoken-like", name)
