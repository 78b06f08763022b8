"""Matrices as bytes: how much is lost, and what is not."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.tensors import quantised, read_bytes, save_bytes


@given(st.integers(0, 2**31), st.floats(1e-3, 1e3))
def test_a_number_is_off_by_half_a_step_at_most(seed: int, size: float) -> None:
    matrix = size * torch.randn(5, 70, generator=torch.Generator().manual_seed(seed))
    bytes_, scale = quantised(matrix)
    off = (bytes_.float() * scale.float() - matrix).abs()
    largest = matrix.abs().amax(1, keepdim=True)
    assert (off <= largest / 127 * 0.52).all()  # the scale is rounded too


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    tensors = {"wide": torch.randn(4, 128), "narrow": torch.randn(4, 3), "one": torch.tensor(1.5)}
    tensors["zeros"] = torch.zeros(2, 64)
    save_bytes(tmp_path / "t.safetensors", tensors, {"of": "a codec"})
    read, about = read_bytes(tmp_path / "t.safetensors")
    assert about == {"of": "a codec"} and read.keys() == tensors.keys()
    assert torch.equal(read["one"], tensors["one"]) and torch.equal(read["zeros"], tensors["zeros"])
    assert torch.allclose(read["narrow"], tensors["narrow"], atol=2e-3)
    assert torch.allclose(read["wide"], tensors["wide"], atol=0.03)
    save_bytes(tmp_path / "again.safetensors", read, about)
    again, _ = read_bytes(tmp_path / "again.safetensors")
    assert all(torch.equal(again[name], read[name]) for name in read)  # reading and writing change nothing


def test_a_tensor_may_have_any_name(tmp_path: Path) -> None:
    tensors = {"scale": torch.tensor(2.0), "a.scale": torch.ones(3), "matrix": torch.ones(2, 64)}
    save_bytes(tmp_path / "t", tensors, {})
    read, _ = read_bytes(tmp_path / "t")
    assert read.keys() == tensors.keys()
    assert all(torch.allclose(read[name], tensor, atol=1e-2) for name, tensor in tensors.items())
