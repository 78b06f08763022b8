"""Encoder states are computed once, survive being interrupted, and augmentation leaves speech whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harken.data.speech import Clip
from harken.errors import DataError
from harken.model.affect_readout import AffectReadoutConfig
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


READOUT = AffectReadoutConfig(n_layers=2, width=WIDTH, layers=(0, 1), curved=3).build().eval()


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
    row = next(row for row in cache.clips if row.id in (clip.id, f"{clip.id}+"))
    return cache.states()[row.start : row.start + row.frames]


@pytest.fixture
def whole(clips, tmp_path):
    cache = StateCache(tmp_path / "whole", WIDTH)
    list(cache.add(clips, MelEncoder(), READOUT, seed=0, augmented=True))
    return cache


def test_what_is_cached_is_what_the_encoder_gives(clips, tmp_path):
    cache = StateCache(tmp_path / "clean", WIDTH)
    rows = list(cache.add(clips, MelEncoder(), READOUT, seed=0, augmented=False))
    assert [(row.id, row.text, row.augmented) for row in rows] == [(c.id, c.text, False) for c in clips]
    for clip in clips:
        last, felt = encode(MelEncoder(), READOUT, clip.samples())
        assert np.array_equal(of(cache, clip), last.numpy().astype(np.float16))
        row = next(row for row in cache.clips if row.id == clip.id)
        assert row.felt == pytest.approx(felt.tolist(), abs=1e-3) and len(row.felt) == 6


@pytest.mark.parametrize("tail", (b"", b'{"id": "c2", "te', '{"id": "c2", "text": "你'.encode()[:-1]))
def test_a_killed_caching_goes_on_after_its_last_whole_clip(clips, whole, tmp_path, tail):
    folder = tmp_path / "broken"
    run = StateCache(folder, WIDTH).add(clips, MelEncoder(), READOUT, seed=0, augmented=True)
    next(run), next(run)
    run.close()
    with (folder / INDEX).open("ab") as index, (folder / STATES).open("ab") as states:
        index.write(tail)
        states.write(b"half a clip's states")
    again, encoder = StateCache(folder, WIDTH), MelEncoder()
    assert [clip.id for clip in again.clips] == ["c0+", "c1+"]
    assert [row.id for row in again.add(clips, encoder, READOUT, seed=0, augmented=True)] == ["c2+", "c3+"]
    assert encoder.runs == 2
    reopened = StateCache(folder, WIDTH)
    assert reopened.clips == whole.clips
    assert np.array_equal(reopened.states(), whole.states())


def test_a_clip_is_augmented_by_its_own_numbers_whatever_stands_beside_it(clips, whole, tmp_path):
    alone = StateCache(tmp_path / "alone", WIDTH)
    list(alone.add(clips[::-1], MelEncoder(), READOUT, seed=0, augmented=True))
    for clip in clips:
        assert np.array_equal(of(alone, clip), of(whole, clip))


def test_a_clip_may_be_there_as_it_is_and_augmented(clips, whole):
    assert whole.missing(clips, augmented=True) == []
    assert whole.missing(clips, augmented=False) == clips
    list(whole.add(clips, MelEncoder(), READOUT, seed=0, augmented=False))
    assert [(c.id, c.augmented) for c in whole.clips[3:5]] == [("c3+", True), ("c0", False)]
    assert not np.array_equal(
        *(whole.states()[c.start : c.start + 10] for c in (whole.clips[0], whole.clips[4]))
    )


def test_no_more_than_thirty_seconds_are_encoded():
    last, _ = encode(MelEncoder(), READOUT, speechlike(31.0))
    assert len(last) == 1500


@given(st.integers(4000, 30000), st.integers(0, 2**32 - 1))
def test_augmented_speech_is_whole_and_the_noise_below_it(length, seed):
    samples = speechlike(length / 16000, seed)
    made = augment(samples, np.random.default_rng([seed, 1]))
    assert made.dtype == np.float32 and made.ndim == 1
    assert abs(len(made) - length) <= 0.16 * length
    assert np.isfinite(made).all()
    power = float(made.var() / samples.var())
    assert 10**-0.8 < power < 10**0.8 * 1.4  # another microphone, and at most a third of its power as noise
    assert not np.array_equal(made, augment(samples, np.random.default_rng([seed, 2])))


@given(st.integers(16, 5000), st.integers(0, 1000))
def test_noise_has_unit_power(length, seed):
    noise = coloured_noise(length, np.random.default_rng(seed))
    assert noise.shape == (length,)
    assert float(noise.std()) == pytest.approx(1, abs=1e-3)


def test_silence_stays_silence():
    assert not augment(np.zeros(3200, np.float32), np.random.default_rng(0)).any()


def test_what_another_process_added_is_kept(clips, whole, tmp_path):
    late, early = (StateCache(tmp_path / "shared", WIDTH) for _ in range(2))
    list(early.add(clips[:2], MelEncoder(), READOUT, 0, True))
    list(late.add(clips, MelEncoder(), READOUT, 0, True))
    assert [clip.id for clip in late.clips] == [f"{clip.id}+" for clip in clips]
    for clip in clips:
        assert np.array_equal(of(late, clip), of(whole, clip))


def test_two_do_not_add_at_once(clips, tmp_path):
    first, second = (StateCache(tmp_path / "shared", WIDTH) for _ in range(2))
    adding = first.add(clips, MelEncoder(), READOUT, 0, False)
    next(adding)
    with pytest.raises(DataError, match="another process encodes speech into"):
        next(second.add(clips, MelEncoder(), READOUT, 0, False))
    assert len(list(adding)) == len(clips) - 1


def test_what_is_no_longer_there_is_kept_on_disk_and_handed_out_to_nobody(clips, whole, tmp_path):
    list(whole.add(clips, MelEncoder(), READOUT, seed=0, augmented=False))
    moved = replace(clips[1], split="dev", text="said again", emotion="sad")
    whole.keep([clips[0], moved, clips[2]])
    assert [(c.id, c.split, c.text, c.emotion) for c in whole.clips] == [
        ("c0+", "train", clips[0].text, None),
        ("c2+", "train", clips[2].text, None),  # another microphone is for training alone
        ("c0", "train", clips[0].text, None),
        ("c1", "dev", "said again", "sad"),
        ("c2", "train", clips[2].text, None),
    ]
    assert len(StateCache(whole.folder, WIDTH).clips) == 8
    last, _ = encode(MelEncoder(), READOUT, clips[2].samples())
    row = whole.clips[-1]
    assert np.array_equal(whole.states()[row.start : row.start + row.frames], last.numpy().astype(np.float16))
