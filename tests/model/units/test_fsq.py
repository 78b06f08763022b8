"""Finite scalar quantisation: codes and units tell the same, whatever the levels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.model.units.fsq import FiniteScalarQuantiser

ODD = st.lists(st.sampled_from([3, 5, 7]), min_size=1, max_size=5).map(tuple)


@given(ODD)
def test_every_unit_has_a_code_of_its_own(levels: tuple[int, ...]) -> None:
    quantiser = FiniteScalarQuantiser(levels)
    units = torch.arange(quantiser.vocabulary)
    codes = quantiser.codes(units)
    assert torch.equal(quantiser.units(codes), units)
    assert codes.abs().max() == 1.0 and len(codes.unique(dim=0)) == quantiser.vocabulary


@given(ODD, st.integers(0, 2**31))
def test_what_is_rounded_is_a_code(levels: tuple[int, ...], seed: int) -> None:
    quantiser = FiniteScalarQuantiser(levels)
    vectors = 3 * torch.randn(20, len(levels), generator=torch.Generator().manual_seed(seed))
    codes = quantiser(vectors)
    assert torch.allclose(quantiser.codes(quantiser.units(codes)), codes, atol=1e-6)
    half_a_level = 1 / (torch.tensor(levels) - 1)
    assert ((codes - vectors.tanh()).abs() <= half_a_level + 1e-6).all()


def test_the_gradient_passes_the_rounding() -> None:
    vectors = torch.zeros(4, 2, requires_grad=True)
    FiniteScalarQuantiser((3, 5))(vectors).sum().backward()
    assert torch.equal(vectors.grad, torch.ones(4, 2))  # of tanh at 0


@pytest.mark.parametrize("levels", [(), (4,), (5, 1)])
def test_levels_without_a_middle_are_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="odd and at least 3"):
        FiniteScalarQuantiser(levels)
