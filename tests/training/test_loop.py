"""A run that was killed and started again is the run that never stopped."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harken.errors import RecipeError, Stopped, TrainingError
from harken.training.callbacks import METRICS, usual
from harken.training.loop import Callback, Objective, train
from harken.training.saving import checkpoint, identity
from harken.training.schedule import Schedule, trainable

RATES = (("*", 0.05),)
SCHEDULE = Schedule(
    steps=10, rates=(("0.weight", 0.05), ("2.*", 0.05)), warmup=3, evaluate_every=4, save_every=3
)
WHOSE = identity("words", SCHEDULE)


def module():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))


def objective(net, killed_at=None, seen=None):
    def losses_at(number):
        if number == killed_at:
            raise KeyboardInterrupt
        if seen is not None:
            seen.append(number)
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(number))
        loss = (net(x) - x.sum(1, keepdim=True)).pow(2).mean()
        return {"loss": loss, "clips": torch.tensor(16)}

    return Objective(net, losses_at, lambda number: [f"row-{number}"])


def learn(net, out, schedule=SCHEDULE, evaluate=None, others=(), whose=WHOSE, **how):
    train(objective(net, **how), schedule, out, whose, usual(evaluate, *others))


def rows(folder):
    """The row of each step, which stands there once, without how long it took."""
    written = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    assert len({row["step"] for row in written}) == len(written)
    return {row["step"]: {k: v for k, v in row.items() if k != "seconds"} for row in written}


@pytest.mark.parametrize("killed_at", [0, 2, 5, 8])
def test_a_killed_run_goes_on_to_the_bit(tmp_path, killed_at):
    whole, broken, again = module(), module(), module()
    learn(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        learn(broken, tmp_path / "broken", killed_at=killed_at)
    learn(again, tmp_path / "broken")
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")
    assert list(rows(tmp_path / "whole")) == list(range(10))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_it_goes_on_from_the_last_checkpoint_and_a_finished_run_does_nothing(tmp_path):
    seen = []
    with pytest.raises(KeyboardInterrupt):
        learn(module(), tmp_path, killed_at=5)
    for _ in range(2):
        learn(module(), tmp_path, seen=seen)
    assert seen == [3, 4, 5, 6, 7, 8, 9]
    assert [folder.name for folder in tmp_path.glob("*checkpoint*")] == ["checkpoint-0000010"]


def test_another_runs_checkpoint_is_refused_with_the_difference(tmp_path):
    net = module()
    learn(net, tmp_path)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    other = identity("words", replace(SCHEDULE, warmup=4), clips=["a"])
    with pytest.raises(RecipeError, match=r"config\.warmup: 3 -> 4") as refused:
        learn(net, tmp_path, whose=other)
    assert "clips: null" in refused.value.message and "--out" in refused.value.hint
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_only_what_has_a_rate_is_trained(tmp_path):
    net, fresh = module(), module()
    learn(net, tmp_path)
    changed = {
        name for name, value in net.named_parameters() if not torch.equal(value, fresh.get_parameter(name))
    }
    assert changed == {"0.weight", "2.weight", "2.bias"}
    assert {name for name, value in net.named_parameters() if value.requires_grad} == changed


def test_the_first_pattern_that_matches_gives_the_rate():
    net = module()
    assert trainable(net, (("0.b*", 2.0), ("0.*", 1.0))) == {"0.weight": 1.0, "0.bias": 2.0}
    assert [name for name, p in net.named_parameters() if not p.requires_grad] == ["2.weight", "2.bias"]


def test_measurements_are_taken_in_evaluation_mode_and_at_the_end(tmp_path):
    net, modes = module(), []

    def evaluate():
        modes.append((net.training, torch.is_grad_enabled()))
        return {"wer": 0.5}

    learn(net, tmp_path, evaluate=evaluate)
    assert modes == [(False, False)] * 3
    measured = {step: row["dev_wer"] for step, row in rows(tmp_path).items() if "dev_wer" in row}
    assert measured == {3: 0.5, 7: 0.5, 9: 0.5}
    assert all({"loss", "clips", "norm"} <= row.keys() for row in rows(tmp_path).values())


def test_a_step_of_two_batches_is_a_step_of_both_together(tmp_path):
    """Means of means over batches of one size: the losses and weights of one batch twice as large."""
    halves, both = nn.Linear(4, 1), nn.Linear(4, 1)
    both.load_state_dict(halves.state_dict())

    def of(net, numbers):
        x = torch.cat([torch.randn(8, 4, generator=torch.Generator().manual_seed(n)) for n in numbers])
        return {"loss": (net(x) - x.sum(1, keepdim=True)).pow(2).mean(), "clips": torch.tensor(len(x))}

    schedule = Schedule(5, (("*", 0.05),), warmup=1)
    two = replace(schedule, accumulate=2)
    train(Objective(halves, lambda n: of(halves, [n]), lambda n: []), two, tmp_path / "a", WHOSE, usual())
    train(
        Objective(both, lambda n: of(both, [2 * n, 2 * n + 1]), lambda n: []),
        schedule,
        tmp_path / "b",
        WHOSE,
        usual(),
    )
    assert torch.allclose(halves.weight, both.weight, atol=1e-6)
    for one, other in zip(rows(tmp_path / "a").values(), rows(tmp_path / "b").values(), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=2e-5) and one["clips"] == other["clips"] == 16


def test_a_loss_that_is_no_number_stops_and_names_the_rows_and_what_stands(tmp_path):
    net = module()

    def losses_at(number):
        loss = net[2].bias.sum()
        return {"loss": loss * torch.inf if number == 7 else loss}

    bad = Objective(net, losses_at, lambda number: [f"row-{number}"])
    with pytest.raises(TrainingError, match=r"step 7: .*checkpoint-0000006 stands") as stopped:
        train(bad, SCHEDULE, tmp_path, WHOSE, usual())
    assert "row-7" in stopped.value.hint
    assert len(rows(tmp_path)) == 7 and checkpoint(tmp_path).name == "checkpoint-0000006"


class _Tell(Callback):
    """Sends this process the signal to end after some step."""

    def __init__(self, step):
        self.step = step

    def after(self, run, row):
        if run.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("step", [5, 6])  # 6 is saved all the same
def test_a_process_told_to_end_keeps_the_run_and_the_next_goes_on_to_the_bit(tmp_path, step):
    before, whole, again = signal.getsignal(signal.SIGTERM), module(), module()
    learn(whole, tmp_path / "whole")
    with pytest.raises(Stopped, match=f"after step {step} of 10") as stopped:
        learn(module(), tmp_path / "told", others=(_Tell(step),))
    assert "same command" in stopped.value.hint and signal.getsignal(signal.SIGTERM) == before
    assert checkpoint(tmp_path / "told").name == f"checkpoint-000000{step}"
    learn(again, tmp_path / "told")
    assert rows(tmp_path / "told") == rows(tmp_path / "whole")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


@given(st.integers(2, 500), st.integers(0, 100), st.floats(0, 1))
def test_the_rate_rises_to_its_peak_and_falls_to_its_share(steps, warmup, final):
    schedule = Schedule(steps, RATES, warmup=warmup, final_rate=final)
    shares = [schedule.share(step) for step in range(steps)]
    rising, falling = shares[:warmup], shares[warmup:]
    assert all(0 < share <= 1 + 1e-6 for share in shares) or final == 0
    assert rising == sorted(rising)
    assert all(a >= b - 1e-9 for a, b in pairwise(falling))
    assert schedule.share(max(steps, warmup + 1)) == pytest.approx(final, rel=1e-4, abs=1e-9)
    if falling:
        assert falling[0] == pytest.approx(1)


def test_what_has_a_higher_rate_learns_faster_and_goes_on_so(tmp_path):
    def moved(folder, rates):
        net = module()
        before = net[2].weight.detach().clone(), net[0].weight.detach().clone()
        schedule = Schedule(steps=4, rates=rates, warmup=1, save_every=2)
        with pytest.raises(KeyboardInterrupt):
            learn(net, folder, schedule, killed_at=3)
        net = module()
        learn(net, folder, schedule)
        return [
            float((net[i].weight - old).detach().abs().mean()) for i, old in zip((2, 0), before, strict=True)
        ]

    plain = moved(tmp_path / "plain", (("*", 1e-4),))
    faster = moved(tmp_path / "faster", (("2.*", 1e-3), ("*", 1e-4)))
    assert faster[0] > 5 * plain[0]
    assert faster[1] < 2 * plain[1]


def test_a_run_is_named_by_its_settings_and_data():
    name = identity("core", SCHEDULE, rows=["a", "b"])
    assert name == json.loads(json.dumps(identity("core", SCHEDULE, rows=["a", "b"])))
    others = [
        identity("align", SCHEDULE, rows=["a", "b"]),
        identity("core", replace(SCHEDULE, steps=4), rows=["a", "b"]),
        identity("core", SCHEDULE, rows=["a", "c"]),
    ]
    assert name not in others and len({str(other) for other in others}) == 3
