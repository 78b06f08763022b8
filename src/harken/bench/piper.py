"""A Piper voice (VITS, ONNX) behind `harken.voices.base.Voice`: the quickest of the catalogue, to measure
against. Its runtime is not needed: symbols are espeak-ng's, as Kokoro's are (extra `kokoro`).

Shapes: P symbols, N samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harken.errors import MissingExtra
from harken.voices.base import NEUTRAL, Samples, Style
from harken.voices.phonemes import english

WEIGHTS = "piper-joe"
_FILE = "en_US-joe-medium.onnx"
_START, _END, _BETWEEN = "^", "$", "_"


class PiperVoice:
    """One voice."""

    def __init__(self, folder: Path, threads: int = 2) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtra("the Piper voice", "kokoro") from None
        about = json.loads((folder / f"{_FILE}.json").read_text())
        self._ids: dict[str, list[int]] = about["phoneme_id_map"]
        self._scales = np.array(
            [about["inference"][name] for name in ("noise_scale", "length_scale", "noise_w")], np.float32
        )
        self.sample_rate: int = about["audio"]["sample_rate"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(folder / _FILE), options, providers=["CPUExecutionProvider"]
        )

    @property
    def name(self) -> str:
        return WEIGHTS

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        """All of `text` in one chunk (N,); it has one manner only."""
        symbols = [symbol for symbol in english(text, "en-us") if symbol in self._ids]
        if not any(symbol.isalpha() for symbol in symbols):
            return
        ids = list(self._ids[_START])
        for symbol in symbols:
            ids += [*self._ids[_BETWEEN], *self._ids[symbol]]
        ids += [*self._ids[_BETWEEN], *self._ids[_END]]
        feed = {
            "input": np.array([ids], np.int64),  # (1, P)
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": self._scales,
        }
        (wave,) = self._session.run(None, feed)
        yield wave.reshape(-1)
