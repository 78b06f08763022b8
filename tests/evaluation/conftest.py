"""What tests of systems share: two turns of a user's, as files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def recordings(tmp_path: Path) -> tuple[Path, Path]:
    """A tone of 8000 samples at 16 kHz, and its first half."""
    tone = (0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)
    first, second = tmp_path / "one.wav", tmp_path / "two.wav"
    soundfile.write(first, tone, 16_000)
    soundfile.write(second, tone[:4000], 16_000)
    return first, second
