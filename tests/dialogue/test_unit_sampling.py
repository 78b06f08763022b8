"""Choosing units: the middle of what is expected, the most probable, or drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.dialogue.unit_sampling import UnitSampler, UnitSampling, middle
from harken.model.units.fsq import FiniteScalarQuantiser

LEVELS = (3, 5)
V = 15


def probs(**of_units: float) -> torch.Tensor:
    """Probabilities (V + 1,): `u3=0.5` is unit 3's, `end=0.2` the end's."""
    found = torch.zeros(V + 1)
    for name, share in of_units.items():
        found[V if name == "end" else int(name[1:])] = share
    return found


def test_the_middle_is_the_mean_level_of_each_dimension() -> None:
    """Unit 0 has the levels (0, 0), unit 6 (0, 2), unit 14 (2, 4), by `FiniteScalarQuantiser.digits`."""
    assert FiniteScalarQuantiser(LEVELS).digits(torch.tensor([0, 6, 14])).tolist() == [[0, 0], [0, 2], [2, 4]]
    assert middle(probs(u6=1.0), LEVELS) == 6
    assert middle(probs(u0=0.5, u14=0.5), LEVELS) == 7  # (1, 2)
    assert middle(probs(u0=0.9, u14=0.1), LEVELS) == 0


@given(st.lists(st.floats(0.001, 1.0), min_size=V, max_size=V))
def test_the_middle_lies_within_half_a_level_of_every_mean(weights: list[float]) -> None:
    of_units = torch.tensor([*weights, 0.0])
    of_units = of_units / of_units.sum()
    quantiser = FiniteScalarQuantiser(LEVELS)
    means = (of_units[:-1, None] * quantiser.digits(torch.arange(V)).float()).sum(0)
    chosen = quantiser.digits(torch.tensor(middle(of_units, LEVELS))).float()
    assert ((chosen - means).abs() <= 0.5 + 1e-4).all()


def test_speech_ends_where_that_is_likelier_than_all_else() -> None:
    assert middle(probs(u3=0.4, end=0.6), LEVELS) == V
    assert middle(probs(u3=0.6, end=0.4), LEVELS) == 3


@pytest.mark.parametrize("draw", [False, True])
def test_it_does_not_end_before_it_may(draw: bool) -> None:
    sampler = UnitSampler(UnitSampling(draw=draw), LEVELS)
    logits = torch.full((1, V + 1), -9.0)
    logits[0, 4], logits[0, V] = 1.0, 9.0
    assert sampler.choose(logits, may_end=False) == 4
    assert sampler.choose(logits, may_end=True) == V


def test_a_unit_that_comes_too_often_is_drawn_anew() -> None:
    logits = torch.zeros(1, V + 1)
    logits[0, 4] = 2.0  # with top_p 0.3 it is always unit 4

    def share(often: float) -> float:
        sampler = UnitSampler(UnitSampling(draw=True, temperature=1.0, top_p=0.3, often=often), LEVELS)
        return float(np.mean([int(sampler.choose(logits, may_end=False)) == 4 for _ in range(200)]))

    assert share(often=1.0) == 1.0
    assert 0.2 < share(often=0.3) < 0.7
