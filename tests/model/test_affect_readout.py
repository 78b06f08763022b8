"""The readout: what it reads, what it must not see, and that a file of it reads the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harken.model.affect_readout import (
    AffectReadout,
    AffectReadoutConfig,
    load_readout,
    pool,
    save_readout,
    views,
)

CONFIG = AffectReadoutConfig(n_layers=4, width=6, layers=(0, 2, 3), curved=5, straight=3)


@pytest.fixture
def readout() -> AffectReadout:
    torch.manual_seed(0)
    return CONFIG.build().eval()


def everywhere(rows: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks of clips without padding in which somebody speaks all the time."""
    ones = torch.ones(rows, frames, dtype=torch.bool)
    return ones, ones


def test_a_reading_has_the_shapes_of_its_config(readout: AffectReadout) -> None:
    reading = readout(torch.randn(3, 10, 4, 6), *everywhere(3, 10))
    assert reading.emotion_logits.shape == (3, 8)
    assert reading.gender_logits.shape == (3, 2)
    assert reading.vector.shape == (3, 16)  # 5 + 3 units in each of two views


def test_padding_changes_nothing(readout: AffectReadout) -> None:
    states = torch.randn(1, 7, 4, 6)
    padded = torch.cat([states, 100 * torch.randn(1, 5, 4, 6)], dim=1)
    valid = torch.arange(12)[None] < 7
    alone = readout(states, *everywhere(1, 7))
    for one, other in zip(alone, readout(padded, valid, torch.ones_like(valid)), strict=True):
        torch.testing.assert_close(one, other)


def test_the_second_view_pools_the_active_frames_alone() -> None:
    states, valid = torch.randn(1, 9, 3, 5), torch.ones(1, 9, dtype=torch.bool)
    active = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 0, 0]], dtype=torch.bool)
    seen = views(states, valid, active)
    torch.testing.assert_close(seen[:, 0], pool(states, valid))
    torch.testing.assert_close(seen[:, 1], pool(states[:, 2:7], valid[:, 2:7]))


def test_pooling_is_mean_and_standard_deviation_over_time() -> None:
    states = torch.randn(2, 9, 3, 5)
    pooled = pool(states, torch.ones(2, 9, dtype=torch.bool))
    torch.testing.assert_close(pooled, torch.cat([states.mean(1), states.std(1)], dim=-1))


def test_one_frame_has_no_spread_and_gives_finite_numbers(readout: AffectReadout) -> None:
    reading = readout(torch.randn(1, 1, 4, 6), *everywhere(1, 1))
    assert all(part.isfinite().all() for part in reading)


def test_half_precision_states_are_pooled_in_full_precision() -> None:
    states = 3000 + torch.randn(1, 200, 1, 1)  # in float16 the squares would overflow
    pooled = pool(states.half(), torch.ones(1, 200, dtype=torch.bool))
    assert pooled.dtype == torch.float32
    assert pooled[0, 0, 0] == pytest.approx(3000, abs=1)


def test_layers_that_were_not_chosen_are_not_read(readout: AffectReadout) -> None:
    states, masks = torch.randn(1, 10, 4, 6), everywhere(1, 10)
    other = states.clone()
    other[:, :, 1] += 5
    assert torch.equal(readout(states, *masks).emotion_logits, readout(other, *masks).emotion_logits)
    other[:, :, 2] += torch.randn(6)
    assert not torch.equal(readout(states, *masks).emotion_logits, readout(other, *masks).emotion_logits)


def test_temperature_softens_without_changing_the_order(readout: AffectReadout) -> None:
    states, masks = torch.randn(5, 10, 4, 6), everywhere(5, 10)
    before = readout(states, *masks)
    readout.temperature.fill_(3.0)
    after = readout(states, *masks)
    torch.testing.assert_close(after.emotion_logits, before.emotion_logits / 3)
    assert torch.equal(after.gender_logits, before.gender_logits)


def test_states_of_another_encoder_are_refused(readout: AffectReadout) -> None:
    with pytest.raises(ValueError, match=r"reads states of \(4, 6\)"):
        readout(torch.randn(1, 10, 7, 6), *everywhere(1, 10))
    with pytest.raises(ValueError, match="not among the 4 states"):
        AffectReadoutConfig(n_layers=4, layers=(1, 4))


def test_a_saved_readout_reads_the_same(readout: AffectReadout, tmp_path: Path) -> None:
    far = torch.linspace(-3000, 3000, CONFIG.pooled)  # float16 would round these by one
    readout.pooled_mean.copy_(far.expand(2, -1))
    readout.temperature.fill_(1.37)
    path = tmp_path / "deep" / "affect_readout.safetensors"
    save_readout(readout, path)
    loaded = load_readout(path)
    assert loaded.config == CONFIG
    assert not loaded.training
    pooled = readout.pooled_mean + torch.randn(4, 2, CONFIG.pooled)
    for one, other in zip(readout.read(pooled), loaded.read(pooled), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-3, atol=2e-3)
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # nothing half-written stays
