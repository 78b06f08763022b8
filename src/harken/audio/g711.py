"""Sound of the telephone's: G.711, 8 kHz, eight bits a sample, by either law."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import soundfile

from harken.audio.io import Samples

SAMPLE_RATE_HZ = 8_000
Law = Literal["ULAW", "ALAW"]


def encoded(samples: Samples, law: Law) -> bytes:
    """Samples (N,) within [-1, 1] at 8 kHz, one byte each."""
    raw = io.BytesIO()
    soundfile.write(raw, samples, SAMPLE_RATE_HZ, format="RAW", subtype=law)
    return raw.getvalue()


def decoded(raw: bytes, law: Law) -> Samples:
    """The samples (N,) of bytes."""
    if not raw:
        return np.zeros(0, np.float32)
    samples: Samples
    samples, _ = soundfile.read(
        io.BytesIO(raw), dtype="float32", samplerate=SAMPLE_RATE_HZ, channels=1, format="RAW", subtype=law
    )
    return samples
