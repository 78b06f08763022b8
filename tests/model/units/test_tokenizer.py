"""From frames to units of another rate."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.model.units.tokenizer import TokenizerSizes, UnitTokenizer, average_over_units

PER_UNIT = 50 * 1024 / 22050


def tokenizer() -> UnitTokenizer:
    torch.manual_seed(0)
    return UnitTokenizer(TokenizerSizes(8, (0, 1), 10, 1, 2), 22050 / 1024).eval()


@given(st.integers(5, 200), st.floats(1.1, 4.0))
def test_an_average_is_that_of_the_stretch(frames: int, per_unit: float) -> None:
    """Of a straight line, the mean over a stretch is its value in the middle, but for steps at its ends."""
    count = int(frames / per_unit)
    line = torch.arange(frames).float()[None, :, None] + 0.5  # the mean of each frame
    valid = torch.ones(1, frames, dtype=torch.bool)
    averages, covered = average_over_units(line, valid, per_unit, count)
    middle = (torch.arange(count) + 0.5) * per_unit
    assert covered.all() and torch.allclose(averages[0, :, 0], middle, atol=0.26 / per_unit, rtol=1e-4)


def test_padding_adds_nothing_to_an_average() -> None:
    ones, valid = torch.ones(1, 10, 1), torch.arange(10)[None] < 7
    averages, covered = average_over_units(ones * valid[..., None], valid, PER_UNIT, 5)
    assert covered[0].tolist() == [True, True, True, False, False]
    assert torch.allclose(averages[0, :, 0], torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0]))


def test_a_row_is_written_the_same_beside_a_longer_one() -> None:
    coder = tokenizer()
    states, prosody = torch.randn(2, 60, 2, 8), torch.randn(2, 60, 3)
    valid = torch.arange(60)[None] < torch.tensor([35, 60])[:, None]
    together = coder(states, prosody, valid, 25)
    alone = coder(states[:1, :35], prosody[:1, :35], valid[:1, :35], 15)
    assert torch.equal(coder.quantise.units(alone)[0], coder.quantise.units(together)[0, :15])


def test_the_shortest_recording_has_a_unit() -> None:
    coder = tokenizer()
    one = torch.ones(1, 1, dtype=torch.bool)
    assert coder(torch.randn(1, 1, 2, 8), torch.randn(1, 1, 3), one, 1).shape == (1, 1, 5)


@pytest.mark.parametrize("what", ["states", "prosody"])
def test_both_words_and_manner_reach_the_code(what: str) -> None:
    coder = tokenizer()
    given_ = {"states": torch.randn(1, 40, 2, 8), "prosody": torch.randn(1, 40, 3)}
    valid = torch.ones(1, 40, dtype=torch.bool)
    before = coder(given_["states"], given_["prosody"], valid, 17)
    given_[what] = given_[what] + 3 * torch.randn_like(given_[what])
    assert not torch.equal(coder(given_["states"], given_["prosody"], valid, 17), before)
