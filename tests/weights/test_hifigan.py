"""Folding the weight norm of HiFi-GAN's checkpoint, and what is no such checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from harken.errors import WeightsError
from harken.weights.hifigan import GENERATOR, convert_hifigan


def test_folded_convolutions_do_what_they_did(tmp_path: Path) -> None:
    for plain in (nn.Conv1d(4, 6, 3), nn.ConvTranspose1d(4, 6, 4, 2)):
        normed = weight_norm(plain)
        normed.parametrizations.weight.original0.data *= 1.7
        state = {
            "conv.weight_g": normed.parametrizations.weight.original0.data,
            "conv.weight_v": normed.parametrizations.weight.original1.data,
            "conv.bias": normed.bias.data,
        }
        torch.save({"generator": state}, tmp_path / "g.pth.tar")
        convert_hifigan(tmp_path / "g.pth.tar", tmp_path)
        written = load_file(tmp_path / GENERATOR)
        assert set(written) == {"conv.weight", "conv.bias"}
        assert torch.allclose(written["conv.weight"], normed.weight, atol=1e-6)


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x04}."])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "g.pth.tar").write_bytes(content)
    with pytest.raises(WeightsError, match=r"g\.pth\.tar holds no HiFi-GAN generator"):
        convert_hifigan(tmp_path / "g.pth.tar", tmp_path)


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    torch.save({"generator": Evil()}, tmp_path / "g.pth.tar")
    with pytest.raises(WeightsError):
        convert_hifigan(tmp_path / "g.pth.tar", tmp_path)
