"""The low-rank update of the core: a listener's manner and form of thought, learned from text alone.

It comes before self-distillation, because there the core's own answers are the targets for speech: they
should be worth imitating. Every linear layer gets an update of the recipe's rank (LoRA, arXiv 2106.09685, by
peft); what ships is the difference alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from harken.dialogue.render import THINK_CLOSE, THINK_OPEN, UserTurn, render
from harken.errors import MissingExtra
from harken.model.core import Core
from harken.training.loop import Losses, Schedule, train
from harken.training.samples import Sample, instruction

IGNORED = -100
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class CoreUpdateConfig:
    """How long, and how much in a batch."""

    schedule: Schedule = Schedule(steps=300, learning_rate=5e-4, warmup=30, evaluate_every=100, save_every=50)
    batch_tokens: int = 1600
    most_tokens: int = 200
    """Longer samples are left out."""


def add_low_rank(core: Core, rank: int) -> None:
    """Freeze the core and put a trainable update of this rank beside each linear layer, in place."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtra("training the core's update", "train") from None
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(MODULES)), core)
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


@dataclass
class Example:
    """A sample as the core reads it: positions whose `labels` are not IGNORED are learned."""

    inputs: Tensor  # (T, D) embeddings, or (T,) token ids
    labels: Tensor  # (T,) what each position should predict next


def target_ids(sample: Sample, tokenizer: Any) -> list[int]:
    """What the core should write after the prompt, with the end of its turn or of its thought."""
    if sample.task == "trace":
        return list(tokenizer.encode(f"{THINK_OPEN}{sample.target}{THINK_CLOSE}", add_special_tokens=False))
    return [*tokenizer.encode(sample.target, add_special_tokens=False), tokenizer.eos_token_id]


def opened_ids(sample: Sample, tokenizer: Any) -> int:
    """How many of the target's tokens the loop itself writes: the opening of the think block."""
    return len(tokenizer.encode(THINK_OPEN, add_special_tokens=False)) if sample.task == "trace" else 0


def text_example(sample: Sample, tokenizer: Any, system: str) -> Example:
    """A sample with its last turn as text, as token ids."""
    turns = [*sample.history, UserTurn(sample.said, instruction(sample.task))]
    prompt = [i for segment in render(turns, tokenizer, system) for i in segment]
    target = target_ids(sample, tokenizer)
    labels = [IGNORED] * (len(prompt) - 1) + target + [IGNORED]
    given = opened_ids(sample, tokenizer)
    labels[len(prompt) - 1 : len(prompt) - 1 + given] = [IGNORED] * given
    return Example(torch.tensor(prompt + target), torch.tensor(labels))


def collate(examples: list[Example], core: Core) -> tuple[Tensor, Tensor, Tensor]:
    """Examples -> inputs (B, T, D), valid (B, T) bool, labels (B, T)."""
    rows = [e.inputs if e.inputs.dim() == 2 else core.embed(e.inputs) for e in examples]
    longest = max(map(len, rows))
    inputs = torch.stack([F.pad(row, (0, 0, 0, longest - len(row))) for row in rows])
    labels = torch.stack([F.pad(e.labels, (0, longest - len(e.labels)), value=IGNORED) for e in examples])
    valid = torch.arange(longest)[None] < torch.tensor([len(row) for row in rows])[:, None]
    return inputs, valid, labels


def cross_entropy(core: Core, examples: list[Example]) -> tuple[Tensor, Tensor]:
    """Mean loss of the learned positions, and the hidden states (M, D) at them."""
    inputs, valid, labels = collate(examples, core)
    hidden = core(inputs, valid=valid).hidden[labels != IGNORED]  # (M, D)
    return F.cross_entropy(core.logits(hidden).float(), labels[labels != IGNORED]), hidden


class Bins:
    """Items of like length together, up to a budget of tokens; seed and step alone choose the batch."""

    def __init__(self, lengths: list[int], budget: int, seed: int) -> None:
        self.seed = seed
        self.bins: list[list[int]] = [[]]
        for i in np.argsort(np.array(lengths), kind="stable"):
            if (len(self.bins[-1]) + 1) * lengths[i] > budget and self.bins[-1]:
                self.bins.append([])
            self.bins[-1].append(int(i))

    def at(self, step: int) -> list[int]:
        epoch, place = divmod(step, len(self.bins))
        return self.bins[np.random.default_rng([self.seed, epoch]).permutation(len(self.bins))[place]]


def train_core_update(
    core: Core, tokenizer: Any, samples: list[Sample], system: str, config: CoreUpdateConfig, out: Path
) -> None:
    """Train the update (see `add_low_rank`) on the train samples, in place."""
    made = {
        split: [
            e
            for e in (text_example(s, tokenizer, system) for s in samples if s.split == split)
            if len(e.labels) <= config.most_tokens
        ]
        for split in ("train", "dev")
    }
    bins = Bins([len(e.labels) for e in made["train"]], config.batch_tokens, config.schedule.seed)

    def losses_at(step: int) -> Losses:
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = cross_entropy(core, [made["train"][i] for i in bins.at(step)])
        return {"loss": loss}

    def evaluate() -> dict[str, float]:
        with torch.autocast("cpu", torch.bfloat16):
            dev = made["dev"][:: max(1, len(made["dev"]) // 160)]
            losses = [float(cross_entropy(core, dev[i : i + 16])[0]) for i in range(0, len(dev), 16)]
        return {"loss": sum(losses) / len(losses)}

    train(core, losses_at, config.schedule, out, f"core update seed={config.schedule.seed}", evaluate)
