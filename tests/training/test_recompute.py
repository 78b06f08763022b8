"""Layers that are computed again: they learn the same, and keep less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harken.model.layer_stack import LayerStack
from harken.testing import tiny_core
from harken.training.loop import Objective, train
from harken.training.low_rank import add_low_rank
from harken.training.recompute import recompute_layers
from harken.training.saving import identity
from harken.training.schedule import CORE_UPDATE, Schedule
from harken.training.world import ALONE

IDS = torch.arange(3 * 40).view(3, 40)
VALID = torch.arange(40)[None] < torch.tensor([40, 21, 33])[:, None]


def learned(core):
    """Hidden states of what is real, what a layer learns from them, and how many bytes were kept for that."""
    core.zero_grad()
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = core(core.embed(IDS), valid=VALID).hidden[VALID]
    hidden.pow(3).sum().backward()
    weights = {parameter.untyped_storage().data_ptr() for parameter in core.parameters()}
    size = sum(count for pointer, count in kept.items() if pointer not in weights)
    return hidden.detach(), core.think.layers[1].mlp.up_proj.weight.grad, size


def test_what_is_computed_again_is_the_same_and_less_is_kept():
    core = tiny_core("qwen3").train()
    hidden, gradient, size = learned(core)
    recompute_layers(core)
    again, gradient_again, size_again = learned(core)
    assert torch.equal(again, hidden)
    assert torch.equal(gradient_again, gradient)
    assert size_again < size / 2


def losses(out: Path, recompute: bool) -> list[float]:
    torch.manual_seed(0)
    core = tiny_core()
    add_low_rank(core, 2)
    schedule = Schedule(steps=3, rates=((CORE_UPDATE.removeprefix("core."), 1e-2),), warmup=1)
    seen = []

    def losses_at(number: int) -> dict[str, torch.Tensor]:
        hidden = core(core.embed(IDS + number), valid=VALID).hidden[VALID]
        seen.append(hidden.detach().mean().item())
        return {"loss": hidden.mean()}

    objective = Objective(core, losses_at, lambda number: [])
    train(objective, schedule, out, identity("test", schedule), world=replace(ALONE, recompute=recompute))
    assert all(part.learn is not None for part in core.modules() if isinstance(part, LayerStack)) == recompute
    return seen


def test_a_run_that_recomputes_learns_what_the_others_learn(tmp_path):
    pytest.importorskip("peft")
    plain = losses(tmp_path / "plain", recompute=False)
    assert losses(tmp_path / "again", recompute=True) == plain
    assert plain[-1] < plain[0]
