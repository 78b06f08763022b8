"""Text to the phonemes that Kokoro reads: sentences, then symbols of `symbols.SYMBOL_IDS`.

English goes through phonemizer and espeak-ng (GPL-3.0), Chinese through misaki, Latin words in Chinese the
English way: all in the extra `kokoro`. What nobody says aloud (emoji, scripts that the voice does not speak)
is left out; numbers are read out.
"""

from __future__ import annotations

import logging
import re
import threading
import unicodedata
import warnings
from difflib import SequenceMatcher
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from harken.errors import InputError, MissingExtra
from harken.voices.symbols import SYMBOL_IDS

LONGEST_LINE = 500
"""Symbols that Kokoro speaks at once; it has no style for more than 510."""

_SHORTEST_SENTENCE = 12  # characters: a shorter one joins the next, for on its own it is clipped or mumbled
_ABBREVIATION = re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|[A-Z])\.$")
_TITLE = re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|St)\.")  # its full stop would be heard as a pause
_SENTENCE_END = re.compile(r"""[.!?…]+["'”’)\]]*\s+|[。！？]+["”’）]*\s*|\n+""")
_CLAUSE_END = re.compile(r"[,;:.!?—…] ")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_LONG_NUMBER = re.compile(r"\d{8,}")  # of a telephone, say: read digit by digit in Chinese
_HAN_DIGITS = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
_LATIN = re.compile(r"[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ0-9' -]*")
_WORD = re.compile(r"[^\s—–]+[—–]*")
_AROUND = ",.;:!?…—–\"'()“”‘’"
_WEAK = frozenset((
    "a", "an", "am", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
    "does", "for", "from", "had", "has", "have", "he", "her", "him", "his", "i", "i'd", "i'll", "i'm",
    "i've", "if", "in", "is", "it", "it's", "its", "me", "must", "my", "of", "on", "or", "our", "shall",
    "she", "should", "so", "that", "that's", "the", "their", "them", "they", "they're", "this", "to",
    "us", "was", "we", "we're", "were", "will", "with", "would", "you", "you're", "your",
))  # fmt: skip  # spoken without stress among others
_MOST_JOINED = 3  # words that may run into one another
_ALIKE = 0.7
"""How alike (0 to 1) words apart and in their line must sound to be taken for the same."""
_LOCK = threading.Lock()  # espeak-ng keeps state of its own


def sentences(text: str) -> list[str]:
    """The sentences of `text`, without surrounding white space; very short ones joined to what follows."""
    pieces, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        piece = text[start : end.end()].strip()
        shortest = _SHORTEST_SENTENCE // (
            3 if piece[-1:] in "。！？”" else 1
        )  # a Chinese character is a syllable
        if len(piece) >= shortest and not _ABBREVIATION.search(piece):
            pieces.append(piece)
            start = end.end()
    rest = text[start:].strip()
    return [*pieces, rest] if rest else pieces


def phonemes(text: str, accent: str) -> str:
    """The symbols to speak; empty where nothing in `text` can be spoken.

    `accent` is `en-us`, `en-gb` or `zh`. Raises MissingExtra where what it needs is not installed, and
    InputError for any other accent.
    """
    if accent not in ("en-us", "en-gb", "zh"):
        raise InputError(f"accent {accent!r} cannot be spoken", "accents: en-us, en-gb, zh")
    spoken = " ".join("".join(c if _is_spoken(c, accent) else " " for c in text).split())
    if not any(c.isalnum() for c in spoken):
        return ""
    line = _mandarin(spoken) if accent == "zh" else english(spoken, accent)
    line = "".join(c for c in line if c in SYMBOL_IDS).strip()
    return line if any(c.isalpha() for c in line) else ""


def lines(text: str, accent: str) -> list[str]:
    """`text` as lines of phonemes, one or more a sentence, each of 1 to `LONGEST_LINE` symbols."""
    return [line for sentence in sentences(text) for line in fit(phonemes(sentence, accent)) if line]


class SpokenWord(NamedTuple):
    """A word of a text as it is spoken, apart from the others."""

    start: int  # characters of the text
    end: int
    symbols: str


def words(text: str, accent: str = "en-us") -> list[SpokenWord]:
    """Each word of `text` by itself, its punctuation with it, so that it is spoken the same however much of
    the text is there yet; words in which nothing can be spoken are left out. English only.

    Raises MissingExtra and InputError as `phonemes` does.
    """
    found = []
    for word in _WORD.finditer(text):
        symbols = phonemes(word[0], accent)
        if word[0].strip(_AROUND).lower() in _WEAK:
            symbols = symbols.replace("ˈ", "").replace("ˌ", "")
            symbols = {"eɪ": "ɐ"}.get(symbols, symbols)  # "a"
        if symbols:
            found.append(SpokenWord(word.start(), word.end(), symbols))
    return found


