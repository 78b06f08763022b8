"""The core's low-rank update: every linear layer gets a difference of the recipe's rank, and nothing else of
the core is trained (LoRA, arXiv 2106.09685, by peft). What ships is the difference alone.
"""

from __future__ import annotations

from torch import Tensor

from harken.errors import MissingExtra
from harken.model.core import Core

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def add_low_rank(core: Core, rank: int) -> None:
    """Freeze the core and put a trainable update of this rank beside each linear layer, in place; of rank 0,
    none.
    """
    core.requires_grad_(False)
    if not rank:
        return
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtra("training the core's update", "train") from None
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(MODULES)), core)
    for module in core.modules():
        if hasattr(module, "lora_A"):
            # autocast brings the small matrices to the inputs' type, not the inputs to theirs
            module.cast_input_dtype_enabled = False  # type: ignore[assignment]
    for name, parameter in core.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_" in name:
            parameter.data = parameter.data.float()


def low_rank_update(core: Core) -> dict[str, Tensor]:
    """What `fold_low_rank` reads: `<module>.down` (R, in) and, with the scale, `<module>.up` (out, R)."""
    update = {}
    for name, module in core.named_modules():
        if hasattr(module, "lora_A"):
            scale = module.scaling["default"]
            update[f"{name}.down"] = module.lora_A["default"].weight.detach().half().contiguous()
            update[f"{name}.up"] = (module.lora_B["default"].weight.detach() * scale).half().contiguous()
    return update


def load_low_rank(core: Core, update: dict[str, Tensor]) -> None:
    """Start the update that `add_low_rank` made from one that `low_rank_update` gave, in place."""
    for name, module in core.named_modules():
        if hasattr(module, "lora_A"):
            module.lora_A["default"].weight.data.copy_(update[f"{name}.down"])
            module.lora_B["default"].weight.data.copy_(update[f"{name}.up"] / module.scaling["default"])
