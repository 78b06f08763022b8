"""Reading speech back: a recogniser writes down what was synthesised, and how far that is from the text.

A clip that a recogniser cannot read teaches nothing good. Texts are compared as they sound: without case and
punctuation, English numbers as words, Chinese as syllables, since 他 and 她, or 裡 and 里, sound the same.
What becomes of a clip that is too far off is left to `harken.data.speech_making`.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harken.audio.io import SAMPLE_RATE_HZ
from harken.audio.windows import windows
from harken.errors import MissingExtra

Samples = NDArray[np.float32]
Recogniser = Callable[[Samples, str], str]
"""A recording (N,) at 16 kHz, and its language (en, zh) -> its words."""

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_SIGNS = {"%": " percent ", "&": " and ", "+": " plus ", "=": " equals ", "@": " at "}
_MONEY = {"$": "dollars", "£": "pounds", "€": "euros", "¥": "yuan"}
_CONTRACTIONS = {"okay": "ok", "mister": "mr", "missus": "mrs", "doctor": "dr", "gonna": "going to"}
_HAN = r"㐀-鿿"


def character_error_rate(reference: str, hypothesis: str, lang: str = "en") -> float:
    """Edits between two texts as they sound, over the reference's length; Chinese counts syllables.

    0 where neither holds anything spoken, 1 where only the reference holds nothing. Can pass 1.
    """
    from rapidfuzz.distance import Levenshtein

    said, heard = (_symbols(text, lang) for text in (reference, hypothesis))
    if not said:
        return 1.0 if heard else 0.0
    return Levenshtein.distance(said, heard) / len(said)


def comparable(text: str, lang: str = "en") -> str:
    """The text as it is compared."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    if lang == "zh":
        return " ".join(_syllables(re.sub(r"(\d+(?:\.\d+)?)%", r"百分之\1", text)))
    text = re.sub(r"([$£€¥])(\d+(?:\.\d+)?)", lambda m: f"{m[2]} {_MONEY[m[1]]}", text)
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = re.sub(r"(\d+)(st|nd|rd|th)\b", lambda m: f" {_ordinal(int(m[1]))} ", text)
    text = re.sub(r"(\d+)\.(\d+)", lambda m: f"{m[1]} point {' '.join(m[2])}", text)
    text = re.sub(r"\d+", lambda m: f" {_number(m[0])} ", text)
    words = re.sub(r"[^\w' ]+|_", " ", text).replace("'", "").split()
    return " ".join(_CONTRACTIONS.get(word, word) for word in words)


def _symbols(text: str, lang: str) -> str | list[str]:
    plain = comparable(text, lang)
    return plain.split() if lang == "zh" else plain.replace(" ", "")  # "every day" sounds as "everyday" does


def _number(digits: str) -> str:
    """A whole number in words; long ones, and those that begin with 0, digit by digit."""
    if len(digits) > 9 or (len(digits) > 1 and digits[0] == "0"):
        return " ".join(_ONES[int(digit)] for digit in digits)
    return _cardinal(int(digits))


def _cardinal(number: int) -> str:
    if number < 20:
        return _ONES[number]
    if number < 100:
        ten, one = divmod(number, 10)
        return _TENS[ten - 2] + (f" {_ONES[one]}" if one else "")
    size, name = next((size, name) for size, name in _SCALES if number >= size)
    many, rest = divmod(number, size)
    return f"{_cardinal(many)} {name}" + (f" {_cardinal(rest)}" if rest else "")


def _ordinal(number: int) -> str:
    head, _, last = _cardinal(number).rpartition(" ")
    last = _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return f"{head} {last}".strip()


def _syllables(text: str) -> list[str]:
    """Chinese as toneless pinyin, one a character; numbers read out; other words as they are."""
    try:
        import cn2an
        from pypinyin import lazy_pinyin
    except ImportError:
        raise MissingExtra("reading Chinese back", "kokoro") from None
    text = re.sub(r"[0-9]{1,16}", lambda m: str(cn2an.an2cn(m[0], "low")), text)
    spoken: list[str] = []
    for piece in re.findall(rf"[{_HAN}]+|[^\W_{_HAN}]+", text):
        spoken += lazy_pinyin(piece) if re.match(rf"[{_HAN}]", piece) else [piece]
    return spoken


class WhisperRecogniser:
    """Whisper, run on little more than the clip's own length: several times as quick as on 30 s.

    It seldom loops on a short window, and then within bounds that follow from the clip's length; `careful`
    reads the same clip as Whisper's makers intended. Longer recordings are cut at pauses.
    """

    PAD_S = 2.0
    """Silence after a clip: without any, Whisper drops last words or goes on talking."""
    TOKENS_A_SECOND = 8
    WINDOW_S = 30.0

    def __init__(self, folder: Path) -> None:
        """Args: folder: a multilingual Whisper model in transformers' layout."""
        import torch
        from transformers import AutoTokenizer, WhisperForConditionalGeneration

        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model = WhisperForConditionalGeneration.from_pretrained(folder).eval().to(self._device)

    def __call__(self, samples: Samples, lang: str) -> str:
        """The words of a recording (N,) at 16 kHz."""
        return self._read(samples, lang, careful=False)

    def careful(self, samples: Samples, lang: str) -> str:
        """As a call, with every window padded to 30 s."""
        return self._read(samples, lang, careful=True)

    def _read(self, samples: Samples, lang: str, careful: bool) -> str:
        longest = self.WINDOW_S - (0.0 if careful else self.PAD_S)
        texts = [self._window(samples[part], lang, careful) for part in windows(samples, longest)]
        return ("" if lang == "zh" else " ").join(texts)

    def _window(self, samples: Samples, lang: str, careful: bool) -> str:
        import torch
        from transformers.modeling_outputs import BaseModelOutput

        from harken.audio.features import log_mel
        from harken.model.encoder import SpeechEncoder

        seconds = self.WINDOW_S if careful else samples.size / SAMPLE_RATE_HZ + self.PAD_S
        padded = np.pad(samples, (0, int(seconds * SAMPLE_RATE_HZ) - samples.size))
        with torch.inference_mode():
            mel = torch.from_numpy(log_mel(padded))[None].to(self._device)  # (1, 80, T)
            states, _ = SpeechEncoder(self._model.model.encoder)(mel)  # (1, T / 2, L + 1, D)
            ids = self._model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=states[:, :, -1]),
                language=lang,
                task="transcribe",
                num_beams=1,
                do_sample=False,
                max_new_tokens=16 + int(self.TOKENS_A_SECOND * samples.size / SAMPLE_RATE_HZ),
            )
        return str(self._tokenizer.batch_decode(ids, skip_special_tokens=True)[0]).strip()


_LOADING = threading.Lock()


@cache
def _whisper(weights: str) -> WhisperRecogniser:
    from harken.weights.store import ensure

    return WhisperRecogniser(ensure(weights))


def recogniser(weights: str = "whisper-base") -> WhisperRecogniser:
    """The recogniser of a name in the catalogue, loaded once in a process."""
    with _LOADING:
        return _whisper(weights)
