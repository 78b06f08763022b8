"""The recording that benches answer: an example, or a made-up one, cut or tiled to the length asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harken.audio.io import SAMPLE_RATE_HZ, read

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
"""Only in a checkout; an installed Harken has none."""


def recording(seconds: float, examples: Path = EXAMPLES) -> tuple[NDArray[np.float32], str]:
    """Samples at 16 kHz of exactly so many seconds, (N,), and where they are from."""
    found = sorted(examples.glob("*.wav"))
    samples, name = (read(found[0]).samples, found[0].name) if found else (_made_up(), "made-up sounds")
    length = round(seconds * SAMPLE_RATE_HZ)
    return np.tile(samples, -(-length // len(samples)))[:length], name


def _made_up() -> NDArray[np.float32]:
    """Four seconds of a hum whose pitch and loudness change four times a second, as in speech."""
    time_s = np.arange(4 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    pitch_hz = 140 + 40 * np.sin(2 * np.pi * 0.7 * time_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    hum = sum(np.sin(n * phase) / n for n in range(1, 12))
    loudness = np.clip(np.sin(2 * np.pi * 4 * time_s), 0, None)
    return (0.1 * hum * loudness).astype(np.float32)
