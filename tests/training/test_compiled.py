"""Layers as one program: what it learns is what the layers learn one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harken.model.core import CoreState
from harken.model.layer_stack import LayerStack
from harken.testing import tiny_core
from harken.training import compiled
from harken.training.compiled import compile_layers
from harken.training.world import ALONE

GPU = replace(ALONE, device=torch.device("cuda"))
IDS = torch.arange(2 * 7).view(2, 7)


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    """Counts how often a layer was traced, and compiles nothing."""
    torch.compiler.reset()
    traced = []

    def backend(graph, inputs):
        traced.append(graph)
        return graph.forward

    program = torch.compile(compiled.run_layer, dynamic=True, fullgraph=True, backend=backend)
    monkeypatch.setattr(compiled, "program", lambda: program)
    return traced


def learned(core, valid):
    """Hidden states of what is real, and what the embeddings would learn from them."""
    core.zero_grad()
    hidden = core(core.embed(IDS), valid=valid).hidden
    real = hidden if valid is None else hidden[valid]
    real.pow(3).sum().backward()
    return real.detach(), core.think.layers[1].mlp.up_proj.weight.grad


@pytest.mark.parametrize("padded", [False, True])
def test_layers_learn_alike_compiled_or_not(programs, padded):
    core = tiny_core("qwen3").train()
    valid = torch.tensor([[True] * 7, [True] * 4 + [False] * 3]) if padded else None
    plain = learned(core, valid)
    compile_layers(core, GPU)
    torch.testing.assert_close(learned(core, valid), plain, atol=1e-5, rtol=1e-4)
    assert len(programs) == 1


def test_a_program_is_only_for_learning_from_the_start(programs):
    core = tiny_core().train()
    compile_layers(core, GPU)
    with torch.no_grad():
        state = core(core.embed(IDS)).state
    core(core.embed(IDS), state)
    core.eval()(core.embed(IDS), CoreState.empty())
    assert not programs and state.think.keys


@pytest.mark.parametrize("world", [ALONE, replace(GPU, size=2)])
def test_nothing_is_compiled_without_a_gpu_or_where_layers_are_spread(world):
    core = tiny_core()
    compile_layers(core, world)
    assert all(part.learn is None for part in core.modules() if isinstance(part, LayerStack))
