"""A run that was killed and started again is the run that never stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harken.errors import RecipeError
from harken.training.loop import CHECKPOINT, METRICS, Schedule, fingerprint, train

SCHEDULE = Schedule(steps=10, learning_rate=0.05, warmup=3, evaluate_every=4, save_every=3)


def module():
    torch.manual_seed(7)
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    net[0].bias.requires_grad_(False)
    return net


def losses(net, killed_at=None):
    def at(step):
        if step == killed_at:
            raise KeyboardInterrupt
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        loss = (net(x) - x.sum(1, keepdim=True)).pow(2).mean()
        return {"loss": loss, "rows": torch.tensor(16)}

    return at


def rows(folder):
    """The last row of each step, without how long it took."""
    written = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return {row["step"]: {k: v for k, v in row.items() if k != "seconds"} for row in written}


def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    whole, broken = module(), module()
    train(whole, losses(whole), SCHEDULE, tmp_path / "whole", "a")
    with pytest.raises(KeyboardInterrupt):
        train(broken, losses(broken, killed_at=8), SCHEDULE, tmp_path / "broken", "a")
    again = module()
    train(again, losses(again), SCHEDULE, tmp_path / "broken", "a")
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")
    assert list(rows(tmp_path / "whole")) == list(range(10))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_it_goes_on_from_the_last_checkpoint_and_a_finished_run_does_nothing(tmp_path):
    net, steps = module(), []
    with pytest.raises(KeyboardInterrupt):
        train(net, losses(net, killed_at=5), SCHEDULE, tmp_path, "a")
    again = module()
    wrapped = losses(again)
    for _ in range(2):
        train(again, lambda step: (steps.append(step), wrapped(step))[1], SCHEDULE, tmp_path, "a")
    assert steps == [3, 4, 5, 6, 7, 8, 9]


def test_another_runs_checkpoint_is_refused_and_named(tmp_path):
    net = module()
    train(net, losses(net), SCHEDULE, tmp_path, "words seed=0")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(RecipeError, match=r"words seed=0.*align seed=0") as refused:
        train(net, losses(net), SCHEDULE, tmp_path, "align seed=0")
    assert "--out" in refused.value.hint
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_only_what_requires_grad_is_trained_and_kept(tmp_path):
    net, fresh = module(), module()
    train(net, losses(net), SCHEDULE, tmp_path, "a")
    assert torch.equal(net[0].bias, fresh[0].bias)
    assert not torch.equal(net[0].weight, fresh[0].weight)
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert saved["weights"].keys() == {"0.weight", "2.weight", "2.bias"}
    assert saved["step"] == 10


def test_measurements_are_taken_in_evaluation_mode_and_at_the_end(tmp_path):
    net, modes = module(), []

    def evaluate():
        modes.append((net.training, torch.is_grad_enabled()))
        return {"wer": 0.5}

    train(net, losses(net), SCHEDULE, tmp_path, "a", evaluate)
    assert modes == [(False, False)] * 3
    measured = {step: row["dev_wer"] for step, row in rows(tmp_path).items() if "dev_wer" in row}
    assert measured == {3: 0.5, 7: 0.5, 9: 0.5}
    assert all({"loss", "rows", "norm"} <= row.keys() for row in rows(tmp_path).values())


def test_a_step_whose_gradient_is_not_finite_changes_nothing(tmp_path):
    net, fresh = module(), module()
    train(net, lambda _: {"loss": net[2].bias.sum() * torch.inf}, Schedule(2, 0.1), tmp_path, "a")
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), fresh.parameters(), strict=True))


@given(st.integers(2, 500), st.integers(0, 100), st.floats(1e-5, 1), st.floats(0, 1))
def test_the_rate_rises_to_its_peak_and_falls_to_its_share(steps, warmup, rate, final):
    schedule = Schedule(steps, rate, warmup=warmup, final_rate=final)
    rates = [schedule.rate(step) for step in range(steps)]
    rising, falling = rates[:warmup], rates[warmup:]
    assert all(0 < r <= rate * (1 + 1e-6) for r in rates) or final == 0
    assert rising == sorted(rising)
    assert all(a >= b - 1e-9 for a, b in pairwise(falling))
    assert schedule.rate(max(steps, warmup + 1)) == pytest.approx(rate * final, rel=1e-4, abs=1e-9)
    if falling:
        assert falling[0] == pytest.approx(rate)


def test_what_is_named_faster_learns_faster_and_goes_on_so(tmp_path):
    def moved(folder, faster):
        net = module()
        before = net[2].weight.detach().clone(), net[0].weight.detach().clone()
        schedule = Schedule(steps=4, learning_rate=1e-4, warmup=1, save_every=2, faster=faster)
        with pytest.raises(KeyboardInterrupt):
            train(net, losses(net, killed_at=3), schedule, folder, "a")
        net = module()
        train(net, losses(net), schedule, folder, "a")
        return [
            float((net[i].weight - old).detach().abs().mean()) for i, old in zip((2, 0), before, strict=True)
        ]

    plain, faster = moved(tmp_path / "plain", ()), moved(tmp_path / "faster", (("2.", 10.0),))
    assert faster[0] > 5 * plain[0]
    assert faster[1] < 2 * plain[1]


def test_a_run_is_named_by_its_settings_and_data():
    schedule = Schedule(steps=3, learning_rate=0.1)
    name = fingerprint("core", schedule, ["a", "b"])
    assert name == fingerprint("core", schedule, ["a", "b"])
    others = {
        fingerprint("align", schedule, ["a", "b"]),
        fingerprint("core", replace(schedule, steps=4), ["a", "b"]),
        fingerprint("core", schedule, ["a", "c"]),
    }
    assert len(others | {name}) == 4
