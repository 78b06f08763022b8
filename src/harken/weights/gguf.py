"""Quantised GGUF text LLMs, made into an ordinary transformers folder once. transformers can read a GGUF file
itself but dequantises it on every load (about 17 s for 135 M parameters) and then refuses to save what it
loaded; this module writes the dequantised tensors as fp32 safetensors with the config, tokenizer and chat
template beside them. Where the GGUF comes from and where the folder goes is `store`'s business.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harken.errors import WeightsError

_NOT_OF_THE_MODEL = ("quantization_config", "_name_or_path", "_model_name_or_path")


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the model in `gguf` into the existing `folder` as a transformers checkpoint in fp32.

    fp32, because a Q4_1 weight (fp16 scale times four bits plus fp16 offset) has no exact form in bf16 or
    fp16: the logits of the converted model equal those of the GGUF as transformers reads it, bit for bit.
    Raises WeightsError if the file is not a GGUF that transformers can read.
    """
    from safetensors.torch import save_file

    try:
        model, tokenizer = _load(gguf)
    except (OSError, ValueError, KeyError, IndexError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(f"{gguf.name} cannot be read as a GGUF model: {reason}") from error
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:  # one storage under two names is not allowed in safetensors
        tensors.pop("lm_head.weight", None)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {key: value for key, value in model.config.to_dict().items() if key not in _NOT_OF_THE_MODEL}
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _load(gguf: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    where: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    bars_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # the caller shows progress in its own way
    try:
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **where)
        return model, AutoTokenizer.from_pretrained(gguf.parent, **where)
    finally:
        if bars_shown:
            logging.enable_progress_bar()
