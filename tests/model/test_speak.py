"""Speak on a tiny core: many steps at once are what they are one by one, and it learns what it is taught."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from harken.model.layer_stack import LayerStack
from harken.model.speak import NOTHING, Speak, SpeakSizes, windows_at
from harken.testing import WIDTH, tiny_core


def speaker(heads: str = "sequential", m: int = 2) -> Speak:
    core = tiny_core()
    layers = copy.deepcopy(core.write.layers[-1:])
    torch.manual_seed(0)
    sizes = SpeakSizes(WIDTH, (3, 5), 12, 2, m, heads, behind=1, ahead=3, symbol_width=4)
    return Speak(sizes, LayerStack(layers, core.write.rotary)).eval()


def example(speak: Speak, steps: int = 6) -> dict[str, torch.Tensor]:
    made = torch.Generator().manual_seed(1)
    symbols = torch.randint(1, 12, (9,), generator=made)
    pointers = torch.tensor([0, 1, 1, 3, 6, 9, 9, 9])[:steps]
    units = torch.randint(0, 15, (1, steps, speak.sizes.units_per_step), generator=made)
    return {
        "hidden": torch.randn(1, steps, WIDTH, generator=made),
        "text": torch.randn(1, steps, WIDTH, generator=made),
        "windows": windows_at(symbols, pointers, speak.sizes)[None],
        "units": units,
        "before": F.pad(units[:, :-1], (0, 0, 1, 0), value=NOTHING),
        "styles": torch.tensor([[0.3, 0.7]]),
    }


def test_a_window_reads_around_the_pointer_and_nothing_beyond_the_text() -> None:
    sizes = speaker().sizes
    windows = windows_at(torch.tensor([5, 6, 7]), torch.tensor([0, 2, 3]), sizes)
    assert windows.tolist() == [[0, 5, 6, 7, 0], [6, 7, 0, 0, 0], [7, 0, 0, 0, 0]]


@pytest.mark.parametrize("heads", ["sequential", "parallel"])
@torch.no_grad()
def test_steps_at_once_are_steps_one_by_one(heads: str) -> None:
    speak = speaker(heads)
    given, table = example(speak), speak.units()
    args = [given[name] for name in ("hidden", "text", "windows", "before")]
    inputs = speak.inputs(*args, given["styles"], table)
    hidden, _ = speak(inputs)
    logits = speak.unit_logits(hidden, given["units"], table)
    state = None
    for step in range(6):
        one = speak.inputs(*(x[:, step : step + 1] for x in args), given["styles"], table)
        alone, state = speak(one, state)
        assert torch.allclose(alone[:, 0], hidden[:, step], atol=1e-4)
        true = iter(given["units"][0, step])
        seen: list[torch.Tensor] = []

        def choose(found: torch.Tensor) -> torch.Tensor:
            seen.append(found[0])  # noqa: B023
            return next(true)[None]  # noqa: B023

        assert torch.equal(speak.choose(alone[:, 0], choose, table)[0], given["units"][0, step])
        assert torch.allclose(torch.stack(seen), logits[0, step], atol=1e-3)


def test_a_parallel_head_does_not_see_the_units_beside_it_and_a_sequential_one_does() -> None:
    for heads, sees in (("parallel", False), ("sequential", True)):
        speak = speaker(heads)
        given, table = example(speak), speak.units()
        hidden = torch.randn(1, 6, WIDTH)
        other = (given["units"] + 1) % 15
        one, two = (speak.unit_logits(hidden, units, table) for units in (given["units"], other))
        assert torch.equal(one[:, :, 0], two[:, :, 0])
        assert torch.equal(one[:, :, 1], two[:, :, 1]) != sees


def test_no_step_sees_a_later_one() -> None:
    speak = speaker()
    given, table = example(speak), speak.units()
    args = [given[name] for name in ("hidden", "text", "windows", "before")]
    before, _ = speak(speak.inputs(*args, given["styles"], table))
    args[0] = args[0].clone()
    args[0][:, 4:] += 1.0
    after, _ = speak(speak.inputs(*args, given["styles"], table))
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-5)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-2)


def test_it_learns_units_and_pointer_by_heart() -> None:
    speak = speaker().train()
    given = example(speak)
    moves = torch.tensor([[1, 0, 2, 3, 3, 0]])
    optimizer = torch.optim.AdamW(speak.parameters(), lr=1e-2)
    for _ in range(150):
        table = speak.units()
        args = [given[name] for name in ("hidden", "text", "windows", "before")]
        hidden, _ = speak(speak.inputs(*args, given["styles"], table))
        logits, pointer = speak.unit_logits(hidden, given["units"], table), speak.move_logits(hidden)
        loss = F.cross_entropy(logits.flatten(0, 2), given["units"].flatten()) + F.cross_entropy(
            pointer[0], moves[0]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(logits.argmax(-1), given["units"]) and torch.equal(pointer.argmax(-1), moves)
