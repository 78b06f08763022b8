"""Whether memory grows: many spoken turns in one process, some of them interrupted in mid-reply.

Ten turns make a conversation; every fourth reply is left after its first chunk of sound. What the process
holds is read after each tenth part, when Python has collected what it can.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harken.api import Harken
from harken.bench.recording import recording
from harken.dialogue.events import AudioChunk
from harken.errors import InputError
from harken.evaluation.progress import steps
from harken.evaluation.report import hardware
from harken.recipes import Recipe

RUNS = 200
PARTS = 10
TURNS_A_CONVERSATION = 10
INTERRUPTED = 4
"""One in so many replies."""
SECONDS = 4.0


def bench_turns(recipe: Recipe, checkpoint: Path | None = None, runs: int | None = None) -> dict[str, Any]:
    """Memory over `runs` turns. Raises InputError where this system does not tell what a process holds."""
    from harken.checkpoint import load_model
    from harken.evaluation.progress import quiet_libraries

    quiet_libraries()
    held = measure(Harken(load_model(recipe, checkpoint)), runs or RUNS)
    return {
        "bench": "turns", "recipe": recipe.name, "checkpoint": str(checkpoint or "shipped"),
        "hardware": hardware(), "turns": runs or RUNS,
        "interrupted": f"one in {INTERRUPTED}", "conversation": f"{TURNS_A_CONVERSATION} turns",
        "harken": held,
    }  # fmt: skip


def measure(harken: Harken, turns: int, held_mb: Callable[[], float] | None = None) -> dict[str, Any]:
    """{"held_mb_after_N": …} as turns go by, and by how much it grew from the first of them to the last."""
    held_mb = held_mb or _held_mb
    samples, _ = recording(SECONDS)
    found: dict[str, float] = {}
    session, part = harken.conversation(), max(1, turns // PARTS)
    for turn in steps(range(1, turns + 1), "turns"):
        if turn % TURNS_A_CONVERSATION == 0:
            session = harken.conversation()
        events = session.reply((samples, 16_000))
        for event in events:
            if turn % INTERRUPTED == 0 and isinstance(event, AudioChunk):
                break
        events.close()  # type: ignore[attr-defined]
        if turn % part == 0:
            gc.collect()
            found[f"held_mb_after_{turn}"] = round(held_mb(), 1)
    first, last = next(iter(found.values())), list(found.values())[-1]
    return found | {"grown_mb": round(last - first, 1)}


def _held_mb() -> float:
    """What this process holds in memory, in 10^6 bytes."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        raise InputError(f"{sys.platform} does not tell what a process holds", "run this on Linux")
    import resource

    return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
