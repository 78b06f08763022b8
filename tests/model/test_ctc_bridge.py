"""What is heard frame by frame becomes one vector a piece."""

from __future__ import annotations

import copy
from itertools import groupby

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.model.ctc_bridge import CtcBridge, CtcBridgeSizes
from harken.training.words import ctc_loss

TABLE = torch.tensor([[1.0, 0, 0, 2], [0, 1, 0, -1], [0, 0, 1, 0.5]])  # (P, D)
A, B, C, BLANK = range(4)


@pytest.fixture(scope="module")
def bridge():
    torch.manual_seed(0)
    return CtcBridge(CtcBridgeSizes(encoder_width=6, width=16, layers=2, heads=2, kernel=5), TABLE).eval()


def heard(*rows):
    """Probabilities frame by frame -> log-probabilities (1, U, P + 1), valid."""
    return torch.tensor([rows]).clamp(min=1e-9).log(), torch.ones(1, len(rows), dtype=torch.bool)


def test_a_number_that_was_saved_without_a_dimension_is_read(bridge):
    saved = {name: value[0] + 1 if name == "scale" else value for name, value in bridge.state_dict().items()}
    other = copy.deepcopy(bridge)
    other.load_state_dict(saved)
    assert other.scale.tolist() == [bridge.scale.item() + 1] and saved["scale"].dim() == 0


def test_runs_merge_blanks_part_and_vectors_are_the_weighted_mean(bridge):
    soft = bridge.collapse(
        *heard(
            (0.6, 0.3, 0.0, 0.1),
            (0.5, 0.4, 0.0, 0.1),
            (0.1, 0.0, 0.0, 0.9),
            (0.8, 0.0, 0.1, 0.1),
            (0.0, 0.7, 0.2, 0.1),
            (0.0, 0.1, 0.0, 0.9),
        )
    )
    assert soft.pieces.tolist() == [[A, A, B]]
    assert soft.frames.tolist() == [[0, 3, 4]]
    assert soft.valid.all()
    weights = torch.tensor([[1.1 / 1.8, 0.7 / 1.8, 0], [8 / 9, 0, 1 / 9], [0, 7 / 9, 2 / 9]])
    torch.testing.assert_close(soft.embeddings[0], weights @ TABLE)
    torch.testing.assert_close(soft.confidence[0], torch.tensor([1.1 / 1.8, 8 / 9, 7 / 9]))


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(A, BLANK), min_size=6, max_size=6), min_size=1, max_size=3))
def test_there_is_one_vector_a_run(bridge, frames):
    scores = torch.nn.functional.one_hot(torch.tensor(frames), 4).float() * 5
    soft = bridge.collapse(scores.log_softmax(-1), torch.ones(len(frames), 6, dtype=torch.bool))
    for row, sequence in enumerate(frames):
        runs = [piece for piece, _ in groupby(sequence) if piece != BLANK]
        assert soft.pieces[row][soft.valid[row]].tolist() == runs
        assert not soft.embeddings[row][~soft.valid[row]].any()


def test_silence_gives_no_vectors_at_all(bridge):
    soft = bridge.collapse(*heard((0.0, 0.0, 0.1, 0.9), (0.1, 0.0, 0.0, 0.9)))
    assert soft.embeddings.shape == (1, 0, 4)
    assert soft.pieces.shape == soft.confidence.shape == soft.frames.shape == (1, 0)


def test_gradients_reach_the_scores_of_spoken_frames_alone(bridge):
    scores = torch.tensor([[[3.0, 2, 0, 0], [0, 0, 0, 5], [1, 4, 0, 0], [9, 0, 0, 0]]], requires_grad=True)
    valid = torch.tensor([[True, True, True, False]])
    soft = bridge.collapse(scores.log_softmax(-1), valid)
    (soft.embeddings * torch.tensor([1.0, 3.0, 5.0, 7.0])).sum().backward()
    assert soft.pieces.tolist() == [[A, B]]
    assert (scores.grad[0, [0, 2], :3].abs() > 1e-3).all()
    assert not scores.grad[0, [1, 3]].any()


@torch.no_grad()
@pytest.mark.parametrize("length", (7, 8))
def test_padding_changes_nothing_whatever_lies_in_it(bridge, length):
    states = torch.randn(1, length, 6, generator=torch.Generator().manual_seed(1))
    alone, alone_valid = bridge(states, torch.ones(1, length, dtype=torch.bool))
    padded = torch.cat([states, torch.full((1, 13 - length, 6), 3.0)], 1)
    both = torch.cat([padded, torch.randn(1, 13, 6)])
    valid = torch.stack([torch.arange(13) < length, torch.ones(13, dtype=torch.bool)])
    log_probs, bridged = bridge(both, valid)
    assert alone.shape == (1, 4, 4) and alone_valid.all()
    assert log_probs.shape == (2, 7, 4)
    assert bridged.sum(1).tolist() == [4, 7]
    torch.testing.assert_close(log_probs[:1, :4], alone)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(2, 7))
    assert log_probs[0, 4:].exp().tolist() == [[0, 0, 0, 1]] * 3
    first, second = bridge.collapse(alone, alone_valid), bridge.collapse(log_probs, bridged)
    heard = int(first.valid.sum())
    assert second.valid[0].sum() == heard
    torch.testing.assert_close(second.embeddings[:1, :heard], first.embeddings)


def test_padding_teaches_nothing(bridge):
    """The loss of a padded batch, and what it asks of the bridge, are those of its rows."""
    random = torch.Generator().manual_seed(1)
    rows = [torch.randn(1, length, 6, generator=random) for length in (9, 13)]
    targets = torch.tensor([[A, C], [B, B]])

    def learned(states, valid, targets):
        bridge.zero_grad()
        log_probs, bridged = bridge(states, valid)
        loss = len(targets) * ctc_loss(log_probs, bridged, targets, torch.full((len(targets),), 2))
        loss.backward()
        return loss.detach(), [parameter.grad.clone() for parameter in bridge.parameters()]

    lengths = torch.tensor([[9], [13]])
    padded = torch.cat([torch.nn.functional.pad(row, (0, 0, 0, 13 - row.shape[1])) for row in rows])
    together = learned(padded, torch.arange(13) < lengths, targets)
    first = learned(rows[0], torch.ones(1, 9, dtype=torch.bool), targets[:1])
    second = learned(rows[1], torch.ones(1, 13, dtype=torch.bool), targets[1:])
    torch.testing.assert_close(together[0], first[0] + second[0])
    both = [one + other for one, other in zip(first[1], second[1], strict=True)]
    torch.testing.assert_close(together[1], both)


def test_the_language_models_embeddings_are_neither_trained_nor_saved(bridge):
    assert not {"table", "directions"} & (set(bridge.state_dict()) | dict(bridge.named_parameters()).keys())
