"""Layers that decode from bytes: nearly what they were for a few rows, exactly that for many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from harken.model import quick_layer
from harken.model.core import CoreState
from harken.model.eight_bit import MOST_ROWS, EightBitLinear
from harken.model.quick_layer import QuickLayer, quicken
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
        monkeypatch.setattr(quick_layer, "MULTIPLE", 8)
        quicken(core)
        rounded = core(inputs).hidden
    assert any(isinstance(module, EightBitLinear) for module in core.modules())
    assert 0 < (plain - rounded).abs().max() < 0.1 * plain.abs().max()


def counted(do: Callable[..., torch.Tensor], calls: list[QuickLayer]) -> Callable[..., torch.Tensor]:
    def done(layer: QuickLayer, *arguments: Any) -> torch.Tensor:
        calls.append(layer)
        return do(layer, *arguments)

    return done


@torch.no_grad()
def test_the_short_way_for_one_token_gives_what_the_layers_give(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    core = tiny_core().eval()
    monkeypatch.setattr(quick_layer, "MULTIPLE", 8)
    quicken(core)
    assert core.think.quick and core.write.quick
    tokens = torch.randn(1, 12, WIDTH)
    past = core(tokens[:, :5]).state  # several at once go the long way

    def read(state: CoreState) -> torch.Tensor:
        found = []
        for number in range(5, 12):
            bias = None if number % 2 else 3.0 * (torch.arange(number + 1) == 2)
            out = core(tokens[:, number : number + 1], state, key_bias=bias)
            state = out.state
            found.append(out.hidden)
        assert state.length == 12
        return torch.cat(found, dim=1)

    walked: list[QuickLayer] = []
    monkeypatch.setattr(QuickLayer, "_attended", counted(QuickLayer._attended, walked))
    short = read(past)
    assert len(walked) == 7 * 4  # tokens and layers
    core.think.quick = core.write.quick = None
    long = read(past)
    assert past.length == 5 and len(walked) == 7 * 4
    assert (short - long).abs().max() < 0.02 * long.abs().max()


@torch.no_grad()
def test_rows_that_share_the_weights_get_to_the_bit_what_each_gets_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    core = tiny_core().eval()
    monkeypatch.setattr(quick_layer, "MULTIPLE", 8)
    assert not core.reads_each
    quicken(core)
    assert core.reads_each
    states = [core(torch.randn(1, length, WIDTH)).state for length in (7, 3, 12)]
    for _ in range(3):
        tokens = torch.randn(3, WIDTH)
        alone = [core(tokens[row][None, None], state) for row, state in enumerate(states)]
        shared, hidden, after = core.each(tokens, states)
        for row, one in enumerate(alone):
            assert torch.equal(shared[row], one.shared[0, 0]) and torch.equal(hidden[row], one.hidden[0, 0])
            assert after[row].length == one.state.length == states[row].length + 1
            assert torch.equal(after[row].write.keys[3], one.state.write.keys[3])
            assert torch.equal(after[row].think.values[0], one.state.think.values[0])
        states = after


@torch.no_grad()
def test_layers_of_another_family_go_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_layer, "MULTIPLE", 8)
    for family in ("qwen2", "qwen3"):
        core = tiny_core(family).eval()
        quicken(core)
        assert core.think.quick is None
        assert core(torch.randn(1, 1, WIDTH)).hidden.isfinite().all()


def test_a_processor_without_it_keeps_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    module = nn.Sequential(nn.Linear(64, 64))
    quicken(module)
    assert not isinstance(module[0], EightBitLinear)
