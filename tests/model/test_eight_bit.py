"""Layers that decode from bytes: nearly what they were for a few rows, exactly that for many."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harken.model import eight_bit
from harken.model.eight_bit import MOST_ROWS, EightBitLinear, quicken
from harken.testing import WIDTH, tiny_core


@pytest.fixture(autouse=True)
def wide_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel runs on any processor, though slowly on some."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")


@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_few_rows_are_nearly_what_they_were_and_many_exactly(bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(64, 96, bias)
    rounded = EightBitLinear.of(plain)
    few, many = torch.randn(1, MOST_ROWS, 64), torch.randn(MOST_ROWS + 1, 64)
    off = (rounded(few) - plain(few)).std() / plain(few).std()
    assert 0 < off < 0.02 and rounded(few).shape == (1, MOST_ROWS, 96)
    assert torch.equal(rounded(many), plain(many))


def test_names_and_parameters_stay_and_weights_loaded_later_count_when_it_is_done_again() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))
    before, row = module.state_dict(), torch.randn(1, 64)
    quicken(module)
    assert module.state_dict().keys() == before.keys()
    assert isinstance(module[0], EightBitLinear)
    assert not isinstance(module[2], EightBitLinear)  # three outputs are no multiple
    module.load_state_dict({name: 2 * value for name, value in before.items()})
    quicken(module)
    with torch.no_grad():
        assert torch.allclose(module[0](row), nn.functional.linear(row, *module[0].parameters()), atol=0.05)


def test_training_goes_through_the_float_weights() -> None:
    layer = EightBitLinear.of(nn.Linear(64, 32))
    layer(torch.randn(1, 64)).sum().backward()
    assert layer.weight.grad is not None


def test_a_core_reads_on_as_before_within_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    core = tiny_core().eval()
    inputs = torch.randn(1, 1, WIDTH)
    with torch.no_grad():
        plain = core(inputs).hidden
        monkeypatch.setattr(eight_bit, "_MULTIPLE", 8)
        quicken(core)
        rounded = core(inputs).hidden
    assert any(isinstance(module, EightBitLinear) for module in core.modules())
    assert 0 < (plain - rounded).abs().max() < 0.1 * plain.abs().max()


def test_a_processor_without_it_keeps_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    module = nn.Sequential(nn.Linear(64, 64))
    quicken(module)
    assert not isinstance(module[0], EightBitLinear)
