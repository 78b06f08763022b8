"""The figure of a comparison of arms: each arm's mean and each difference, with its interval."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from harken.errors import DataError, MissingExtra
from harken.evaluation.report import Report, Row

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtra("a picture of arms", "eval") from error

LEVEL, DIFFERENCE = "#2f5d8a", "#a8562a"
DIFFERS = " - "
"""Between the names of two arms in a row of a difference."""


def draw_arms(report: Report, path: Path) -> None:
    """Draw a report of `harken.evaluation.arms`, a panel for each measure; the suffix chooses the format.

    Raises DataError where the format is not known.
    """
    measures = list(dict.fromkeys((row["data"], row["measure"]) for row in report.rows))
    panels = [[row for row in report.rows if (row["data"], row["measure"]) == m] for m in measures]
    drawn = Figure(figsize=(6.4, sum(0.7 + 0.24 * len(rows) for rows in panels)), layout="constrained")
    FigureCanvasAgg(drawn)
    axes = drawn.subplots(
        len(panels), squeeze=False, gridspec_kw={"height_ratios": [2 + len(rows) for rows in panels]}
    )
    for place, rows, (data, measure) in zip(axes[:, 0], panels, measures, strict=True):
        place.set_title(
            f"{data}: {measure} (n = {max(int(str(row['n'])) for row in rows)})", fontsize=9, loc="left"
        )
        if any(DIFFERS in str(row["system"]) for row in rows):
            place.axvline(0, color="#999999", linewidth=0.7)
        for height, row in enumerate(reversed(rows)):
            _interval(place, height, row)
        place.set_yticks(range(len(rows)), [row["system"] for row in reversed(rows)], fontsize=8)
        place.tick_params(axis="x", labelsize=8)
        place.spines[["top", "right"]].set_visible(False)
    try:
        drawn.savefig(path, dpi=150)
    except ValueError as error:
        raise DataError(f"{path}: {error}", "name a file that ends in .svg or .png") from None


def _interval(place: Axes, height: int, row: Row) -> None:
    """A mean as a dot, a difference as a diamond, with its interval."""
    value, low, high = cast(list[float], row["value"])
    colour, mark = (DIFFERENCE, "D") if DIFFERS in str(row["system"]) else (LEVEL, "o")
    place.plot([low, high], [height, height], color=colour, linewidth=1.5)
    place.plot([value], [height], mark, color=colour, markersize=5)
