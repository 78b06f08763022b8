"""The language model that Harken reasons with, split at layer n into Think (below) and Write (above).

Any transformers causal LM of the Llama, Qwen2 or Qwen3 family fits. Splitting changes nothing: running
Think and then Write gives the whole model's logits (tests/model/test_core.py, on real weights). Low-rank
updates that we train are folded into the weights on load (`fold_low_rank`).

Design: GOAT-SLM (arXiv 2507.18119), where Think's layers are shared by the text and the speech branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harken.errors import RecipeError
from harken.model.layer_stack import StackState
from harken.model.pretrained import check_sizes, read_config
from harken.model.think import Think
from harken.model.write import Write
from harken.recipes import CoreConfig

FAMILIES = ("llama", "qwen2", "qwen3")
SIZES = {
    "family": "model_type",
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_width": "head_dim",
    "feed_forward_width": "intermediate_size",
    "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
}
"""What a recipe's core says of its language model -> what transformers calls that."""


@dataclass
class CoreState:
    """What the core has read so far, for a batch of rows of unequal length."""

    think: StackState
    write: StackState

    @classmethod
    def empty(cls) -> CoreState:
        return cls(StackState(), StackState())

    @property
    def length(self) -> int:
        return self.think.length

    def fork(self) -> CoreState:
        """A second branch from the same past."""
        return CoreState(self.think.fork(), self.write.fork())

    def rollback(self, length: int) -> CoreState:
        return CoreState(self.think.rollback(length), self.write.rollback(length))

    def rows(self, index: Tensor) -> CoreState:
        return CoreState(self.think.rows(index), self.write.rows(index))

    @staticmethod
    def join(states: list[CoreState]) -> CoreState:
        return CoreState(
            StackState.join([s.think for s in states]), StackState.join([s.write for s in states])
        )


class Core(nn.Module):
    """Embeddings, Think and Write of one causal LM."""

    def __init__(self, causal_lm: Any, split: int) -> None:
        """Split a transformers *ForCausalLM; the bottom `split` layers are Think's (0 < split < all)."""
        super().__init__()
        config, model = causal_lm.config, causal_lm.model
        if config.model_type not in FAMILIES:
            raise RecipeError(
                f"the core is a {config.model_type!r} model", f"use a model of one of: {', '.join(FAMILIES)}"
            )
        if not 0 < split < config.num_hidden_layers:
            raise RecipeError(
                f"split {split} leaves Think or Write empty", f"choose 1 to {config.num_hidden_layers - 1}"
            )
        if getattr(config, "use_sliding_window", False):
            raise RecipeError("the core uses sliding-window attention", "choose a core with full attention")
        self.config = config
        self.embed = model.embed_tokens
        self.think = Think(model.layers[:split], model.rotary_emb)
        self.write = Write(model.layers[split:], model.rotary_emb, model.norm, causal_lm.lm_head)

    @property
    def width(self) -> int:
        """D, the width of the shared hidden space."""
        return int(self.config.hidden_size)

    def embedding_rms(self) -> float:
        """Root mean square of an average token embedding: the scale that Listen has to speak at."""
        if self.embed.weight.is_meta:
            return 1.0  # without weights there is no scale
        return float(self.embed.weight.detach().float().pow(2).mean().sqrt())

    def forward(
        self,
        inputs: Tensor,
        state: CoreState | None = None,
        valid: Tensor | None = None,
        key_bias: Tensor | None = None,
    ) -> CoreOutput:
        """Read embeddings (B, T, D) after `state`; valid (B, T) bool marks the real ones.

        Args: key_bias: (S,) what is added to the attention logits of each position, those read now included.
        """
        state = state or CoreState.empty()
        shared, think = self.think(inputs, state.think, valid, key_bias)
        hidden, write = self.write(shared, state.write, valid, key_bias)
        return CoreOutput(shared, hidden, CoreState(think, write))

    @property
    def reads_each(self) -> bool:
        """Whether `each` can be used."""
        return bool(self.think.quick and self.write.quick)

    def each(self, inputs: Tensor, states: Sequence[CoreState]) -> tuple[Tensor, Tensor, list[CoreState]]:
        """Read an embedding of several rows, each after a state of its own, in one pass.

        Args: inputs: (R, D). states: of one row each, without gaps.

        Returns: `shared` (R, D), `hidden` (R, D), and each row's state: what reading it by itself gives.
        """
        shared, think = self.think.each(inputs, [state.think for state in states])
        hidden, write = self.write.each(shared, [state.write for state in states])
        return shared, hidden, list(map(CoreState, think, write))

    def logits(self, hidden: Tensor) -> Tensor:
        """Write's hidden states (..., D) -> logits over the vocabulary (..., V)."""
        return self.write.logits(hidden)


@dataclass
class CoreOutput:
    """What one reading gives: `shared` feeds Speak, `hidden` feeds the text head."""

    shared: Tensor  # (B, T, D) after Think
    hidden: Tensor  # (B, T, D) after Write, normalised
    state: CoreState


def load_core(folder: Path, config: CoreConfig) -> Core:
    """Load a causal LM in transformers' layout and split it.

    Raises: RecipeError where there is none, or it is not of the recipe's sizes.
    """
    from transformers import AutoModelForCausalLM

    check_sizes("core", folder, _sizes(read_config(folder)), config)
    return Core(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), config.split)


def _sizes(config: Any) -> dict[str, object]:
    """A transformers config in a recipe's terms."""
    sizes = {ours: getattr(config, theirs, None) for ours, theirs in SIZES.items()}
    return sizes | {"head_width": sizes["head_width"] or config.hidden_size // config.num_attention_heads}


def new_causal_lm(config: CoreConfig, **others: Any) -> Any:
    """A transformers causal LM of the recipe's sizes with random weights.

    Args: others: what else its transformers config says.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {theirs: getattr(config, ours) for ours, theirs in SIZES.items()}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**sizes, **others))


def new_core(config: CoreConfig) -> Core:
    """A core of the recipe's sizes with random weights; under `torch.device("meta")` with none at all."""
    return Core(new_causal_lm(config), config.split)


def fold_low_rank(core: Core, update: dict[str, Tensor]) -> None:
    """Add trained low-rank differences to the core's weights, in place.

    Args:
        update: `<module>.down` (R, in) and `<module>.up` (out, R) for each changed linear module, where
            `<module>` is its name inside the core; the scale is already in `up`.

    Raises:
        RecipeError: a module is not in this core, or its shape differs.
    """
    for name in sorted({key.rsplit(".", 1)[0] for key in update}):
        try:
            linear = core.get_submodule(name)
        except AttributeError:
            raise RecipeError(f"the low-rank update changes {name!r}, which this core lacks") from None
        up, down, weight = update[f"{name}.up"], update[f"{name}.down"], linear.weight
        assert isinstance(weight, Tensor)
        shape = (up.shape[0], down.shape[1])
        if shape != weight.shape:
            raise RecipeError(f"the update of {name!r} is {shape}, the core has {tuple(weight.shape)}")
        with torch.no_grad():
            weight.addmm_(up.to(weight), down.to(weight))
