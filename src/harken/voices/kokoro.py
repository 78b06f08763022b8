"""Kokoro-82M (Apache-2.0 weights, int8 ONNX), the external voice of replies and of rendered training speech.

It is a base voice behind `voices.base.Voice`: pace and prosody follow a `Style`, but it does not hear the
dialogue. Needs the extra `kokoro`. The weights' folder holds `kokoro-quantized.onnx` and `voices/<name>.bin`.
Voices blend: `af_bella+am_adam` speaks with the mean of both style vectors and the accent of the first.

Shapes: P = symbols of a line, N = samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harken.errors import InputError, MissingExtra, WeightsError
from harken.voices import casts, phonemes
from harken.voices.base import NEUTRAL, Samples, Style, level
from harken.voices.symbols import PAD_ID, SYMBOL_IDS
from harken.weights.store import ensure

WEIGHTS = "kokoro-82m"
SAMPLE_RATE_HZ = 24_000

_STYLE_SIZE = 256
_PROSODY = slice(
    128, 256
)  # the half of a style vector that carries pitch, energy and timing; the rest is timbre
_ACCENTS = {"a": "en-us", "b": "en-gb", "z": "zh"}  # by the first letter of a voice's name


class KokoroVoice:
    """One voice of Kokoro-82M. Voices of one folder share the network; it uses `threads` cores."""

    def __init__(self, folder: Path, name: str = "af_heart", threads: int = 2) -> None:
        """Args: name: a voice in `folder`, or a blend of several of one language.

        Raises InputError for a voice that is not in `folder`, DataError for a blend of two languages,
        WeightsError, and MissingExtra.
        """
        styles = [_styles(folder, part) for part in casts.parts(name)]
        casts.language(name)
        self._styles = np.stack(styles).mean(axis=0)  # row = style for a line of so many symbols
        self._session = _session(folder / "kokoro-quantized.onnx", threads)
        self._accent = _ACCENTS[name[0]]
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def sample_rate(self) -> int:
        return SAMPLE_RATE_HZ

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        """Float32 chunks (N,) at 24 kHz, one a sentence; none where nothing in `text` can be spoken."""
        for line in phonemes.lines(text, self._accent):
            yield level(self._say(line, style), style.gain)

    def _say(self, line: str, style: Style) -> Samples:
        ids = np.array(
            [[PAD_ID, *(SYMBOL_IDS[symbol] for symbol in line), PAD_ID]], dtype=np.int64
        )  # (1, P+2)
        manner = self._styles[len(line)][None].copy()  # (1, 256)
        manner[:, _PROSODY] *= style.prosody_scale
        speed = np.array([style.speed], dtype=np.float32)
        (wave,) = self._session.run(None, {"input_ids": ids, "style": manner, "speed": speed})
        samples: Samples = wave.reshape(-1)
        return samples


def load(name: str = "af_heart", threads: int = 2) -> KokoroVoice:
    """The voice, its weights fetched first where they are not there yet."""
    return KokoroVoice(ensure(WEIGHTS), name, threads)


def _styles(folder: Path, name: str) -> Samples:
    """A voice's style vectors, (lengths of a line, 256)."""
    file = folder / "voices" / f"{name}.bin"
    if name[:1] not in _ACCENTS or not file.is_file():
        known = sorted(f.stem for f in (folder / "voices").glob("*.bin") if f.stem[0] in _ACCENTS)
        raise InputError(
            f"Kokoro has no voice {name!r}", f"voices: {', '.join(known) or f'none in {folder}'}"
        )
    styles = np.fromfile(file, dtype=np.float32)
    if styles.size % _STYLE_SIZE or styles.size // _STYLE_SIZE <= phonemes.LONGEST_LINE:
        raise WeightsError(f"{file} is damaged ({styles.nbytes} bytes)", f"harken weights pull {WEIGHTS}")
    return styles.reshape(-1, _STYLE_SIZE)


@lru_cache(maxsize=2)
def _session(model: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("the Kokoro voice", "kokoro") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base of their own
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{model} cannot be loaded: {reason}", f"harken weights pull {WEIGHTS}") from None
