"""What a bench gives, one JSON-safe object of settings, ratios and figures; and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any

import numpy as np


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Median and 95th percentile over runs; None where nothing was measured."""
    if not values:
        return None
    return {"p50": round(float(np.median(values)), 4), "p95": round(float(np.quantile(values, 0.95)), 4)}


def ratio(ours: dict[str, float] | None, theirs: dict[str, float] | None) -> float | None:
    """Our median over the alternative's; None where either is missing."""
    return round(ours["p50"] / theirs["p50"], 4) if ours and theirs and theirs["p50"] else None


def print_result(result: dict[str, Any], as_json: bool, out: IO[str] | None = None) -> None:
    """One JSON object, or a table for people. Args: out: where to; None is standard output."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False), file=out)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(file=out, markup=False, highlight=False)
    table = Table("system", "measure", "p50", "p95", title=str(result["bench"]))
    plain = {}
    for name, value in result.items():
        if not isinstance(value, dict):
            plain[name] = value
            continue
        for measure, figure in value.items():
            both = (
                (_shown(figure["p50"]), _shown(figure["p95"]))
                if isinstance(figure, dict)
                else (_shown(figure), "")
            )
            table.add_row(name, measure, *both)
    console.print(table)
    for name, value in plain.items():
        console.print(f"{name}: {_shown(value)}", soft_wrap=True)


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
