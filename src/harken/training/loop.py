"""The training loop: batches, gradients, steps. What is learned is the stage's, the rest is callbacks'.

A batch is a function of its number: which rows, and every random choice, are derived from the seed and the
number, and the numbers of all steps and processes are consecutive. So a run that is killed and started again
goes on to the bit where its last checkpoint stands, with nothing to restore but weights and optimizer; and
two processes learn in a step what one learns from two batches.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harken.errors import Stopped, TrainingError
from harken.training import saving
from harken.training.recompute import recompute_layers
from harken.training.saving import Identity
from harken.training.schedule import Schedule, adamw, trainable
from harken.training.world import ALONE, World, gather, reshard, shard, touched

T = TypeVar("T")
Losses = Mapping[str, Tensor]
"""Named losses of a batch, and counts of what is in it (`COUNTS`); `loss` is the one that is minimised."""
COUNTS = ("clips", "tokens", "padded", "audio_s")
"""Summed over the batches of a step; tokens that are not padding, and tokens with it."""
Row = dict[str, Any]
"""The scalars of a step."""


@dataclass
class Objective:
    """What is trained, and on what."""

    module: nn.Module
    losses_at: Callable[[int], Losses]
    """Number of a batch -> its losses; the same number must give the same batch."""
    rows_at: Callable[[int], Sequence[str]]
    """Number of a batch -> the names of what is in it, for whoever looks for a bad row."""


@dataclass
class Training:
    """A run under way, as its callbacks see it."""

    module: nn.Module
    schedule: Schedule
    out: Path
    whose: Identity
    world: World
    trained: dict[str, nn.Parameter]
    optimizer: torch.optim.AdamW
    spread: nn.Module
    """The module as it is spread over the world."""
    step: int = 0
    """How many steps have been done."""

    @property
    def last(self) -> bool:
        return self.step == self.schedule.steps

    def measured(self, measure: Callable[[], T]) -> T:
        """What a measurement gives in evaluation mode, with every parameter in one piece."""
        self.module.eval()
        with torch.no_grad(), torch.device(self.world.device):
            found: T = self.spread(measure)
        reshard(self.spread)
        return found

    def save(self) -> None:
        """Keep the run as it is. Raises TrainingError where that cannot be done."""
        saving.save(self.out, self.whose, self.trained, self.optimizer, self.step, self.world)


class Callback:
    """Something that is done beside training; each method does nothing unless it is overridden."""

    def begin(self, run: Training) -> None:
        """Before the first step of this process."""

    def after(self, run: Training, row: Row) -> None:
        """After each step; it may add to the step's scalars, which the callbacks after it see."""

    def end(self, run: Training) -> None:
        """After the last step, or when training broke off."""


def train(
    objective: Objective,
    schedule: Schedule,
    out: Path,
    whose: Identity,
    callbacks: Sequence[Callback] = (),
    world: World = ALONE,
) -> None:
    """Train what the schedule has rates for, in place, from the checkpoint in `out` if there is one.

    Raises:
        RecipeError: the checkpoint is of another run than `whose`.
        TrainingError: a loss is not finite; a checkpoint cannot be written; a callback refuses.
        Stopped: the process was told to end; the run is saved.
    """
    out.mkdir(parents=True, exist_ok=True)
    rates = trainable(objective.module, schedule.rates)
    objective.module.to(world.device)
    if world.recompute:
        recompute_layers(objective.module)
    step = _Step(objective.module)
    shard(step, world)
    named = {name.removeprefix("module."): p for name, p in step.named_parameters() if p.requires_grad}
    optimizer = adamw(named, rates, schedule, world.device)
    run = Training(objective.module, schedule, out, whose, world, named, optimizer, step)
    run.step = saving.resume(out, whose, named, optimizer)
    begun: list[Callback] = []
    try:
        for callback in callbacks:
            callback.begin(run)
            begun.append(callback)
        with stopping() as asked:
            while not run.last:
                row = _step(step, run, objective)
                for callback in callbacks:
                    callback.after(run, row)
                if world.any(asked()) and not run.last:
                    run.save()
                    raise Stopped(
                        f"stopped after step {run.step} of {schedule.steps}; saved in {out}",
                        "the same command goes on",
                    )
    finally:
        for callback in reversed(begun):
            callback.end(run)
    gather(step)


