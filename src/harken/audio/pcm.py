"""Sound as OpenAI's streams carry it, in both directions: 16-bit mono PCM at 24 kHz, in base64."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from harken.audio.io import Samples

SAMPLE_RATE_HZ = 24_000


def encoded(samples: Samples) -> str:
    """Samples (N,) within [-1, 1] at 24 kHz, as text."""
    return base64.b64encode(np.round(samples * 32767).astype("<i2").tobytes()).decode()


def decoded(pieces: Sequence[str]) -> Samples:
    """The samples (N,) in the pieces of a stream, which may be cut anywhere.

    Raises: ValueError where they are not whole samples in base64.
    """
    try:
        raw = b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
        return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768)
    except ValueError as error:
        raise ValueError(f"the sound of its answer cannot be read: {error}") from error
