"""How something is said, frame by frame: pitch, voicing and loudness, 50 times a second.

Pitch is read by SwiftF0, a small network (extra `units`). What a unit has to carry of it is decided in
`harken.model.units`.

Shapes: N samples, T frames (50 a second).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harken.errors import MissingExtra

SAMPLE_RATE_HZ = 16_000
FRAMES_PER_S = 50
VOICED = 0.5
"""The voicing from which a frame counts as voiced."""

_LOWEST_HZ, _HIGHEST_HZ = 60.0, 600.0  # of speech
_HOP = SAMPLE_RATE_HZ // FRAMES_PER_S


class Prosody(NamedTuple):
    """What is read of a recording; frame t is centred on (t + 0.5) / 50 s."""

    log_pitch: NDArray[np.float32]  # (T,) of Hz; interpolated where unvoiced
    voicing: NDArray[np.float32]  # (T,) 0 to 1
    loudness_db: NDArray[np.float32]  # (T,) against full scale, from -80

    def mean_log_pitch(self) -> float:
        """Over the voiced frames; of a whisper, that of a voice between a woman's and a man's."""
        voiced = self.voicing >= VOICED
        return float(self.log_pitch[voiced].mean()) if voiced.any() else float(np.log(160.0))

    def features(self, mean_log_pitch: float) -> NDArray[np.float32]:
        """(T, 3) about -1 to 1 each: pitch against the voice's own in half octaves, voicing, loudness."""
        relative = (self.log_pitch - mean_log_pitch) / np.log(2.0) * 2 * (self.voicing >= VOICED)
        loud = self.loudness_db / 40 + 1
        return np.stack([relative.clip(-4, 4), self.voicing, loud], axis=1).astype(np.float32)


def prosody(samples: NDArray[np.float32], frames: int) -> Prosody:
    """Read (N,) samples at 16 kHz; gives `frames` frames. Raises MissingExtra."""
    found = _detector().detect(samples, SAMPLE_RATE_HZ, _LOWEST_HZ, _HIGHEST_HZ)
    at = (np.arange(frames) + 0.5) / FRAMES_PER_S
    voiced = found.confidence >= VOICED
    if voiced.any():
        log_pitch = np.interp(at, found.timestamps[voiced], np.log(found.pitch_hz[voiced]))
    else:
        log_pitch = np.full(frames, np.log(160.0))
    voicing = np.interp(at, found.timestamps, found.confidence)
    return Prosody(
        log_pitch.astype(np.float32),
        voicing.astype(np.float32),
        loudness_db(samples, frames).astype(np.float32),
    )


def loudness_db(samples: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Root mean square of each 20 ms, in dB of full scale, -80 at least: (frames,)."""
    power = np.zeros(frames * _HOP, np.float32)
    heard = samples[: power.size]
    power[: heard.size] = heard**2
    mean = power.reshape(frames, _HOP).mean(1)
    decibels: NDArray[np.float32] = 10 * np.log10(mean.clip(1e-8))
    return decibels


@cache
def _detector() -> Any:
    try:
        from swift_f0 import SwiftF0
    except ImportError:
        raise MissingExtra("reading pitch", "units") from None
    return SwiftF0(threads=1, spin=False)
