"""The vocoder's mel spectrogram, against sounds whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.audio.vocoder_mel import HOP, MEL_BANDS, SAMPLE_RATE_HZ, SILENCE, vocoder_mel


@given(st.integers(1, 5 * HOP))
def test_a_frame_a_hop(count: int) -> None:
    mel = vocoder_mel(np.zeros(count, np.float32))
    assert mel.shape == (-(-count // HOP), MEL_BANDS)


def test_silence_is_the_floor() -> None:
    mel = vocoder_mel(np.zeros(8 * HOP, np.float32))
    assert mel.numpy() == pytest.approx(np.full((8, MEL_BANDS), SILENCE), abs=0.5)


def test_a_higher_tone_lies_in_a_higher_band_and_a_louder_one_is_higher_by_its_logarithm() -> None:
    at = np.arange(SAMPLE_RATE_HZ // 2) / SAMPLE_RATE_HZ
    low, high = (np.sin(2 * np.pi * f * at).astype(np.float32) * 0.1 for f in (300, 3000))
    middle = [vocoder_mel(tone)[20] for tone in (low, high, 2 * high)]
    assert middle[0].argmax() < middle[1].argmax()
    peak = middle[1].argmax()
    assert float(middle[2][peak] - middle[1][peak]) == pytest.approx(np.log(2), abs=0.01)
