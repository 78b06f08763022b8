"""The training loop: steps, schedule, clipping, checkpoints, measurements, progress. Stages bring the rest.

A step is a function of its number: the batch and every random choice are derived from `(seed, step)`, so a
run that is killed and started again goes on exactly where its last checkpoint stands, with nothing else to
restore but weights and optimizer. Objectives live in the stages; what is trained is what the stage says has
`requires_grad`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harken.errors import RecipeError

CHECKPOINT, METRICS = "checkpoint.pt", "metrics.jsonl"


@dataclass(frozen=True)
class Schedule:
    """How long, how fast, how often."""

    steps: int
    learning_rate: float
    warmup: int = 100
    final_rate: float = 0.05
    """Share of the learning rate that is left at the last step (cosine)."""
    weight_decay: float = 0.01
    faster: tuple[tuple[str, float], ...] = ()
    """(beginning of a parameter's name, factor on its learning rate), for parts that start from nothing."""
    clip: float = 1.0
    evaluate_every: int = 500
    save_every: int = 250
    seed: int = 0

    def rate(self, step: int) -> float:
        """Learning rate at a step: linear warm-up, then a cosine down to `final_rate`."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        cosine = 0.5 * (1 + float(torch.cos(torch.tensor(done * torch.pi))))
        return self.learning_rate * (self.final_rate + (1 - self.final_rate) * cosine)

    def factor(self, name: str) -> float:
        """What the learning rate of a parameter is multiplied by."""
        return next((factor for beginning, factor in self.faster if name.startswith(beginning)), 1.0)


Losses = Mapping[str, Tensor]
"""Named losses of a batch; `loss` is the one that is minimised."""


def fingerprint(stage: str, *what: object) -> str:
    """Names a run by all that shapes it (settings, data), so that a checkpoint of another is refused."""
    return f"{stage} {hashlib.sha256(repr(what).encode()).hexdigest()[:12]}"


def train(
    module: nn.Module,
    losses_at: Callable[[int], Losses],
    schedule: Schedule,
    out: Path,
    name: str,
    evaluate: Callable[[], dict[str, float]] | None = None,
) -> None:
    """Train what `requires_grad` in `module`, from the checkpoint in `out` if there is one.

    Args:
        losses_at: step -> losses of that step's batch; the same step must give the same batch.
        name: the run's (see `fingerprint`); a checkpoint of another run is refused.
        evaluate: measurements on dev data, called with the module in evaluation mode.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    out.mkdir(parents=True, exist_ok=True)
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    factors = sorted({schedule.factor(name) for name in trained})
    groups = [[p for name, p in trained.items() if schedule.factor(name) == factor] for factor in factors]
    optimizer = torch.optim.AdamW(
        [{"params": group} for group in groups],
        lr=schedule.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=schedule.weight_decay,
    )
    step = _resume(out / CHECKPOINT, trained, optimizer, name)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress, (out / METRICS).open("a") as metrics:
        bar = progress.add_task("training", total=schedule.steps, completed=step)
        while step < schedule.steps:
            begun = time.perf_counter()
            row = {"step": step} | _step(module, trained, optimizer, losses_at, schedule, step)
            step += 1
            row["seconds"] = round(time.perf_counter() - begun, 3)
            last = step == schedule.steps
            if evaluate and (last or step % schedule.evaluate_every == 0):
                module.eval()
                with torch.no_grad():
                    row |= {f"dev_{name}": value for name, value in evaluate().items()}
                progress.console.print(row)
            metrics.write(json.dumps(row) + "\n")
            metrics.flush()
            if last or step % schedule.save_every == 0:
                _save(out / CHECKPOINT, trained, optimizer, step, name)
            progress.update(bar, completed=step, description=f"loss {row['loss']:.3f}")


def _step(
    module: nn.Module,
    trained: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    losses_at: Callable[[int], Losses],
    schedule: Schedule,
    step: int,
) -> dict[str, float]:
    module.train()
    torch.manual_seed(schedule.seed * 1_000_003 + step)
    factors = sorted({schedule.factor(name) for name in trained})  # a group each
    for group, factor in zip(optimizer.param_groups, factors, strict=True):
        group["lr"] = schedule.rate(step) * factor
    with attention(next(iter(trained.values()))):
        losses = losses_at(step)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
    norm = nn.utils.clip_grad_norm_(trained.values(), schedule.clip)
    if torch.isfinite(norm):
        optimizer.step()
    return {name: round(float(value.detach()), 5) for name, value in losses.items()} | {
        "norm": round(float(norm), 4)
    }


def attention(of: Tensor) -> AbstractContextManager[None]:
    """On a CPU attention as plain products: the fused kernel's backward pass is several times as slow."""
    if of.device.type != "cpu":
        return nullcontext()
    context: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return context


def _resume(path: Path, trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, name: str) -> int:
    if not path.exists():
        return 0
    saved: dict[str, Any] = torch.load(path, weights_only=True)
    if saved["fingerprint"] != name:
        raise RecipeError(
            f"{path} belongs to another run ({saved['fingerprint']}, this is {name}): other settings or data",
            "choose another --out, or delete the folder",
        )
    for key, parameter in trained.items():
        parameter.data.copy_(saved["weights"][key])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])


def _save(
    path: Path,
    trained: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    step: int,
    name: str,
) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(
        {
            "fingerprint": name,
            "step": step,
            "weights": {key: p.detach() for key, p in trained.items()},
            "optimizer": optimizer.state_dict(),
        },
        temporary,
    )
    os.replace(temporary, path)