def in_order(spoken: list[str], apart: list[SpokenWord]) -> list[list[SpokenWord]] | None:
    """Which words, spoken apart, each part of a spoken line is made of: one as a rule, up to three where they
    run into one another. None where that cannot be told.
    """
    ways: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}  # by how many words are used up, the best one
    for part in spoken:
        further: dict[int, tuple[float, list[int]]] = {}
        for used, (score, counts) in ways.items():
            for count in range(1, min(_MOST_JOINED, len(apart) - used) + 1):
                joined = "".join(word.symbols for word in apart[used : used + count])
                more = score + len(part) * SequenceMatcher(None, part, joined, autojunk=False).ratio()
                if more > further.get(used + count, (-1.0, []))[0]:
                    further[used + count] = more, [*counts, count]
        ways = further
    score, counts = ways.get(len(apart), (0.0, []))
    if not spoken or score < _ALIKE * sum(map(len, spoken)):
        return None
    words = iter(apart)
    return [[next(words) for _ in range(count)] for count in counts]


def fit(line: str) -> list[str]:
    """Splits a line after the last clause that fits, else after the last word, else where it must."""
    fitting = []
    while len(line) > LONGEST_LINE:
        head = line[: LONGEST_LINE + 1]
        cut = max((end.end() for end in _CLAUSE_END.finditer(head, LONGEST_LINE // 3)), default=0)
        cut = min(cut or head.rfind(" ") + 1 or LONGEST_LINE, LONGEST_LINE)
        fitting.append(line[:cut].strip())
        line = line[cut:].strip()
    return [*fitting, line]


def _is_spoken(character: str, accent: str) -> bool:
    """Latin letters, digits, punctuation and signs like $ and %; Han characters too in Chinese."""
    category = unicodedata.category(character)
    if category[0] == "L":
        name = unicodedata.name(character, "")
        return name.startswith(("LATIN", "GREEK")) or (accent == "zh" and name.startswith("CJK"))
    if category in ("So", "Sk"):
        return character in "°©®™^`"
    return category[0] in "MNPSZ" and not 0xFE00 <= ord(character) <= 0xFE0F  # variation selectors of emoji


def english(text: str, accent: str) -> str:
    """English as espeak-ng says it, punctuation kept. Raises MissingExtra."""
    with _LOCK:
        spoken: list[str] = _espeak(accent).phonemize([_TITLE.sub(r"\1", text)], strip=True)
    return spoken[0] if spoken else ""


def _mandarin(text: str) -> str:
    """Mandarin and its numbers by misaki, each stretch of Latin words between by espeak-ng."""
    misaki = _misaki()  # which is missing is told before anything is spoken
    text = _LONG_NUMBER.sub(lambda n: "".join(map(_han_digit, n[0])), _THOUSANDS.sub("", text))
    line, start = "", 0
    for latin in _LATIN.finditer(text):
        line += _syllables(misaki, text[start : latin.start()]) + f" {english(latin[0], 'en-us')} "
        start = latin.end()
    return re.sub(r" +", " ", line + _syllables(misaki, text[start:]))


def _han_digit(digit: str) -> str:
    return _HAN_DIGITS[str(unicodedata.decimal(digit))]


def _syllables(misaki: Any, text: str) -> str:
    """What misaki makes of a text; characters that it knows no syllable for are left out."""
    if not text.strip():
        return text
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that it leaves as they are
        try:
            return str(misaki(text)[0])
        except ValueError:
            return str(misaki("".join(c for c in text if _has_syllable(misaki, c)) or " ")[0])


def _has_syllable(misaki: Any, character: str) -> bool:
    try:
        misaki(character)
    except ValueError:
        return False
    return True


@cache
def _espeak(accent: str) -> Any:
    try:
        import espeakng_loader
        from phonemizer.backend import EspeakBackend
        from phonemizer.backend.espeak.wrapper import EspeakWrapper
    except ImportError:
        raise MissingExtra("speaking English", "kokoro") from None
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    quiet = logging.getLogger("harken.voices.phonemes")
    quiet.setLevel(logging.ERROR)  # it warns of every foreign word
    return EspeakBackend(
        accent, preserve_punctuation=True, with_stress=True, language_switch="remove-flags", logger=quiet
    )


@cache
def _misaki() -> Any:
    try:
        chinese, jieba = import_module("misaki.zh"), import_module("jieba")
    except ImportError:
        raise MissingExtra("speaking Chinese with Kokoro", "kokoro") from None
    jieba.setLogLevel(logging.ERROR)  # it tells of its dictionary
    return chinese.ZHG2P()
