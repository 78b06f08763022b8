"""Windows cover a recording once, in order, and are cut in pauses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.audio.io import from_array
from harken.audio.windows import last_window_start, windows


@settings(max_examples=60, deadline=None)
@given(
    sample_count=st.integers(0, 200_000),
    window_s=st.floats(0.0001, 3.0, exclude_min=True),
    seed=st.integers(0, 100),
)
def test_cover_everything_once_in_order_none_too_long(sample_count: int, window_s: float, seed: int) -> None:
    samples = np.random.default_rng(seed).standard_normal(sample_count).astype(np.float32)
    if window_s < 0.02 and sample_count > 20_000:
        samples = samples[:20_000]
    cut = windows(samples, window_s)
    assert sum(w.stop - w.start for w in cut) == samples.size
    assert all(0 < w.stop - w.start <= window_s * 16_000 for w in cut)
    edges = [0, *(w.stop for w in cut)]
    assert [w.start for w in cut] == edges[:-1]


def test_cuts_fall_in_pauses() -> None:
    """Words of 0.7 s with pauses of 0.3 s: every cut must be inside a pause."""
    t = np.arange(100 * 16_000) / 16_000
    loud = (t % 1.0) < 0.7
    samples = np.where(loud, np.sin(2 * np.pi * 200 * t), 0.0).astype(np.float32)
    cut = windows(samples)
    assert len(cut) == 4
    assert all(not loud[w.start] for w in cut[1:])


def test_steady_sound_is_cut_late_and_leaves_no_sliver() -> None:
    cut = windows(np.zeros(int(30.05 * 16_000), np.float32))
    assert len(cut) == 2
    assert cut[1].stop - cut[1].start >= 16_000


def test_a_long_recording_of_any_rate_is_read_and_cut() -> None:
    """Six minutes at 8 kHz: thirteen windows or so; the core reads those of the last five minutes."""
    t = np.arange(360 * 8_000) / 8_000
    recording = from_array(0.3 * np.sin(2 * np.pi * 200 * t) * (t % 1.0 < 0.7), 8_000)
    cut = windows(recording.samples)
    first = last_window_start(cut)
    assert recording.seconds == 360 and 12 <= len(cut) <= 15
    assert 270 <= recording.seconds - cut[first].start / 16_000 <= 300


def test_short_recording_is_one_window() -> None:
    assert windows(np.ones(30 * 16_000, np.float32)) == [slice(0, 480_000)]


@pytest.mark.parametrize(("seconds", "first"), [(10, 0), (300, 0), (301, 1), (3600, 110)])
def test_the_core_reads_the_last_five_minutes(seconds: int, first: int) -> None:
    starts = range(0, seconds, 30)
    cut = [slice(s * 16_000, min(s + 30, seconds) * 16_000) for s in starts]
    assert last_window_start(cut) == first


def test_at_least_the_last_window_is_read() -> None:
    assert last_window_start([slice(0, 16_000), slice(16_000, 999_000)], limit_s=1.0) == 1
    assert last_window_start([]) == 0
