"""The units step with a codec that counts."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from harken.data.rows import Row, Turn
from harken.data.steps.base import Dropped, Resources
from harken.data.steps.units import CosyVoice2Units, HarkenUnits, Units, UnitsStep
from harken.data.workspace import Workspace
from harken.errors import HarkenError, InputError, RecipeError
from harken.model.units.base import UnitEncoder


class Counting:
    """Two codebooks at 10 Hz: the number of the frame, and how loud it is."""

    units_hz = 10.0
    vocabulary = (1000, 2)
    codec_sha256 = "c0dec"

    def encode(self, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        if len(wave) < sample_rate // 2:
            raise HarkenError("too short")
        frames = wave[: len(wave) // 1600 * 1600].reshape(-1, 1600)
        loud = (np.abs(frames).max(1) > 0.1).astype(int)
        return np.stack([np.arange(len(frames)), loud], axis=1)


NOTHING = cast(Resources, SimpleNamespace())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def reply(workspace: Workspace, name: str, seconds: float) -> Row:
    hum = (0.3 * np.sin(np.arange(int(seconds * 24_000)) / 20)).astype(np.float32)
    audio = workspace.save(name, hum, 24_000)
    turns = (Turn("user", "Hi.", audio), Turn("assistant", "Past."), Turn("assistant", "Hello.", audio))
    return Row("r", "g", "train", "empathy", "2", "en", "test", "CC0-1.0", True, turns)


def test_spoken_replies_are_written_as_units(workspace: Workspace) -> None:
    codec: UnitEncoder = Counting()
    given = reply(workspace, "a", 1.0)
    silent = replace(given, turns=given.turns[:2])
    made, passed = UnitsStep(Units(), codec)([given, silent], workspace)
    assert isinstance(made, Row) and made.codec_sha256 == "c0dec" and passed is silent
    assert made.turns[:2] == given.turns[:2]
    assert made.turns[2].units == tuple(n for frame in range(10) for n in (frame, 1))


def test_what_the_codec_refuses_is_dropped(workspace: Workspace) -> None:
    (made,) = UnitsStep(Units(), Counting())([reply(workspace, "b", 0.3)], workspace)
    assert isinstance(made, Dropped) and (made.step, made.detail) == ("units", "too short")


def test_without_a_codec_rows_pass(workspace: Workspace) -> None:
    given = reply(workspace, "a", 1.0)
    assert list(Units().open(NOTHING)([given], workspace)) == [given]


def test_the_codec_of_a_recipe_is_opened_and_one_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no unit codec was trained there"):
        Units(codec=HarkenUnits(parts=tmp_path)).open(NOTHING)
    with pytest.raises(InputError, match="is no checkout of CosyVoice"):
        Units(codec=CosyVoice2Units(at=str(tmp_path))).open(NOTHING)
    with pytest.raises(ValueError, match="kind"):
        Units.model_validate({"codec": {"kind": "other"}})
