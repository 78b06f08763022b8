"""When a reply is heard, and whether it would stall, on made-up chunks that come when they are told to."""

from __future__ import annotations

import numpy as np
import pytest

from harken.audio.silence import audible_s
from harken.bench.moments import Moments, moments
from harken.dialogue.events import Attribution, AudioChunk, Done, TextDelta

RATE = 1000


def chunk(*parts: tuple[float, float]) -> AudioChunk:
    """Parts of (seconds, amplitude)."""
    samples = np.concatenate([np.full(round(s * RATE), level, np.float32) for s, level in parts])
    return AudioChunk(samples, RATE, 0.0, 1.0, 0)


def test_silence_at_the_start_counts_as_waiting() -> None:
    found = Moments(arrivals_s=[0.5, 0.6], chunks=[chunk((1.0, 0.0)), chunk((0.2, 0.0), (0.5, 0.1))])
    assert found.starts_s == [0.5, 1.5]  # the second one waits until the first is over
    assert found.audible_s == pytest.approx(0.5 + 1.0 + 0.2)
    assert found.underruns == 0
    assert found.seconds == pytest.approx(1.7)
    assert found.real_time_factor == pytest.approx(0.6 / 1.7)


def test_a_chunk_that_comes_late_is_an_underrun() -> None:
    sound = (1.0, 0.1)
    found = Moments(arrivals_s=[0.5, 2.0, 2.5], chunks=[chunk(sound), chunk(sound), chunk(sound)])
    assert found.starts_s == [0.5, 2.0, 3.0]
    assert found.underruns == 1


def test_no_sound_is_never_heard() -> None:
    silent = Moments(arrivals_s=[0.5], chunks=[chunk((1.0, 0.001))])
    assert silent.audible_s is None and silent.seconds == 1.0
    nothing = Moments()
    assert nothing.audible_s is None and nothing.real_time_factor is None and nothing.underruns == 0
    assert nothing.samples().size == 0


def test_a_reply_is_run_to_its_end() -> None:
    events = [
        TextDelta("Oh"),
        chunk((0.1, 0.1)),
        TextDelta(" no."),
        Done("Oh no.", "", Attribution(None, None)),
    ]
    found = moments(iter(events))
    assert found.text == "Oh no." and len(found.chunks) == 1
    assert 0 <= found.first_text_s <= found.first_chunk_s <= found.total_s  # type: ignore[operator]


@pytest.mark.parametrize(("level", "heard"), [(0.1, True), (0.006, True), (0.005, False), (0.0, False)])
def test_what_is_above_45_db_below_full_scale_is_audible(level: float, heard: bool) -> None:
    samples = np.concatenate([np.zeros(16_000), np.full(8_000, level), np.zeros(4_000)]).astype(np.float32)
    found = audible_s(samples, 16_000)
    assert (found is not None) == heard
    if found:
        assert found == pytest.approx((1.0, 1.5), abs=0.02)
