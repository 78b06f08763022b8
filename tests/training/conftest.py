"""A cache of made-up encoder states, in which every letter sounds like itself."""

from __future__ import annotations

import json
import string
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from harken.model.pieces import Pieces
from harken.testing import tiny_tokenizer
from harken.training.states import INDEX, STATES, CachedClip, StateCache

LETTERS = string.ascii_lowercase + " "
WIDTH = len(LETTERS)
FRAMES = 6  # that a letter lasts


@pytest.fixture(scope="session")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def pieces(tokenizer):
    return Pieces(tokenizer, tokenizer.encode(LETTERS, add_special_tokens=False))


@pytest.fixture
def spoken(tmp_path):
    """spoken(texts, split=..., **fields) -> a StateCache in which they are said."""

    def build(*texts: str, splits: tuple[str, ...] = ("train",), **fields: object) -> StateCache:
        random = np.random.default_rng(0)
        folder: Path = tmp_path / "states"
        folder.mkdir()
        rows, states = [], []
        for text in texts:
            for split in splits:
                frames = np.repeat(np.eye(WIDTH)[[LETTERS.index(c) for c in text]], FRAMES, 0)
                frames[FRAMES - 1 :: FRAMES] = 0  # a moment of silence between letters
                frames = frames + 0.05 * random.standard_normal(frames.shape)
                start = sum(map(len, states))
                clip = CachedClip(
                    f"{split}-{text}", text, "user", "voice", split, "test", None, len(frames) / 50, start,
                    len(frames), False, (0.5, 0.5, 0.5, 0.5),
                )  # fmt: skip
                rows.append(asdict(clip) | fields)
                states.append(frames.astype(np.float16))
        (folder / STATES).write_bytes(b"".join(s.tobytes() for s in states))
        (folder / INDEX).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return StateCache(folder, WIDTH)

    return build
