"""A reply's text as Speak reads it, growing with the text: symbols, and the token whose word each is of.

A word can be said once it is whole, which is when something follows it or the text has ended. How a word is
pronounced is told by whoever makes this (`harken.voices.phonemes.words`).

Shapes: P symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Spoken(Protocol):
    """A word of a text and its symbols."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def symbols(self) -> str: ...


Pronounce = Callable[[str], Sequence[Spoken]]
"""A text -> its words, each by itself."""


class SpokenText:
    """What of a text can be said so far."""

    def __init__(self, pronounce: Pronounce, symbol_ids: dict[str, int]) -> None:
        self._pronounce, self._ids = pronounce, symbol_ids
        self.symbols: list[int] = []  # numbers of symbols
        self.tokens: list[int] = []  # of each symbol, the token in which its word ends
        self.text_ends: list[int] = []  # of each symbol, the characters up to the end of its word
        self.finished = False
        self._taken = 0  # characters
        self._text, self._token_ends = "", list[int]()

    def write(self, text: str, token_ends: Sequence[int], final: bool = False) -> None:
        """The text as it is now.

        Args:
            text: all of it; it begins with what there was.
            token_ends: how many characters there are after each of its tokens.
            final: nothing more will come.
        """
        self._text, self._token_ends, self.finished = text, list(token_ends), final
        whole = len(text) if final else _last_break(text)
        for word in self._pronounce(text[self._taken : whole]):
            end = self._taken + word.end
            token = next((t for t, there in enumerate(self._token_ends) if there >= end), len(token_ends) - 1)
            said = [self._ids[symbol] for symbol in f"{word.symbols.strip()} "]
            self.symbols += said
            self.tokens += [token] * len(said)
            self.text_ends += [end] * len(said)
        self._taken = max(self._taken, whole)

    def __len__(self) -> int:
        return len(self.symbols)


def _last_break(text: str) -> int:
    """Where the last word begins that may still grow."""
    return max((i + 1 for i, character in enumerate(text) if character.isspace()), default=0)
