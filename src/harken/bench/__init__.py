"""Time and memory, side by side with a named alternative in the same run: `harken bench NAME`.

How well a system does is `harken.evaluation`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harken.errors import InputError

if TYPE_CHECKING:
    from harken.bench.data import Ask
    from harken.bench.serving import What
    from harken.recipes import Recipe

BENCHES = ("latency", "reflect", "cold", "turns", "train", "data", "judging", "serving")


def run(
    name: str,
    *,
    recipe: Recipe,
    checkpoint: Path | None = None,
    json: bool = False,
    runs: int | None = None,
    ask: Ask | None = None,
    data: Sequence[Path] = (),
    voice: str = "recipe",
    alone: bool = False,
    core: str = "recipe",
    stage: str = "core",
    out: Path | None = None,
    what: What = "overhead",
    seconds: float | None = None,
) -> dict[str, Any]:
    """Measure, and print a table, or with `json` one object and nothing else.

    Args:
        name: of BENCHES; "data" (building data sets) and "judging" (a slow judge) know no recipe.
        runs: how often each thing is measured, of "data" how many builds are killed; None: the bench's own.
        ask: of "data", what is measured; None takes the parts with fakes.
        data, voice, alone: of "latency", see `harken.bench.latency.bench_latency`; the first two also of
            "reflect".
        core: of "train", which one learns, see `harken.bench.train_core.CORES`.
        stage: of "train": "core", or "align" or "joint", which learn from the folder in `data`, begin with
            the parts in `checkpoint` and keep what they prepare in `out`.
        what, seconds: of "serving", see `harken.bench.serving.bench_serving`.

    Raises: InputError for a name that there is not.
    """
    if name not in BENCHES:
        raise InputError(f"there is no bench {name!r}", f"choose one of: {', '.join(BENCHES)}")
    if runs is not None and runs < 1:
        raise InputError(f"{runs} runs measure nothing", "choose 1 or more")
    if name == "data":
        return _data(ask, runs, json)
    if name in ("latency", "reflect"):
        result = _answered(name, recipe, checkpoint, runs, data, voice, alone)
    elif name == "train":
        result = _train(recipe, checkpoint, runs, core, stage, data, out)
    elif name == "serving":
        result = _serving(recipe, checkpoint, what, runs, seconds)
    else:
        result = _measured(name, recipe, checkpoint, runs)
    return _printed(result, json)


def _printed(result: dict[str, Any], as_json: bool) -> dict[str, Any]:
    from harken.bench.result import print_result

    print_result(result, as_json)
    return result


def _answered(
    name: str,
    recipe: Recipe,
    checkpoint: Path | None,
    runs: int | None,
    data: Sequence[Path],
    voice: str,
    alone: bool,
) -> dict[str, Any]:
    """By one of those that answer recordings."""
    if name == "latency":
        from harken.bench.latency import bench_latency

        return bench_latency(recipe, checkpoint, runs, data, voice, alone)
    from harken.bench.reflecting import bench_reflecting

    return bench_reflecting(recipe, checkpoint, runs, data, voice)


def _measured(name: str, recipe: Recipe, checkpoint: Path | None, runs: int | None) -> dict[str, Any]:
    """By one bench, which needs what it imports and nothing of the others'."""
    if name == "cold":
        from harken.bench.cold import bench_cold

        return bench_cold(recipe, checkpoint, runs)
    if name == "turns":
        from harken.bench.turns import bench_turns

        return bench_turns(recipe, checkpoint, runs)
    from harken.bench.judging import bench_judging

    return bench_judging()


def _serving(
    recipe: Recipe, checkpoint: Path | None, what: What, runs: int | None, seconds: float | None
) -> dict[str, Any]:
    from harken.bench.serving import bench_serving

    return bench_serving(recipe, checkpoint, what, runs, seconds)


def _train(
    recipe: Recipe,
    checkpoint: Path | None,
    runs: int | None,
    core: str,
    stage: str,
    data: Sequence[Path],
    out: Path | None,
) -> dict[str, Any]:
    from harken.bench.train import bench_train

    if stage == "core":
        return bench_train(recipe, core, runs)
    from harken.bench.train_stages import Place
    from harken.checkpoint import shipped

    if len(data) != 1 or out is None:
        raise InputError(
            f"the stage {stage} needs one folder of data, and one to keep what it prepares",
            "name them: --data DATA --out OUT",
        )
    place = Place(data[0], out, checkpoint or shipped(recipe.name))
    return bench_train(recipe, core, runs, stage, place)


def _data(ask: Ask | None, runs: int | None, as_json: bool) -> dict[str, Any]:
    import json

    from harken.bench.data import Ask, bench_data, reports

    ask = ask or Ask()
    result = bench_data(replace(ask, kills=runs) if runs else ask)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        for report in reports(result):
            report.print()
    return result
