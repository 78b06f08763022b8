"""Tensors on disk: as float16, or matrices as eight bits a number.

Eight bits are, for each row of a matrix, whole numbers from -127 to 127 and a scale: half of float16, for a
rounding of at most a 254th of a row's largest number. What is not a matrix stays float16.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_BYTES, _SCALE = ".bytes", ".scale"
_FEWEST = 64
"""Numbers in a row from which a scale pays."""


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as float16 safetensors; renamed when whole."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    save_file({name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}, unfinished)
    unfinished.replace(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file."""
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = load_file(path)
    return tensors


def save_bytes(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors; renamed when whole. Args: about: kept beside them."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    packed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.dim() == 2 and tensor.shape[1] >= _FEWEST:
            packed[name + _BYTES], packed[name + _SCALE] = quantised(tensor)
        else:
            packed[name] = tensor.detach().half().contiguous()
    unfinished = path.with_name(path.name + ".part")
    save_file(packed, unfinished, dict(about))
    unfinished.replace(path)


def read_bytes(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors as float32, and what was kept beside them."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = dict(file.metadata() or {})
    tensors = {}
    for name, tensor in packed.items():
        if name.endswith(_BYTES):
            stem = name.removesuffix(_BYTES)
            tensors[stem] = tensor.float() * packed[stem + _SCALE].float()
        elif name.removesuffix(_SCALE) + _BYTES not in packed:
            tensors[name] = tensor.float()
    return tensors, about


def quantised(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(R, C) -> int8 (R, C) and float16 scales (R, 1)."""
    import torch

    matrix = matrix.detach().float()
    scale = (matrix.abs().amax(1, keepdim=True) / 127).clamp(min=1e-7).half()
    return (matrix / scale.float()).round().clamp(-127, 127).to(torch.int8), scale
