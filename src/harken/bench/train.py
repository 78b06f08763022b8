"""How fast the stages learn, beside the transformers `Trainer` on the same model, data and machine.

Tokens that are not padding, a second. Each system is first tried at a few sizes of batches, a step always
being as many samples; then each goes on at its best, in turns, a turn lasting for as many tokens. At the end
each is asked for its loss on the same dev samples. The core's low-rank update is trained, on written samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from harken.bench.result import spread
from harken.bench.train_cost import matrix_rate
from harken.bench.train_process import Account, Pupil, Step, TooLarge
from harken.bench.train_systems import CORES, HARKEN, SYSTEMS, Work
from harken.errors import HarkenError
from harken.evaluation.progress import steps
from harken.evaluation.report import hardware
from harken.recipes import Recipe

TURNS = 5
STEPS_A_TURN = 2
SAMPLES_A_STEP = {"cpu": 32, "cuda": 256}
ACCUMULATE = (1, 2, 4)
"""Batches a step that are tried."""
TRIED_STEPS = 2
"""Of each size, after one that warms up."""

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


def bench_train(recipe: Recipe, core: str = "recipe", runs: int | None = None) -> dict[str, Any]:
    """Measure `runs` turns of each system. Args: core: of CORES. Raises HarkenError."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    work = Work(partial(CORES[core], recipe), recipe, SAMPLES_A_STEP[device.type])
    return {
        "bench": "train", "recipe": recipe.name, "core": core, "hardware": hardware(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "task": f"the core's low-rank update, {work.samples_a_step} written samples a step, bfloat16",
        **measure(work, runs or TURNS, matrix_rate(device), Pupil),
    }  # fmt: skip


def measure(work: Work, turns: int, rate: float, start: Start) -> dict[str, Any]:
    """The figures of each system, and Harken's tokens a second over the others', turn by turn."""
    best = {system: fastest(system, work, start) for system in steps(SYSTEMS, "sizes of batches")}
    pupils: dict[str, Pupil] = {}
    try:
        for system in SYSTEMS:
            pupils[system] = start(system, best[system])
        laps = in_turns(pupils, turns)
        accounts = {system: pupil.account() for system, pupil in pupils.items()}
    finally:
        for pupil in pupils.values():
            pupil.close()
    found: dict[str, Any] = {
        system: figures(best[system], laps[system], accounts[system], rate) for system in SYSTEMS
    }
    found["harken_over"] = {
        system: spread([a.tokens_per_s / b.tokens_per_s for a, b in zip(laps[HARKEN], theirs, strict=True)])
        for system, theirs in laps.items()
        if system != HARKEN
    }
    found["memory_of_harken"] = memory(best[HARKEN], start)
    return found | {"matrix_rate_gflops": round(rate / 1e9, 1)}


def fastest(system: str, work: Work, start: Start) -> Work:
    """The work in batches of the size at which it goes fastest. Raises HarkenError where none fits."""
    tried: dict[float, Work] = {}
    for accumulate in ACCUMULATE:
        sized = replace(work, accumulate=accumulate)
        try:
            pupil = start(system, sized)
            try:
                warm = pupil.step()
                found, _ = lap(pupil, warm, warm.tokens + TRIED_STEPS * warm.tokens)
            finally:
                pupil.close()
        except TooLarge:
            continue
        tried[found.tokens_per_s] = sized
    if not tried:
        raise HarkenError(f"no batch of {system} fits into memory", "choose a smaller core")
    return tried[max(tried)]


def in_turns(pupils: Mapping[str, Pupil], turns: int) -> dict[str, list[Lap]]:
    """System -> its turns. After each all have read as many tokens, but for a step; the first step of each
    warms up.
    """
    now = {system: pupil.step() for system, pupil in pupils.items()}
    first = max(step.tokens for step in now.values())
    laps: dict[str, list[Lap]] = {system: [] for system in pupils}
    for turn in steps(range(1, turns + 1), "turns"):
        order = list(pupils)
        for system in order[turn % len(order) :] + order[: turn % len(order)]:
            found, now[system] = lap(pupils[system], now[system], first * (1 + turn * STEPS_A_TURN))
            laps[system].append(found)
    return laps


def lap(pupil: Pupil, begin: Step, goal: int) -> tuple[Lap, Step]:
    """Steps until a pupil that stands at `begin` has read so many tokens in all, one at least."""
    end, seconds = begin, 0.0
    while end is begin or end.tokens < goal:
        end = pupil.step()
        seconds += end.seconds
    return Lap(end.tokens - begin.tokens, end.padded - begin.padded, seconds), end


def figures(work: Work, laps: list[Lap], account: Account, rate: float) -> dict[str, Any]:
    """Of one system. Args: rate: floating-point operations a second in products of matrices."""
    speed = spread([lap.tokens_per_s for lap in laps])
    tokens, padded = sum(lap.tokens for lap in laps), sum(lap.padded for lap in laps)
    peak = account.peak_bytes
    per_s = tokens / sum(lap.seconds for lap in laps)
    return {
        "batches_a_step": work.accumulate,
        "tokens_per_s": speed,
        "padding": round(1 - tokens / padded, 4),
        "flop_utilisation": round(per_s * account.flops_a_token / rate, 4),
        "tokens": account.tokens,
        "dev_loss": round(account.loss, 4),
        "peak_gb": None if peak is None else round(peak / 1e9, 3),
    }


def memory(work: Work, start: Start) -> dict[str, float | None]:
    """What a few steps need at most, against the formula (`harken.bench.train_cost.peak_bytes`)."""
    pupil = start(HARKEN, replace(work, tight=True))
    try:
        for _ in range(1 + TRIED_STEPS):
            pupil.step()
        account = pupil.account()
    finally:
        pupil.close()
    peak, predicted = account.peak_bytes, account.predicted_bytes
    return {
        "peak_gb": None if peak is None else round(peak / 1e9, 3),
        "predicted_peak_gb": round(predicted / 1e9, 3),
        "predicted_over_peak": None if peak is None else round(predicted / peak, 3),
    }
