"""A readout is trained on some speakers and calibrated on others, so there have to be both."""

from __future__ import annotations

import numpy as np
import pytest

from harken.checkpoint import READOUT
from harken.errors import DataError
from harken.model.affect_readout import AffectReadoutConfig
from harken.training import readout
from harken.training.readout_clips import PooledClips


@pytest.mark.parametrize(("there", "missing"), [("train", "dev"), ("dev", "train")])
def test_speakers_of_both_splits_have_to_be_there(tmp_path, monkeypatch, there, missing):
    clips = PooledClips(
        pooled=np.random.default_rng(0).standard_normal((8, 2, 2, 8)).astype(np.float32),
        emotion=np.arange(8) % 3,
        gender=np.arange(8) % 2,
        **{name: np.array(["x"] * 8) for name in ("corpus", "speaker", "sentence")},
        split=np.array([there] * 8),
    )
    monkeypatch.setattr(readout, "readout_config", lambda whisper: AffectReadoutConfig(3, 4, (0, 2)))
    monkeypatch.setattr(readout, "pooled_clips", lambda *_: clips)
    with pytest.raises(DataError, match=f"has no clip of split {missing}"):
        readout.train_readout(tmp_path, tmp_path, tmp_path, tmp_path)
    assert not (tmp_path / READOUT).exists()
