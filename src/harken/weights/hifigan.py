"""HiFi-GAN's generator as its authors store it, made into one safetensors file once: the weight norm of
training is folded in. Where the file comes from and where the folder goes is `store`'s business.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from harken.errors import WeightsError

GENERATOR = "generator.safetensors"


def convert_hifigan(checkpoint: Path, folder: Path) -> None:
    """Write the generator in `checkpoint` into the existing `folder`, in fp32.

    Raises WeightsError if the file is not such a checkpoint; nothing in it is run.
    """
    import torch
    from safetensors.torch import save_file

    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["generator"]
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, EOFError) as error:
        raise WeightsError(f"{checkpoint.name} holds no HiFi-GAN generator") from error
    save_file(folded(state), folder / GENERATOR)


def folded(state: dict[str, Any]) -> dict[str, Any]:
    """Each `weight_v` brought to the length that its `weight_g` says, under the name `weight`."""
    plain = {}
    for name, tensor in state.items():
        if name.endswith(".weight_v"):
            stem = name.removesuffix("_v")
            length = tensor.flatten(1).norm(dim=1).view(-1, *[1] * (tensor.dim() - 1))
            plain[stem] = (tensor * (state[f"{stem}_g"] / length)).contiguous()
        elif not name.endswith(".weight_g"):
            plain[name] = tensor.contiguous()
    return plain