class _Step(nn.Module):
    """Whatever runs the module, as a module: what FSDP2 gathers and spreads parameters around."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, work: Callable[[], T]) -> T:
        return work()


def _step(step: _Step, run: Training, objective: Objective) -> Row:
    """One step of the optimizer; gives its scalars."""
    began, schedule, world = time.perf_counter(), run.schedule, run.world
    run.module.train()
    run.optimizer.zero_grad(set_to_none=True)
    share, numbers = schedule.share(run.step), []
    total: dict[str, Tensor] = {}
    for batch in range(schedule.accumulate):
        numbers.append(world.number(run.step, schedule.accumulate, batch))
        torch.manual_seed(schedule.seed * 1_000_003 + numbers[-1])
        with attention(world.device), torch.device(world.device):
            losses = step(partial(_losses, objective, numbers[-1], world))
            (losses["loss"] / schedule.accumulate).backward()
        for name, value in losses.items():
            here = value.detach().float().to(world.device)  # not looked at yet: a GPU goes on meanwhile
            total[name] = total.get(name, torch.zeros_like(here)) + here
    norm = nn.utils.clip_grad_norm_(run.trained.values(), schedule.clip)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(total["loss"]))
    if world.any(not finite):
        names = ", ".join(name for number in numbers for name in objective.rows_at(number))
        raise TrainingError(
            f"step {run.step}: the loss or its gradient is not a number; {_last_saved(run)}",
            f"look at the rows of its batches, {names}; or lower the learning rates",
        )
    for group in run.optimizer.param_groups:
        group["lr"] = group["peak"] * share
    run.optimizer.step()
    run.step += 1
    return _scalars(run, total, float(norm), time.perf_counter() - began)


def _losses(objective: Objective, number: int, world: World) -> dict[str, Tensor]:
    nothing = touched(objective.module, world)
    losses = dict(objective.losses_at(number))
    return losses | {"loss": losses["loss"] + nothing} if nothing is not None else losses


def _scalars(run: Training, total: dict[str, Tensor], norm: float, seconds: float) -> Row:
    """Means of losses over the batches and processes of a step, sums of counts, how much went by a second."""
    row: Row = {"step": run.step - 1}
    batches = run.schedule.accumulate
    for name, value in run.world.means({n: v.to(run.world.device) for n, v in total.items()}).items():
        row[name] = round(value * run.world.size if name in COUNTS else value / batches, 5)
    row |= {f"{name}_per_s": round(row[name] / seconds, 1) for name in ("tokens", "audio_s") if name in row}
    return row | {"norm": round(norm, 4), "seconds": round(seconds, 3)}


def _last_saved(run: Training) -> str:
    newest = saving.checkpoint(run.out)
    return f"{newest.name} stands" if newest else "nothing was saved yet"


def attention(device: torch.device) -> AbstractContextManager[None]:
    """On a CPU attention as plain products: the fused kernel's backward pass is several times as slow."""
    if device.type != "cpu":
        return nullcontext()
    context: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return context


def autocast(module: nn.Module, precision: torch.dtype) -> AbstractContextManager[None]:
    """Products in another precision than the parameters', wherever they are."""
    device = next(module.parameters()).device.type
    context: AbstractContextManager[None] = torch.autocast(
        device, precision, enabled=precision != torch.float32
    )
    return context


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Gives whether the process was told to end (SIGTERM) since; meanwhile the signal ends nothing."""
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told.is_set  # signals are the main thread's
        return
    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        yield told.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
