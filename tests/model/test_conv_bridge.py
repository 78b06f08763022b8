"""The `paper` recipe's adapter: 6.25 vectors a second, whatever stands beside in the batch."""

from __future__ import annotations

import pytest
import torch

from harken.model.conv_bridge import ConvBridge, ConvBridgeSizes
from harken.recipes import paper


@pytest.fixture(scope="module")
def bridge():
    torch.manual_seed(0)
    return ConvBridge(ConvBridgeSizes(encoder_width=32, core_width=48), embedding_rms=0.05).eval()


@torch.no_grad()
@pytest.mark.parametrize(("frames", "vectors"), [(1, 1), (8, 1), (9, 2), (50, 7), (100, 13)])
def test_eight_frames_become_one_vector_at_the_embeddings_scale(bridge, frames, vectors):
    soft = bridge(torch.randn(2, frames, 32), torch.ones(2, frames, dtype=torch.bool))
    assert soft.embeddings.shape == (2, vectors, 48)
    rms = soft.embeddings.pow(2).mean(-1).sqrt()
    torch.testing.assert_close(rms, torch.full_like(rms, 0.05), rtol=0.01, atol=0)


@torch.no_grad()
@pytest.mark.parametrize("length", (16, 21))
def test_padding_changes_nothing_whatever_lies_in_it(bridge, length):
    states = torch.randn(1, length, 32)
    alone = bridge(states, torch.ones(1, length, dtype=torch.bool))
    padded = torch.cat([states, torch.full((1, 40 - length, 32), 9.0)], 1)
    valid = torch.arange(40)[None] < length
    soft = bridge(padded, valid)
    count = alone.valid.shape[1]
    assert soft.valid[0].tolist() == [True] * count + [False] * (5 - count)
    torch.testing.assert_close(soft.embeddings[:, :count], alone.embeddings)
    assert not soft.embeddings[:, count:].any()


@torch.no_grad()
def test_every_vector_hears_both_what_was_before_and_what_comes_after(bridge):
    states = torch.randn(1, 80, 32)
    valid = torch.ones(1, 80, dtype=torch.bool)
    changed = states.clone()
    changed[:, 39:41] += 3
    difference = (bridge(states, valid).embeddings - bridge(changed, valid).embeddings).abs().amax(-1)
    assert (difference > 0).all()


def test_the_papers_sizes_fit_together():
    recipe = paper()
    sizes = ConvBridgeSizes(
        recipe.listen.encoder_width, recipe.core.width, **recipe.listen.bridge.model_dump(exclude={"kind"})
    )
    with torch.device("meta"):
        bridge = ConvBridge(sizes, embedding_rms=0.02)
        soft = bridge(torch.zeros(1, 1500, 768), torch.ones(1, 1500, dtype=torch.bool))
    assert soft.embeddings.shape == (1, 188, 4096)  # 30 s
    assert [conv.conv.weight.shape for conv in bridge.convs] == [(1536, 768, 5)] * 3
    attention = bridge.layers[0].self_attn
    assert (attention.q_proj.out_features, attention.k_proj.out_features) == (768, 384)
