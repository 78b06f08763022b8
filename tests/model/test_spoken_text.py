"""A text that grows, as Speak reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from harken.model.spoken_text import SpokenText

IDS = {letter: number for number, letter in enumerate(" abcdefghijklmnopqrstuvwxyz.", 1)}


@dataclass
class Word:
    start: int
    end: int
    symbols: str


def spelled(text: str) -> list[Word]:
    """Every word as its letters; a dash is not said."""
    found = (Word(w.start(), w.end(), re.sub(r"[^a-z.]", "", w[0])) for w in re.finditer(r"\S+", text))
    return [word for word in found if word.symbols]


def read(spoken: SpokenText) -> str:
    letters = {number: letter for letter, number in IDS.items()}
    return "".join(letters[number] for number in spoken.symbols)


def test_a_word_is_said_when_it_is_whole() -> None:
    spoken = SpokenText(spelled, IDS)
    spoken.write("oh n", [2, 4])
    assert read(spoken) == "oh " and not spoken.finished
    spoken.write("oh no.", [2, 4, 6])
    assert read(spoken) == "oh "
    spoken.write("oh no.", [2, 4, 6], final=True)
    assert read(spoken) == "oh no. " and spoken.finished
    assert spoken.tokens == [0] * 3 + [2] * 4 and spoken.text_ends == [2] * 3 + [6] * 4


def test_what_is_not_said_has_no_symbols() -> None:
    spoken = SpokenText(spelled, IDS)
    spoken.write("-- a - b", [8], final=True)
    assert read(spoken) == "a b "
    nothing = SpokenText(spelled, IDS)
    nothing.write("--", [2], final=True)
    assert len(nothing) == 0 and nothing.finished


@given(st.text("ab -.", max_size=30), st.lists(st.integers(1, 5), max_size=10))
def test_in_pieces_or_at_once(text: str, cuts: list[int]) -> None:
    whole, pieces = SpokenText(spelled, IDS), SpokenText(spelled, IDS)
    ends = list(range(1, len(text) + 1))
    whole.write(text, ends, final=True)
    at = 0
    for cut in cuts:
        at = min(at + cut, len(text))
        pieces.write(text[:at], ends[:at])
    pieces.write(text, ends, final=True)
    assert pieces.symbols == whole.symbols
    assert pieces.tokens == whole.tokens and pieces.text_ends == whole.text_ends
    assert whole.text_ends == sorted(whole.text_ends)
