"""Single numbers that are learned: vectors of one, since FSDP2 spreads no tensor without dimensions.

In products they are taken as `scale[0]`, which has none and so leaves the other factor's type as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def scalar(value: float) -> nn.Parameter:
    """A number to learn, (1,)."""
    return nn.Parameter(torch.tensor([value]))


def reshape_saved(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Before a module is loaded: numbers that were saved without a dimension get the one they have here."""
    for name, parameter in module.named_parameters(recurse=False):
        saved = state.get(prefix + name)
        if saved is not None and saved.dim() == 0:
            state[prefix + name] = saved.reshape(parameter.shape)
