"""How fast the stages learn, beside the transformers `Trainer` on the same model, data and machine.

Tokens that are not padding, a second. Each system is first tried at a few sizes of batches, a step always
being as many samples; then each begins anew at its best, in turns, a turn lasting for as many tokens. At the
end each is asked for its loss on the same dev samples. What is trained is the core's low-rank update, on
written samples, or what a stage trains, by the stage's own losses. On a GPU one system trains after another:
its memory does not hold them all, and nothing disturbs it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from harken.bench.result import spread
from harken.bench.train_core import CORES, CoreLesson
from harken.bench.train_cost import matrix_rate
from harken.bench.train_process import Account, Pupil, Step, TooLarge
from harken.bench.train_systems import HARKEN, SYSTEMS, Work
from harken.errors import HarkenError
from harken.evaluation.progress import steps
from harken.evaluation.report import hardware
from harken.recipes import Recipe
from harken.training.stage_parts import precision
from harken.training.world import world

if TYPE_CHECKING:
    from harken.bench.train_stages import Place

TURNS = 5
ACCUMULATE = (1, 2, 4)
"""Batches a step that are tried."""


@dataclass(frozen=True)
class Pace:
    """How much is done on a device."""

    samples_a_step: int
    warmup: int
    """Steps before anything counts."""
    tried_steps: int
    """Of each size."""
    steps_a_turn: int
    together: bool
    """All systems take turns."""


PACES = {"cpu": Pace(16, 1, 2, 3, together=True), "cuda": Pace(256, 3, 4, 5, together=False)}
Start = Callable[[str, Work], Pupil]


@dataclass(frozen=True)
class Lap:
    """Some steps of one system."""

    tokens: int
    padded: int
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Taught:
    """What one system did."""

    accumulate: int
    laps: list[Lap]
    account: Account


def bench_train(
    recipe: Recipe,
    core: str = "recipe",
    runs: int | None = None,
    stage: str = "core",
    place: Place | None = None,
) -> dict[str, Any]:
    """Measure `runs` turns of each system. Args: core: of CORES. place: of a stage that needs data.

    Raises HarkenError.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pace = PACES[device.type]
    dtype = precision()
    open_lesson: Any
    if place is None:
        open_lesson, learned = partial(CoreLesson, partial(CORES[core], recipe)), "the core's low-rank update"
    else:
        from harken.bench.train_stages import STAGES

        open_lesson, learned = partial(STAGES[stage], place), f"the stage {stage}"
    work = Work(open_lesson, recipe, pace.samples_a_step, dtype)
    if place is not None:
        with redirect_stdout(sys.stderr), world() as here:
            open_lesson(work, here)  # what comes before the first step is done once
    name = str(dtype).removeprefix("torch.")
    return {
        "bench": "train", "recipe": recipe.name, "stage": stage, "core": core, "hardware": hardware(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "task": f"{learned}, {work.samples_a_step} samples a step, {name}",
        **measure(work, pace, runs or TURNS, matrix_rate(device, dtype), Pupil),
    }  # fmt: skip


def measure(work: Work, pace: Pace, turns: int, rate: float, start: Start) -> dict[str, Any]:
    """The figures of each system, and Harken's tokens a second over the others', turn by turn.

    Raises HarkenError where something does not fit into memory.
    """
    taught: dict[str, Taught] = {}
    a_step = 0
    groups: list[tuple[str, ...]] = [SYSTEMS] if pace.together else [(system,) for system in SYSTEMS]
    for group in groups:
        found, a_step = teach(group, work, pace, turns, start, a_step)
        taught |= found
    result: dict[str, Any] = {system: figures(taught[system], rate) for system in SYSTEMS}
    result["harken_over"] = {
        system: spread(
            [a.tokens_per_s / b.tokens_per_s for a, b in zip(taught[HARKEN].laps, each.laps, strict=True)]
        )
        for system, each in taught.items()
        if system != HARKEN
    }
    account = taught[HARKEN].account
    if account.predicted_bytes is not None:
        if pace.together:  # the host's allocator keeps what is freed
            account = tight(replace(work, accumulate=taught[HARKEN].accumulate), pace, start)
        result["memory_of_harken"] = memory(account)
    return result | {"matrix_rate_gflops": round(rate / 1e9, 1)}


def teach(
    group: Sequence[str], work: Work, pace: Pace, turns: int, start: Start, a_step: int
) -> tuple[dict[str, Taught], int]:
    """Systems that train beside one another; and the tokens that count as a step in the length of a turn.

    Args: a_step: these tokens, where others had turns before; else 0.

    Raises HarkenError where something does not fit into memory.
    """
    pupils: dict[str, Pupil] = {}
    best: dict[str, int] = {}
    try:
        for system in steps(group, "sizes of batches"):
            pupils[system] = start(system, work)
            best[system] = fastest(pupils[system], system, pace)
        laps, a_step = in_turns(pupils, pace, turns, a_step)
        accounts = {system: pupil.account() for system, pupil in pupils.items()}
    except TooLarge:
        raise HarkenError(f"{' or '.join(group)} outgrew memory", "choose a smaller core") from None
    finally:
        for pupil in pupils.values():
            pupil.close()
    return {system: Taught(best[system], laps[system], accounts[system]) for system in group}, a_step


def fastest(pupil: Pupil, system: str, pace: Pace) -> int:
    """Let a pupil begin with as many batches a step as it goes fastest with.

    Raises HarkenError where none fits into memory.
    """
    tried: dict[float, int] = {}
    for accumulate in ACCUMULATE:
        try:
            pupil.begin(accumulate)
            warm = warmed(pupil, pace)
            found, _ = lap(pupil, warm, warm.tokens + pace.tried_steps * warm.tokens // pace.warmup)
        except TooLarge:
            continue
        tried[found.tokens_per_s] = accumulate
    if not tried:
        raise HarkenError(f"no batch of {system} fits into memory", "choose a smaller core")
    best = tried[max(tried)]
    pupil.begin(best)
    return best


def warmed(pupil: Pupil, pace: Pace) -> Step:
    """Where a pupil stands after steps that do not count."""
    for _ in range(pace.warmup):
        step = pupil.step()
    return step


def in_turns(
    pupils: Mapping[str, Pupil], pace: Pace, turns: int, a_step: int
) -> tuple[dict[str, list[Lap]], int]:
    """System -> its turns; and the tokens that count as a step: after each turn all have read as many, but
    for a step.
    """
    now = {system: warmed(pupil, pace) for system, pupil in pupils.items()}
    a_step = a_step or max(step.tokens for step in now.values()) // pace.warmup
    laps: dict[str, list[Lap]] = {system: [] for system in pupils}
    for turn in steps(range(1, turns + 1), "turns"):
        order = list(pupils)
        for system in order[turn % len(order) :] + order[: turn % len(order)]:
            goal = a_step * (pace.warmup + turn * pace.steps_a_turn)
            found, now[system] = lap(pupils[system], now[system], goal)
            laps[system].append(found)
    return laps, a_step


def lap(pupil: Pupil, begin: Step, goal: int) -> tuple[Lap, Step]:
    """Steps until a pupil that stands at `begin` has read so many tokens in all, one at least."""
    end, seconds = begin, 0.0
    while end is begin or end.tokens < goal:
        end = pupil.step()
        seconds += end.seconds
    return Lap(end.tokens - begin.tokens, end.padded - begin.padded, seconds), end


def figures(taught: Taught, rate: float) -> dict[str, Any]:
    """Of one system. Args: rate: floating-point operations a second in products of matrices."""
    laps, account = taught.laps, taught.account
    tokens, padded = sum(lap.tokens for lap in laps), sum(lap.padded for lap in laps)
    per_s = tokens / sum(lap.seconds for lap in laps)
    return {
        "batches_a_step": taught.accumulate,
        "tokens_per_s": spread([lap.tokens_per_s for lap in laps]),
        "padding": round(1 - tokens / padded, 4),
        "flop_utilisation": _share(account.flops_a_token, per_s / rate),
        "tokens": account.tokens,
        "dev_loss": round(account.loss, 4),
        "peak_gb": _gb(account.peak_bytes),
    }


def tight(work: Work, pace: Pace, start: Start) -> Account:
    """Of a few steps of Harken in a process that gives back what is freed."""
    pupil = start(HARKEN, replace(work, tight=True))
    try:
        pupil.begin(work.accumulate)
        for _ in range(pace.warmup + pace.tried_steps):
            pupil.step()
        return pupil.account()
    finally:
        pupil.close()


def memory(account: Account) -> dict[str, float | None]:
    """What was needed at most, against the formula (`harken.bench.train_cost.peak_bytes`)."""
    peak, predicted = account.peak_bytes, account.predicted_bytes
    return {
        "peak_gb": _gb(peak),
        "predicted_peak_gb": _gb(predicted),
        "predicted_over_peak": None if peak is None or predicted is None else round(predicted / peak, 3),
    }


def _share(flops_a_token: float | None, tokens: float) -> float | None:
    """Args: tokens: for each operation that the machine could do."""
    return None if flops_a_token is None else round(flops_a_token * tokens, 4)


def _gb(count: int | None) -> float | None:
    return None if count is None else round(count / 1e9, 3)
