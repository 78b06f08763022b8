"""Speak on a tiny core: many steps at once are what they are one by one, and it learns what it is taught."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from harken.model.layer_stack import LayerStack
from harken.model.speak import NOTHING, Logits, Speak, SpeakSizes, windows_at
from harken.testing import WIDTH, tiny_core


def speaker(kind: str = "sequential", m: int = 2) -> Speak:
    core = tiny_core()
    layers = copy.deepcopy(core.write.layers[-1:])
    torch.manual_seed(0)
    sizes = SpeakSizes(WIDTH, (3, 5), 12, 2, m, kind, behind=1, ahead=3, symbol_width=4, parts=2)
    return Speak(sizes, LayerStack(layers, core.write.rotary)).eval()


def test_its_scales_are_read_without_a_dimension_too_and_leave_half_precision_as_it_is() -> None:
    speak, batch = speaker(), example(speaker())
    saved = speak.state_dict() | {"scale": torch.tensor(2.0), "logit_scale": torch.tensor(3.0)}
    speak.load_state_dict(saved)
    assert speak.scale.tolist() == [2.0] and speak.logit_scale.tolist() == [3.0]
    with torch.autocast("cpu", torch.bfloat16):
        hidden = torch.zeros(1, 6, WIDTH)
        logits = speak.heads(hidden, batch["units"], batch["windows"], batch["moves"], speak.units())
    assert logits.units.dtype == torch.bfloat16


def example(speak: Speak, steps: int = 6) -> dict[str, torch.Tensor]:
    m = speak.sizes.units_per_step
    made = torch.Generator().manual_seed(1)
    symbols = torch.randint(1, 12, (9,), generator=made)
    pointers = torch.tensor([0, 1, 2, 3, 3, 7, 10, 13, 16, 18, 18, 18, 18])[: steps * m + 1]
    windows = windows_at(symbols, pointers, speak.sizes)
    units = torch.randint(0, 15, (1, steps, m), generator=made)
    return {
        "hidden": torch.randn(1, steps, WIDTH, generator=made),
        "text": torch.randn(1, steps, WIDTH, generator=made),
        "windows": torch.stack([windows[n * m : n * m + m + 1] for n in range(steps)])[None],
        "moves": pointers.diff().view(1, steps, m),
        "units": units,
        "before": F.pad(units[:, :-1], (0, 0, 1, 0), value=NOTHING),
        "manners": torch.tensor([[0.3, 0.7]]),
    }


def inputs(speak: Speak, given: dict[str, torch.Tensor], steps: slice = slice(None)) -> torch.Tensor:
    parts = (given["hidden"], given["text"], given["windows"][:, :, 0], given["before"])
    return speak.inputs(*(part[:, steps] for part in parts), given["manners"], speak.units())


def heads(speak: Speak, hidden: torch.Tensor, given: dict[str, torch.Tensor]) -> Logits:
    return speak.heads(hidden, given["units"], given["windows"], given["moves"], speak.units())


class Truth:
    """Chooses what was true, and keeps what was expected."""

    def __init__(self, given: dict[str, torch.Tensor], step: int) -> None:
        self.given, self.step, self.number = given, step, 0
        self.units: list[torch.Tensor] = []
        self.moves: list[torch.Tensor] = []

    def windows(self) -> torch.Tensor:
        return self.given["windows"][:, self.step, self.number]

    def move(self, logits: torch.Tensor) -> torch.Tensor:
        self.moves.append(logits[0])
        self.number += 1
        return self.given["moves"][:, self.step, self.number - 1]

    def unit(self, logits: torch.Tensor) -> torch.Tensor:
        self.units.append(logits[0])
        return self.given["units"][:, self.step, self.number - 1]


def test_a_window_reads_around_the_pointer_and_nothing_beyond_the_text() -> None:
    sizes = speaker().sizes
    windows = windows_at(torch.tensor([5, 6, 7]), torch.tensor([0, 5, 6]), sizes)
    assert windows.tolist() == [[0, 5, 6, 7, 0, 12], [6, 7, 0, 0, 0, 13], [7, 0, 0, 0, 0, 12]]


@pytest.mark.parametrize("kind", ["sequential", "parallel"])
@torch.no_grad()
def test_steps_at_once_are_steps_one_by_one(kind: str) -> None:
    speak = speaker(kind)
    given = example(speak)
    hidden, _ = speak(inputs(speak, given))
    expected = heads(speak, hidden, given)
    state = None
    for step in range(6):
        alone, state = speak(inputs(speak, given, slice(step, step + 1)), state)
        assert torch.allclose(alone[:, 0], hidden[:, step], atol=1e-4)
        truth = Truth(given, step)
        assert torch.equal(speak.choose(alone[:, 0], truth, speak.units())[0], given["units"][0, step])
        assert torch.allclose(torch.stack(truth.units), expected.units[0, step], atol=1e-3)
        assert torch.allclose(torch.stack(truth.moves), expected.moves[0, step], atol=1e-3)


def test_a_parallel_head_does_not_see_the_units_beside_it_and_a_sequential_one_does() -> None:
    for kind, sees in (("parallel", False), ("sequential", True)):
        speak = speaker(kind)
        given = example(speak)
        hidden = torch.randn(1, 6, WIDTH)
        other = given | {"units": (given["units"] + 1) % 15}
        one, two = (heads(speak, hidden, each).units for each in (given, other))
        assert torch.equal(one[:, :, 0], two[:, :, 0])
        assert torch.equal(one[:, :, 1], two[:, :, 1]) != sees


def test_a_unit_knows_how_far_it_goes_and_the_move_does_not() -> None:
    speak = speaker()
    given = example(speak)
    hidden = torch.randn(1, 6, WIDTH)
    one, two = (heads(speak, hidden, each) for each in (given, given | {"moves": (given["moves"] + 1) % 15}))
    assert torch.equal(one.moves[:, :, 0], two.moves[:, :, 0])
    assert not torch.allclose(one.units[:, :, 0], two.units[:, :, 0])


def test_a_unit_knows_where_it_ends_and_the_move_does_not() -> None:
    speak = speaker()
    given = example(speak)
    other = given["windows"].clone()
    other[:, :, 1, 0] += 1
    hidden = torch.randn(1, 6, WIDTH)
    one, two = (heads(speak, hidden, each) for each in (given, given | {"windows": other}))
    assert torch.equal(one.moves[:, :, 0], two.moves[:, :, 0])
    assert not torch.allclose(one.units[:, :, 0], two.units[:, :, 0])


def test_no_step_sees_a_later_one() -> None:
    speak = speaker()
    given = example(speak)
    before, _ = speak(inputs(speak, given))
    given["hidden"][:, 4:] += 1.0
    after, _ = speak(inputs(speak, given))
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-5)
    assert not torch.allclose(before[:, 4:], after[:, 4:], atol=1e-2)


def test_it_learns_units_and_pointer_by_heart() -> None:
    speak = speaker().train()
    given = example(speak)
    optimizer = torch.optim.AdamW(speak.parameters(), lr=1e-2)
    for _ in range(150):
        hidden, _ = speak(inputs(speak, given))
        found = heads(speak, hidden, given)
        loss = sum(
            F.cross_entropy(logits.flatten(0, 2), given[name].flatten())
            for name, logits in (("units", found.units), ("moves", found.moves))
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(found.units.argmax(-1), given["units"])
    assert torch.equal(found.moves.argmax(-1), given["moves"])
