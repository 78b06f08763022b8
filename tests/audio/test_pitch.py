"""Pitch, voicing and loudness of sounds that are known."""

from __future__ import annotations

import numpy as np
import pytest

from harken.audio.pitch import VOICED, Prosody, loudness_db, prosody

pytest.importorskip("swift_f0", reason="the extra units is not installed")


def vowel(pitch_hz: float, seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    """A buzz with falling harmonics, at 16 kHz."""
    at = np.arange(int(16_000 * seconds)) / 16_000
    wave = sum(np.sin(2 * np.pi * pitch_hz * h * at) / h for h in range(1, 12))
    return (level * wave / np.abs(wave).max()).astype(np.float32)


@pytest.mark.parametrize("pitch_hz", [110.0, 220.0, 350.0])
def test_the_pitch_of_a_vowel(pitch_hz: float) -> None:
    found = prosody(vowel(pitch_hz), 50)
    middle = slice(10, 40)
    assert np.exp(found.log_pitch[middle]) == pytest.approx(np.full(30, pitch_hz), rel=0.02)
    assert (found.voicing[middle] >= VOICED).all()
    assert found.mean_log_pitch() == pytest.approx(np.log(pitch_hz), abs=0.05)


def test_features_tell_pitch_against_the_voices_own() -> None:
    found = prosody(vowel(220.0), 50)
    octave_above = found.features(float(np.log(110.0)))
    assert octave_above.shape == (50, 3)
    assert octave_above[10:40, 0] == pytest.approx(np.full(30, 2.0), abs=0.1)  # half octaves


def test_noise_and_silence_have_no_pitch() -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    for samples in (noise, np.zeros(16_000, np.float32)):
        found = prosody(samples, 50)
        assert (found.voicing >= VOICED).mean() < 0.2
        assert np.isfinite(found.features(found.mean_log_pitch())).all()


def test_loudness_is_that_of_each_frame() -> None:
    wave = np.concatenate([np.zeros(320), np.full(320, 0.1), np.full(160, 1.0)]).astype(np.float32)
    assert loudness_db(wave, 4) == pytest.approx([-80.0, -20.0, -3.01, -80.0], abs=0.01)


def test_a_voice_without_voiced_frames_has_a_middling_pitch() -> None:
    silent = Prosody(*(np.zeros(5, np.float32) for _ in range(3)))
    assert np.exp(silent.mean_log_pitch()) == pytest.approx(160.0)
