"""What tests share: two turns of a user's as files, and dialogues with emotions and causes."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from annotated import FELT, dialogue, written


@pytest.fixture
def recordings(tmp_path: Path) -> tuple[Path, Path]:
    """A tone of 8000 samples at 16 kHz, and its first half."""
    tone = (0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)
    first, second = tmp_path / "one.wav", tmp_path / "two.wav"
    soundfile.write(first, tone, 16_000)
    soundfile.write(second, tone[:4000], 16_000)
    return first, second


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    """Five dev dialogues, one of them without a scene, and one that training has."""
    rows = [dialogue(n, ("neutral", FELT[n], FELT[n + 1])) for n in range(4)]
    rows += [dialogue(4, ("neutral", "neutral", "sad")), dialogue(5, ("sad", "sad", "happy"), "train")]
    return written(tmp_path / "reccon.jsonl", rows)
