"""A cache of made-up encoder states, in which every letter sounds like itself; and what a stage trains of a
tiny system, held against what a dry run says.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harken.model.pieces import Pieces
from harken.recipes import (
    ConvBridgeConfig,
    CtcBridgeConfig,
    ListenConfig,
    Recipe,
    SpeakPartConfig,
    UnitCodecConfig,
)
from harken.testing import tiny_recipe, tiny_tokenizer
from harken.training import dry_run
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
    """spoken(texts, splits=..., width=..., **fields) -> a StateCache in which they are said."""

    def build(
        *texts: str, splits: tuple[str, ...] = ("train",), width: int = WIDTH, **fields: object
    ) -> StateCache:
        random = np.random.default_rng(0)
        folder: Path = tmp_path / "states"
        folder.mkdir()
        rows, states = [], []
        for text in texts:
            for split in splits:
                frames = np.repeat(np.eye(width)[[LETTERS.index(c) for c in text]], FRAMES, 0)
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
        return StateCache(folder, width)

    return build


CONV_WIDTH = WIDTH + 1  # even, for rotary positions


@pytest.fixture
def recipe() -> Recipe:
    """A tiny system that has every part."""
    bridge = CtcBridgeConfig(width=16, layers=1, heads=2, kernel=3)
    listen = ListenConfig(
        encoder="tiny",
        encoder_width=WIDTH,
        encoder_layers=2,
        encoder_heads=3,
        encoder_feed_forward_width=32,
        bridge=bridge,
        affect_vectors=2,
    )
    units = UnitCodecConfig(
        encoder_layers=(0, 1), levels=(5, 5), width=20, layers=1, heads=2,
        decoder_width=24, decoder_layers=2, frame_width=24, frame_layers=1,
    )  # fmt: skip
    tiny = tiny_recipe()
    core = tiny.core.model_copy(update={"low_rank": 2})
    speak = SpeakPartConfig(layers=1, behind=1, ahead=3)
    return tiny.model_copy(update={"listen": listen, "core": core, "units": units, "speak": speak})


@pytest.fixture
def conv_recipe(recipe: Recipe) -> Recipe:
    """The same in the paper's architecture: GOAT-SLM's adapter, and the core as it is."""
    listen = recipe.listen.model_copy(
        update={
            "encoder_width": CONV_WIDTH,
            "encoder_heads": 2,
            "bridge": ConvBridgeConfig(layers=1, heads=2, kv_heads=1),
        }
    )
    core = recipe.core.model_copy(update={"low_rank": 0})
    return recipe.model_copy(update={"listen": listen, "core": core, "units": None, "speak": None})


@pytest.fixture
def trains_what_is_told(pieces, monkeypatch):
    """check(stage, recipe, config, under, module, train): two steps at the stage's own learning rates change
    the tensors that require gradients, all of them and no other; a dry run counts the same. Gives their
    names.

    Args: under: how the names of the module's parameters begin in the system.
    """
    monkeypatch.setattr(dry_run, "PIECES", len(pieces))
    monkeypatch.setattr(dry_run, "VOICES", 2)

    def check(
        stage: str, recipe: Recipe, config: Any, under: str, module: nn.Module, train: Callable[[Any], None]
    ) -> set[str]:
        before = {name: p.detach().clone() for name, p in module.named_parameters()}
        train(replace(config, schedule=replace(config.schedule, steps=2, warmup=0)))
        after = dict(module.named_parameters())
        moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
        assert moved == {name for name, p in after.items() if p.requires_grad}
        sizes, trained = dict[str, int](), dict[str, int]()
        for name, parameter in after.items():
            part = dry_run.part_of(under + name)
            sizes[part] = sizes.get(part, 0) + parameter.numel()
            trained[part] = trained.get(part, 0) + parameter.numel() * parameter.requires_grad
        told = dry_run.parts(stage, recipe, config)
        assert sizes == {part: told[part].parameters for part in sizes}
        assert trained == {part: told[part].trained for part in sizes}
        assert all(told[part].trained == 0 for part in told.keys() - sizes.keys() - {"style"})
        return moved

    return check
