"""How long a stage trains, how fast each of its parts learns, and which parts are frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

Rates = tuple[tuple[str, float], ...]
"""(pattern of parameter names, learning rate); the first that matches counts, what none matches is frozen."""
CORE_UPDATE = "core.*lora_*"
"""The core's low-rank update (`harken.training.low_rank`)."""


@dataclass(frozen=True)
class Schedule:
    """How long, how fast, how often."""

    steps: int
    rates: Rates
    """At their peak."""
    warmup: int = 100
    final_rate: float = 0.05
    """Share of the learning rates that is left at the last step (cosine)."""
    weight_decay: float = 0.01
    accumulate: int = 1
    """Batches a step, on each of the processes that train together."""
    clip: float = 1.0
    evaluate_every: int = 500
    save_every: int = 250
    seed: int = 0

    def share(self, step: int) -> float:
        """Of the learning rates at a step: linear warm-up, then a cosine down to `final_rate`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * done))


def rate_of(name: str, rates: Rates) -> float | None:
    """The learning rate of a parameter; None where it is frozen."""
    return next((rate for pattern, rate in rates if fnmatchcase(name, pattern)), None)


def trainable(module: nn.Module, rates: Rates) -> dict[str, float]:
    """Freeze what no pattern matches, let the rest be trained, in place; gives the rates of the latter."""
    chosen = {}
    for name, parameter in module.named_parameters():
        rate = rate_of(name, rates)
        parameter.requires_grad_(rate is not None)
        if rate is not None:
            chosen[name] = rate
    return chosen


def groups(named: Mapping[str, nn.Parameter], rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """The parameters to train as an optimizer takes them: a group for each learning rate, its `peak`."""
    found: dict[float, list[nn.Parameter]] = {}
    for name, rate in rates.items():
        found.setdefault(rate, []).append(named[name])
    return [{"params": found[rate], "lr": rate, "peak": rate} for rate in sorted(found)]


def adamw(
    named: Mapping[str, nn.Parameter], rates: Mapping[str, float], schedule: Schedule, device: torch.device
) -> torch.optim.AdamW:
    """The optimizer of every stage; on a GPU one kernel does a step."""
    fused = device.type == "cuda"
    return torch.optim.AdamW(
        groups(named, rates), betas=(0.9, 0.98), weight_decay=schedule.weight_decay, fused=fused
    )
