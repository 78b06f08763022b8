"""The pieces that Listen spells words with: a subset of the language model's own tokens.

CTC over all of a language model's tokens would need every word in the training speech. So the vocabulary
keeps the tokens that occur often enough there, and spells other words with shorter tokens, down to letters:
the mapping from sound to piece is then learnable for words never heard in training. Each piece is a token of
the language model, so its embedding is too. How heard pieces become the language model's own tokens again is
`harken.model.speller`'s.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any

WORD = re.compile(r" ?[A-Za-z']+| ?[0-9]| ?[^A-Za-z0-9'\s]")
"""How text is cut before it is spelled; a word keeps the space before it."""

ALWAYS = [
    p + c for p in ("", " ") for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789',.?!-"
]


class Pieces:
    """A frozen list of language-model tokens and the shortest spelling of any text in them."""

    def __init__(self, tokenizer: Any, ids: list[int]) -> None:
        """Args: tokenizer: the language model's; ids: its tokens that serve as pieces, in order."""
        self.tokenizer = tokenizer
        self.ids = ids
        self.text = [tokenizer.decode([i]) for i in ids]
        self._index = {text: n for n, text in enumerate(self.text)}
        self._longest = max(map(len, self.text))

    def __len__(self) -> int:
        return len(self.ids)

    def spell(self, text: str) -> list[int]:
        """Text -> piece numbers. Characters that no piece covers are left out."""
        return [n for word in WORD.findall(clean(text)) for n in self._spell_word(word)]

    def spell_exactly(self, word: str) -> list[int]:
        """One word, with the space before it, if any, that a text would lose at its beginning."""
        return list(self._spell_word(word))

    def spelled(self, pieces: Iterable[int]) -> str:
        """Piece numbers -> text."""
        return "".join(self.text[n] for n in pieces)

    def words(self, pieces: list[int]) -> list[tuple[int, int]]:
        """Where each word of a heard sequence begins and ends: a piece with a leading space begins a word."""
        starts = [i for i, n in enumerate(pieces) if i == 0 or self.text[n].startswith(" ")]
        return list(pairwise([*starts, len(pieces)]))

    def _spell_word(self, word: str) -> tuple[int, ...]:
        return _fewest(word, self)


@lru_cache(maxsize=200_000)
def _fewest(word: str, pieces: Pieces) -> tuple[int, ...]:
    """The fewest pieces that spell a word; among equals, the one whose first piece is longest."""
    best: list[tuple[int, ...] | None] = [None] * len(word) + [()]
    for start in range(len(word) - 1, -1, -1):
        for end in range(min(len(word), start + pieces._longest), start, -1):
            piece, rest = pieces._index.get(word[start:end]), best[end]
            if piece is None or rest is None:
                continue
            here = best[start]
            if here is None or 1 + len(rest) < len(here):
                best[start] = (piece, *rest)
    if best[0] is not None:
        return best[0]
    known = "".join(c for c in word if c in pieces._index)
    return _fewest(known, pieces) if known and known != word else ()


def choose_pieces(tokenizer: Any, texts: list[str], at_least: int) -> Pieces:
    """The pieces that training transcripts can teach: tokens used `at_least` times, and all letters."""
    words = Counter(word for text in texts for word in WORD.findall(clean(text)))
    letters = {
        tokenizer.encode(c, add_special_tokens=False)[0] for c in ALWAYS if _is_one_token(tokenizer, c)
    }
    counts: Counter[int] = Counter()
    for word, times in words.items():
        for token in tokenizer.encode(word, add_special_tokens=False):
            counts[token] += times
    kept = {t for t, n in counts.items() if n >= at_least} | letters
    for _ in range(4):  # words that lost their token are spelled anew, with more of the shorter pieces
        pieces = Pieces(tokenizer, sorted(kept))
        counts = Counter()
        for word, times in words.items():
            for n in pieces._spell_word(word):
                counts[pieces.ids[n]] += times
        fewer = {t for t in kept if counts[t] >= at_least} | letters
        if fewer == kept:
            break
        kept = fewer
    return Pieces(tokenizer, sorted(kept))


def clean(text: str) -> str:
    """Text as it is spelled: straight quotes, single spaces, no bracketed tags such as [laughter]."""
    text = re.sub(r"\[[^\]]*\]", " ", text)
    for odd, plain in (
        ("’", "'"),
        ("‘", "'"),
        ("“", ""),
        ("”", ""),
        ('"', ""),
        ("…", "..."),
        ("—", ", "),
        ("–", "-"),
    ):
        text = text.replace(odd, plain)
    text = re.sub(r"\.{2,}", ".", text)
    text = re.sub(r"\s+([,.?!])", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


def _is_one_token(tokenizer: Any, text: str) -> bool:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return len(ids) == 1 and tokenizer.decode(ids) == text
