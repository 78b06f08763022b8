"""The core's low-rank update: what it leaves alone, and how it is shipped."""

from __future__ import annotations

import pytest
import torch

from harken.model.core import fold_low_rank
from harken.testing import tiny_core
from harken.training.low_rank import MODULES, add_low_rank, load_low_rank, low_rank_update


@pytest.fixture
def adapted():
    """A tiny core with an update that changes it."""
    pytest.importorskip("peft")
    core = tiny_core()
    add_low_rank(core, rank=2)
    torch.manual_seed(1)
    for name, parameter in core.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return core


def logits(core, seed=0):
    inputs = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return core.logits(core(inputs).hidden)


def test_only_the_update_of_every_linear_layer_is_trainable():
    pytest.importorskip("peft")
    core = tiny_core()
    before = logits(core)
    add_low_rank(core, rank=2)
    trainable = {name for name, p in core.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trainable)
    assert len(trainable) == 2 * len(MODULES) * 4  # four layers, two matrices each
    assert not any("lora_" in name for name, p in core.named_parameters() if not p.requires_grad)
    torch.testing.assert_close(logits(core), before)  # it begins at nothing


def test_folding_the_shipped_update_into_a_fresh_core_is_the_adapted_core(adapted):
    folded = tiny_core()
    assert (logits(folded) - logits(adapted)).abs().max() > 0.1
    fold_low_rank(folded, low_rank_update(adapted))
    torch.testing.assert_close(logits(folded), logits(adapted), atol=0.02, rtol=0)


def test_training_goes_on_from_a_shipped_update(adapted):
    update = low_rank_update(adapted)
    assert all(tensor.dtype == torch.float16 for tensor in update.values())
    again = tiny_core()
    add_low_rank(again, rank=2)
    load_low_rank(again, update)
    torch.testing.assert_close(logits(again), logits(adapted), atol=0.02, rtol=0)
    second = low_rank_update(again)
    assert second.keys() == update.keys()
    for name, tensor in update.items():
        torch.testing.assert_close(second[name], tensor)
