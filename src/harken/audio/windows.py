"""Cutting a long recording into windows that Whisper can hear, between words rather than through them.

Affect is taken over all windows; the core reads only the last five minutes of words (`WORDS_LIMIT_S`), and
`last_window_start` tells a caller where those begin, so that it can say so. Reading is left to
`harken.audio.io`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
WINDOW_S = 30.0
"""The longest stretch that Whisper's encoder takes."""
WORDS_LIMIT_S = 300.0
"""How much of the end of a recording the core reads."""

_SEARCH_SHARE = 0.2  # the last fifth of a window is searched for a pause
_STEP_S = 0.01
_PAUSE_S = 0.2  # loudness is averaged over about the length of a pause


def windows(samples: NDArray[np.float32], window_s: float = WINDOW_S) -> list[slice]:
    """Slices that cover (N,) samples at 16 kHz once and in order, none longer than `window_s`.

    Each cut is at the quietest point of the last fifth of its window, the latest one where several are as
    quiet, and leaves at least as much as that fifth for the window after. No samples give no windows.
    """
    longest = int(window_s * SAMPLE_RATE_HZ)
    if longest < 1:
        raise ValueError(f"window_s={window_s} holds no sample")
    search = max(1, int(longest * _SEARCH_SHARE))
    cuts, start = [], 0
    while samples.size - start > longest:
        end = min(start + longest, samples.size - search)
        start = end - search + _quietest(samples[end - search : end])
        cuts.append(start)
    edges = [0, *cuts, samples.size]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def last_window_start(cut: list[slice], limit_s: float = WORDS_LIMIT_S) -> int:
    """Index of the first of the windows `cut` that the core reads: those that end within `limit_s` of sound.

    0 where all are read. At least the last window is read, however long.
    """
    limit = limit_s * SAMPLE_RATE_HZ
    return next(
        (i for i, window in enumerate(cut) if cut[-1].stop - window.start <= limit), max(len(cut) - 1, 0)
    )


def _quietest(stretch: NDArray[np.float32]) -> int:
    """The sample at the middle of the quietest `_PAUSE_S` of a stretch, (S,) -> at least 1 and at most S."""
    step = min(int(_STEP_S * SAMPLE_RATE_HZ), stretch.size)
    steps = stretch.size // step
    energy = np.square(stretch[: steps * step].reshape(steps, step), dtype=np.float64).mean(
        axis=1
    )  # (steps,)
    span = min(int(_PAUSE_S / _STEP_S), steps)
    total = np.concatenate([[0.0], np.cumsum(energy)])
    loudness = np.round(
        total[span:] - total[:-span], 12
    )  # (steps - span + 1,); rounded: equal silences are equal
    latest = loudness.size - 1 - int(loudness[::-1].argmin())
    return max(1, latest * step + span * step // 2)
