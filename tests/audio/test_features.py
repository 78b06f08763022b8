"""log_mel against transformers' own extractor."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from harken.audio.features import active_frames, frame_count, log_mel

EXTRACTOR = WhisperFeatureExtractor()


def speechlike(sample_count: int, seed: int) -> np.ndarray:
    """A gliding tone with noise and pauses, (N,)."""
    generator = np.random.default_rng(seed)
    t = np.arange(sample_count) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * (150 + 400 * t) * t) * (np.sin(5 * t) > -0.3)
    return (tone + 0.01 * generator.standard_normal(sample_count)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(sample_count=st.integers(min_value=201, max_value=100_000), seed=st.integers(0, 1000))
def test_equals_whispers_frames_at_the_real_length(sample_count: int, seed: int) -> None:
    samples = speechlike(sample_count, seed)
    ours = log_mel(samples)
    theirs = EXTRACTOR(samples, sampling_rate=16_000, return_tensors="np").input_features[0]
    assert ours.shape == (80, frame_count(sample_count))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs[:, : ours.shape[1]], atol=1e-4)


@given(sample_count=st.integers(min_value=1, max_value=10_000_000))
def test_frames_are_even_and_cover_the_recording(sample_count: int) -> None:
    frames = frame_count(sample_count)
    assert frames % 2 == 0
    assert 0 <= frames * 160 - sample_count < 320


@pytest.mark.parametrize("bad", [np.zeros(0, np.float32), np.zeros((2, 1600), np.float32)])
def test_refuses_what_is_not_a_line_of_samples(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="shape"):
        log_mel(bad)


def test_active_frames_are_those_near_the_loudest() -> None:
    wave = 1e-3 * np.random.default_rng(0).standard_normal(3 * 16_000).astype(np.float32)
    wave[16_000:32_000] *= 300.0  # about 50 dB above the rest
    active = active_frames(torch.from_numpy(log_mel(wave))[None])[0]  # (150,)
    assert active[52:98].all()
    assert not active[:46].any()
    assert not active[104:].any()
