"""Time and memory, side by side with a named alternative in the same run: `harken bench NAME`.

How well a system does is `harken.evaluation`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harken.errors import InputError

if TYPE_CHECKING:
    from harken.recipes import Recipe

BENCHES = ("latency", "cold")


def run(
    name: str, *, recipe: Recipe, checkpoint: Path | None = None, json: bool = False, runs: int | None = None
) -> dict[str, Any]:
    """Measure, and print a table, or with `json` one object and nothing else.

    Args:
        name: "latency" (warm) or "cold" (from the start of the process).
        runs: how often each thing is measured; None takes the bench's own number.

    Raises: InputError for a name that there is not.
    """
    if name not in BENCHES:
        raise InputError(f"there is no bench {name!r}", f"choose one of: {', '.join(BENCHES)}")
    if runs is not None and runs < 1:
        raise InputError(f"{runs} runs measure nothing", "choose 1 or more")
    from harken.bench import cold, latency
    from harken.bench.result import print_result

    bench = latency.bench_latency if name == "latency" else cold.bench_cold
    result = bench(recipe, checkpoint, runs)
    print_result(result, json)
    return result
