"""DNSMOS P.835: how good speech sounds, as a network trained on people's ratings predicts it, 1 to 5.

Source: Reddy et al. 2022 (arXiv 2110.01763) and its released model and scale.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harken.errors import MissingExtra
from harken.weights.store import ensure

WEIGHTS = "dnsmos"
SAMPLE_RATE_HZ = 16_000

_WINDOW = int(9.01 * SAMPLE_RATE_HZ)
_SCALES = (  # from the network's numbers to opinion scores, highest power first
    np.poly1d([-0.08397278, 1.22083953, 0.0052439]),
    np.poly1d([-0.13166888, 1.60915514, -0.39604546]),
    np.poly1d([-0.06766283, 1.11546468, 0.04602535]),
)


class Opinion(NamedTuple):
    """Mean opinion scores, 1 (bad) to 5 (excellent)."""

    speech: float
    background: float
    overall: float


def dnsmos(samples: NDArray[np.float32]) -> Opinion:
    """Of (N,) samples at 16 kHz within [-1, 1]; what is shorter than 9 s is repeated, as the authors do.

    Raises MissingExtra, WeightsError, and ValueError where there are no samples.
    """
    if samples.size == 0:
        raise ValueError("there are no samples to judge")
    while samples.size < _WINDOW:
        samples = np.concatenate([samples, samples])
    starts = range(0, samples.size - _WINDOW + 1, SAMPLE_RATE_HZ)
    windows = np.stack([samples[start : start + _WINDOW] for start in starts]).astype(np.float32)
    raw = np.concatenate([_session().run(None, {"input_1": window[None]})[0] for window in windows])  # (W, 3)
    return Opinion(*(float(scale(raw[:, i]).mean()) for i, scale in enumerate(_SCALES)))


@cache
def _session() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("judging how speech sounds", "kokoro") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(
        str(ensure(WEIGHTS) / "sig_bak_ovr.onnx"), options, providers=["CPUExecutionProvider"]
    )
