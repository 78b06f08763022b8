"""The pictures of an audit, each as PNG in a light and in a dark dress; numbers only, no text of rows.

Drawn on matplotlib's Agg canvas with no global state, so that neither a display nor another figure matters.
A picture of nothing is not drawn.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from harken.data.audit_figures import LONGEST_S, ORIGINS, SPOKEN, Audit

MOST_BARS = 14
_WIDTH_IN, _DPI = 4.8, 200  # 960 pixels, legible on a phone
_SMALL, _TEXT = 8, 9  # points


@dataclass(frozen=True)
class Dress:
    """Colours of a picture; the three series keep their order."""

    ground: str
    ink: str
    faint: str
    series: tuple[str, str, str]


LIGHT = Dress("#ffffff", "#3b3a38", "#dcdad5", ("#2a78d6", "#1baf7a", "#eda100"))
DARK = Dress("#1c1c1a", "#c9c7c1", "#3d3c39", ("#3987e5", "#199e70", "#c98500"))


@dataclass(frozen=True)
class Stacks:
    """Bars of one or several stacked series: label -> a value each."""

    values: Mapping[str, Sequence[float]]
    series: tuple[str, ...]
    unit: str
    upright: bool = False

    @property
    def total(self) -> float:
        return sum(sum(parts) for parts in self.values.values())


@dataclass(frozen=True)
class Plot:
    """A picture: its title, and its bars from the figures."""

    title: str
    stacks: Callable[[Audit], Stacks]

    def about(self, audit: Audit) -> str:
        """The picture in words, for those who cannot see it."""
        bars = self.stacks(audit)
        told = ", ".join(f"{label} {_number(sum(parts))}" for label, parts in bars.values.items())
        return f"{self.title}, {bars.unit}: {told}"


def _emotions(audit: Audit) -> Stacks:
    values = {label: [of.get(o, 0) for o in ORIGINS] for label, of in audit.emotions.items()}
    return Stacks(values, tuple(f"said by: {origin}" for origin in ORIGINS), "labels of users' turns")


def _hours(audit: Audit) -> Stacks:
    values = {source: [of.get(kind, 0.0) for kind in SPOKEN] for source, of in audit.hours.items()}
    return Stacks(_largest(values), SPOKEN, "hours")


def _durations(audit: Audit) -> Stacks:
    last = max((second for second, n in enumerate(audit.durations_s) if n), default=-1)
    values = {
        f"{second}+" if second == LONGEST_S else str(second): [n]
        for second, n in enumerate(audit.durations_s[: last + 1])
    }
    return Stacks(values, ("turns",), "seconds", upright=True)


def _turns(audit: Audit) -> Stacks:
    return Stacks({number: [n] for number, n in audit.turns.items()}, ("rows",), "turns", upright=True)


def _dropped(audit: Audit) -> Stacks:
    values = {
        f"{reason} ({step})": [float(n)] for step, of in audit.dropped.items() for reason, n in of.items()
    }
    return Stacks(_largest(values), ("rows",), "rows dropped")


PLOTS = {
    "emotions": Plot("Emotions, by who says so", _emotions),
    "hours": Plot("Hours of speech by source", _hours),
    "durations": Plot("Length of users' turns", _durations),
    "turns": Plot("Turns a row", _turns),
    "dropped": Plot("What was dropped, and why", _dropped),
}
"""Name of the file -> picture."""


def draw(audit: Audit, plot: Plot, dress: Dress) -> bytes | None:
    """The picture as PNG; None where there is nothing to show."""
    stacks = plot.stacks(audit)
    if not stacks.total:
        return None
    lines = sum(_folded(label).count("\n") + 1.4 for label in stacks.values)
    height = 2.6 if stacks.upright else 0.75 + 0.19 * lines
    figure = Figure(figsize=(_WIDTH_IN, height), dpi=_DPI, facecolor=dress.ground, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=dress.ground)
    (_columns if stacks.upright else _bars)(axes, stacks, dress)
    _plain(axes, dress)
    if len(stacks.series) > 1:
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=_SMALL,
                      labelcolor=dress.ink, handlelength=0.9, handleheight=0.9)  # fmt: skip
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": ""})
    return data.getvalue()


def _bars(axes: Axes, stacks: Stacks, dress: Dress) -> None:
    """Lying bars, the first on top, each with its sum behind it."""
    labels, places = list(stacks.values), range(len(stacks.values))
    left = [0.0] * len(labels)
    for number, (name, colour) in enumerate(zip(stacks.series, dress.series, strict=False)):
        widths = [stacks.values[label][number] for label in labels]
        if not any(widths):
            continue
        axes.barh(places, widths, 0.66, left, color=colour, label=name, edgecolor=dress.ground, linewidth=0.8)
        left = [begin + width for begin, width in zip(left, widths, strict=True)]
    for place, total in zip(places, left, strict=True):
        axes.text(total, place, f" {_number(total)}", va="center", fontsize=_SMALL, color=dress.ink)
    axes.set_yticks(places, [_folded(label) for label in labels], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, max(left) * 1.14)
    axes.set_xlabel(stacks.unit, fontsize=_SMALL, color=dress.ink)
    axes.grid(axis="x", color=dress.faint, linewidth=0.6)


def _columns(axes: Axes, stacks: Stacks, dress: Dress) -> None:
    """Standing bars of one series, side by side."""
    labels = list(stacks.values)
    heights = [stacks.values[label][0] for label in labels]
    axes.bar(range(len(labels)), heights, 0.86, color=dress.series[0])
    every = 1 if len(labels) <= 12 else 5
    axes.set_xticks(range(0, len(labels), every), labels[::every])
    axes.set_xlabel(stacks.unit, fontsize=_SMALL, color=dress.ink)
    axes.set_ylabel(stacks.series[0], fontsize=_SMALL, color=dress.ink)
    axes.grid(axis="y", color=dress.faint, linewidth=0.6)


def _plain(axes: Axes, dress: Dress) -> None:
    axes.set_axisbelow(True)
    axes.tick_params(colors=dress.ink, length=0, labelsize=_TEXT)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.locator_params(axis="x" if axes.yaxis_inverted() else "y", nbins=5)


def _largest(values: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """The longest bars, longest first, and the rest as one."""
    order = sorted(values, key=lambda label: (-sum(values[label]), label))
    kept: dict[str, Sequence[float]] = {label: values[label] for label in order[:MOST_BARS]}
    if rest := order[MOST_BARS:]:
        kept[f"{len(rest)} more"] = [sum(parts) for parts in zip(*(values[r] for r in rest), strict=True)]
    return kept


def _folded(label: str) -> str:
    """A label of at most two lines."""
    return "\n".join(textwrap.wrap(label, 26, max_lines=2, placeholder="…"))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.2f}"
