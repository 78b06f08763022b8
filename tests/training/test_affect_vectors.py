"""Whose vectors stand for an emotion: people of the train split who acted it."""

from __future__ import annotations

import gzip
import json

import numpy as np
import torch

from harken.affect.labels import READOUT_CLASSES, to_emotion
from harken.model.affect_readout import AffectReadoutConfig, save_readout
from harken.training import affect_vectors
from harken.training.readout_clips import PooledClips


def test_each_emotion_has_the_vectors_of_its_train_clips(tmp_path, monkeypatch):
    torch.manual_seed(0)
    readout = AffectReadoutConfig(n_layers=3, width=4, layers=(0, 2), curved=5).build()
    save_readout(readout, tmp_path / "readout.safetensors")
    emotion = np.array([0, 1, 1, 0, 2])
    clips = PooledClips(
        pooled=np.random.default_rng(0).standard_normal((5, 2, 2, 8)).astype(np.float32),
        emotion=emotion,
        gender=np.zeros(5, np.int64),
        corpus=np.array(["ravdess"] * 5),
        split=np.array(["train", "train", "train", "dev", "dev"]),
        speaker=np.array(list("abcde")),
        sentence=np.array(["x"] * 5),
    )
    asked = []
    monkeypatch.setattr(affect_vectors, "pooled_clips", lambda *args: asked.append(args) or clips)
    paths = (tmp_path / "people", tmp_path / "whisper", tmp_path / "readout.safetensors", tmp_path / "cache")
    vectors = affect_vectors.people_vectors(*paths)
    first, second = (to_emotion(READOUT_CLASSES[i]) for i in (0, 1))
    assert {name: len(rows) for name, rows in vectors.items()} == {first: 1, second: 2}
    assert asked == [(paths[0], paths[1], (0, 2), paths[3])]
    with torch.no_grad():
        expected = readout.eval().read(torch.from_numpy(clips.pooled).flatten(2)).vector
    torch.testing.assert_close(vectors[second], expected[1:3], atol=2e-3, rtol=2e-3)


def test_vectors_are_named_by_the_readout_and_by_whose_clips_it_reads(tmp_path):
    readout = tmp_path / "readout.safetensors"

    def named(split, weights=b"a"):
        row = {"path": "1.wav", "corpus": "ravdess", "speaker": "s", "gender": "female", "text": "Hm."}
        with gzip.open(tmp_path / "manifest.jsonl.gz", "wt") as manifest:
            manifest.write(json.dumps(row | {"split": split, "emotion": "sad"}) + "\n")
        readout.write_bytes(weights)
        return affect_vectors.people_digest(tmp_path, readout)

    assert named("train") == named("train")
    assert len({named("train"), named("dev"), named("train", b"b")}) == 3
