"""Encoder states are computed once, survive being interrupted, and augmentation leaves speech whole."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harken.data.speech import Clip
from harken.training.states import INDEX, STATES, StateCache, augment, coloured_noise, encode

WIDTH = 5


class MelEncoder(nn.Module):
    """Stands in for SpeechEncoder: the lowest mel bands are its last layer's states. Counts its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, mel):
        self.runs += 1
        last = mel[:, :WIDTH, ::2].transpose(1, 2)  # (B, T, E)
        return torch.stack([torch.zeros_like(last), last], 2), torch.ones(last.shape[:2], dtype=torch.bool)


@pytest.fixture
def clips(tmp_path):
    made = []
    for i in range(4):
        file = tmp_path / f"{i}.wav"
        soundfile.write(file, speechlike(0.3 + 0.1 * i, i), 16000)
        text = f"turn\u2028{i}" if i == 1 else f"你好 {i}"
        made.append(Clip(f"c{i}", text, "en", "train", "user", 0.3, "v", None, "g", "s", file, None))
    return made


def speechlike(seconds, seed=0):
    noise = np.random.default_rng(seed).standard_normal(round(seconds * 16000))
    return (0.1 * noise).astype(np.float32)


def of(cache, clip):
    """The states of one clip."""
    row = next(row for row in cache.clips if row.id == clip.id)
    return cache.states()[row.start : row.start + row.frames]


@pytest.fixture
def whole(clips, tmp_path):
    cache = StateCache(tmp_path / "whole", WIDTH)
    list(cache.add(clips, MelEncoder(), seed=0, noisy_share=0.5))
    return cache


def test_what_is_cached_is_what_the_encoder_gives(clips, tmp_path):
    cache = StateCache(tmp_path / "clean", WIDTH)
    rows = list(cache.add(clips, MelEncoder(), seed=0, noisy_share=0.0))
    assert [(row.id, row.text, row.augmented) for row in rows] == [(c.id, c.text, False) for c in clips]
    for clip in clips:
        expected = encode(MelEncoder(), clip.samples()).numpy().astype(np.float16)
        assert np.array_equal(of(cache, clip), expected)


@pytest.mark.parametrize("tail", (b"", b'{"id": "c2", "te', '{"id": "c2", "text": "你'.encode()[:-1]))
def test_a_killed_caching_goes_on_after_its_last_whole_clip(clips, whole, tmp_path, tail):
    folder = tmp_path / "broken"
    run = StateCache(folder, WIDTH).add(clips, MelEncoder(), seed=0, noisy_share=0.5)
    next(run), next(run)
    run.close()
    with (folder / INDEX).open("ab") as index, (folder / STATES).open("ab") as states:
        index.write(tail)
        states.write(b"half a clip's states")
    again, encoder = StateCache(folder, WIDTH), MelEncoder()
    assert [clip.id for clip in again.clips] == ["c0", "c1"]
    assert [row.id for row in again.add(clips, encoder, seed=0, noisy_share=0.5)] == ["c2", "c3"]
    assert encoder.runs == 2
    reopened = StateCache(folder, WIDTH)
    assert reopened.clips == whole.clips
    assert np.array_equal(reopened.states(), whole.states())


def test_a_clip_is_augmented_by_its_own_numbers_whatever_stands_beside_it(clips, whole, tmp_path):
    alone = StateCache(tmp_path / "alone", WIDTH)
    list(alone.add(clips[::-1], MelEncoder(), seed=0, noisy_share=0.5))
    assert {c.id: c.augmented for c in alone.clips} == {c.id: c.augmented for c in whole.clips}
    for clip in clips:
        assert np.array_equal(of(alone, clip), of(whole, clip))
    every = StateCache(tmp_path / "every", WIDTH)
    assert all(row.augmented for row in every.add(clips, MelEncoder(), seed=0, noisy_share=1.0))


def test_no_more_than_thirty_seconds_are_encoded():
    assert len(encode(MelEncoder(), speechlike(31.0))) == 1500


@given(st.integers(4000, 30000), st.integers(0, 2**32 - 1))
def test_augmented_speech_is_whole_and_the_noise_below_it(length, seed):
    samples = speechlike(length / 16000, seed)
    made = augment(samples, np.random.default_rng([seed, 1]))
    assert made.dtype == np.float32 and made.ndim == 1
    assert abs(len(made) - length) <= 0.12 * length
    assert np.isfinite(made).all()
    power = float(made.var() / samples.var())
    assert 0.7 < power < 1.6  # the speech, and at most a third of its power as noise
    assert not np.array_equal(made, augment(samples, np.random.default_rng([seed, 2])))


@given(st.integers(16, 5000), st.integers(0, 1000))
def test_noise_has_unit_power(length, seed):
    noise = coloured_noise(length, np.random.default_rng(seed))
    assert noise.shape == (length,)
    assert float(noise.std()) == pytest.approx(1, abs=1e-3)


def test_silence_stays_silence():
    assert not augment(np.zeros(3200, np.float32), np.random.default_rng(0)).any()
