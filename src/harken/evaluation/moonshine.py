"""Moonshine-tiny, an English recogniser of another family than Whisper: it reads back speech whose units come
from Whisper's states, so that nothing is judged by what it was made with.

Shapes: N samples at 16 kHz, S past tokens.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harken.errors import MissingExtra
from harken.weights.store import ensure

WEIGHTS = "moonshine-tiny"
SAMPLE_RATE_HZ = 16_000

_START, _END = 1, 2
_LAYERS, _HEADS, _HEAD = 6, 8, 36
_TOKENS_PER_S = 6.5  # as its authors bound it, against loops
_LONGEST_S = 28.0
_SHORTEST = 1600  # samples: less than a tenth of a second holds no word


class Moonshine:
    """Samples (N,) at 16 kHz -> the words in them, greedily."""

    def __init__(self, threads: int = 2) -> None:
        """Raises MissingExtra and WeightsError."""
        self._encoder, self._decoder, self._tokenizer = _parts(threads)

    def __call__(self, samples: NDArray[np.float32]) -> str:
        step = int(_LONGEST_S * SAMPLE_RATE_HZ)
        parts = [samples[start : start + step] for start in range(0, samples.size, step)]
        return " ".join(self._read(part) for part in parts if part.size >= _SHORTEST).strip()

    def _read(self, samples: NDArray[np.float32]) -> str:
        (states,) = self._encoder.run(None, {"input_values": samples[None].astype(np.float32)})
        empty = np.zeros((1, _HEADS, 0, _HEAD), np.float32)
        names = [
            f"{i}.{side}.{kind}"
            for i in range(_LAYERS)
            for side in ("decoder", "encoder")
            for kind in ("key", "value")
        ]
        past = dict.fromkeys((f"past_key_values.{name}" for name in names), empty)
        tokens = [_START]
        for _ in range(int(samples.size / SAMPLE_RATE_HZ * _TOKENS_PER_S) + 2):
            feed = {
                "input_ids": np.array([tokens[-1:]], np.int64),
                "encoder_hidden_states": states,
                "use_cache_branch": np.array([len(tokens) > 1]),
                **past,
            }
            logits, *present = self._decoder.run(None, feed)
            tokens.append(int(logits[0, -1].argmax()))
            if tokens[-1] == _END:
                break
            for name, value in zip(names, present, strict=True):
                if len(tokens) == 2 or ".decoder." in name:  # what the encoder gives is made once
                    past[f"past_key_values.{name}"] = value
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text


@cache
def _parts(threads: int) -> tuple[Any, Any, Any]:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("reading speech back with Moonshine", "kokoro") from None
    from tokenizers import Tokenizer

    folder, options = ensure(WEIGHTS), onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    encoder, decoder = (
        onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
        for name in ("encoder_model.onnx", "decoder_model_merged.onnx")
    )
    return encoder, decoder, Tokenizer.from_file(str(folder / "tokenizer.json"))
