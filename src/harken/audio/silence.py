"""Where sound begins and ends in a recording.

Shapes: N samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AUDIBLE_DB = -45.0
"""Of full scale: a stretch below it is silence."""
WINDOW_S = 0.02


def audible_s(samples: NDArray[np.float32], sample_rate: int) -> tuple[float, float] | None:
    """Where the first audible 20 ms of (N,) samples begin and the last ones end, in seconds; None where there
    are none.
    """
    width = round(WINDOW_S * sample_rate)
    windows = samples[: samples.size // width * width].reshape(-1, width).astype(np.float64)
    loud = np.flatnonzero((windows**2).mean(1) > 10 ** (AUDIBLE_DB / 10))
    if not loud.size:
        return None
    return float(loud[0] * width / sample_rate), float((loud[-1] + 1) * width / sample_rate)
