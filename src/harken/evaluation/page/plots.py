"""The plots of a report's page, as SVG that stands in the page and takes its colours from it.

Drawn with stand-ins for colours, which become the page's own variables, so that one drawing is right in light
and in dark. Text stays text, in the page's fonts. Nothing is told by colour alone.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from harken.errors import MissingExtra
from harken.evaluation.agreement import calibration

try:
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
except ImportError as error:
    raise MissingExtra("the page of a report", "eval") from error

INK, SOFT, LINE, CARD, ONE, TWO, THREE = (f"#0{n}0{n}0{n}" for n in range(1, 8))
_COLOURS = {
    INK: "ink", SOFT: "soft", LINE: "line", CARD: "card", ONE: "one", TWO: "two", THREE: "three",
}  # fmt: skip
_SERIES = ((ONE, "-"), (TWO, "--"), (THREE, ":"), (INK, "-."), (SOFT, "-"))
LONGEST_LABEL = 28
"""Characters; what is longer is cut."""
_WIDTH_IN, _SMALL, _TEXT = 4.8, 8, 9  # inches, points


@dataclass(frozen=True)
class Confusion:
    """How often each label was answered for each true one."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """A row a true label, a column an answered one: those of `labels` first, then `others`."""
    others: tuple[str, ...] = ()
    """Answers that are no true label."""
    title: str = "Emotions"


@dataclass(frozen=True)
class Scored:
    """A judge's scores, and whether what it scored was right, in one order."""

    scores: tuple[float, ...]
    correct: tuple[bool, ...]
    what: str = ""
    """What was scored, and what is right."""
    groups: tuple[str, ...] | None = None
    """What belongs together: the fit's error is that on other groups. None: each is its own."""
    seed: int = 0
    """Draws the groups that are fitted on."""


@dataclass(frozen=True)
class ByLabel:
    """Scores by a label that what was scored has."""

    label: str
    """What the labels are."""
    score: str
    """What the scores are."""
    scores: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Plots:
    """What there is to draw; None and nothing are left out."""

    confusions: Sequence[Confusion] = ()
    calibrations: Sequence[Scored] = ()
    by_label: ByLabel | None = None
    first_audio_s: Mapping[str, Sequence[float]] | None = None
    """Times to first audio, by what is to be told apart."""


@dataclass(frozen=True)
class Drawing:
    """A plot as it stands in the page."""

    title: str
    about: str
    """What it shows, for those who cannot see it."""
    svg: str


def draw(plots: Plots) -> list[Drawing]:
    """All that there is to draw. Raises MissingExtra where the calibration cannot be fitted."""
    drawn = [_confusion(number, of) for number, of in enumerate(plots.confusions)]
    drawn += [_calibration(number, of) for number, of in enumerate(plots.calibrations)]
    if plots.by_label is not None and plots.by_label.scores:
        drawn.append(_by_label(plots.by_label))
    if plots.first_audio_s:
        drawn.append(_first_audio(plots.first_audio_s))
    return drawn


def _confusion(number: int, of: Confusion) -> Drawing:
    answers = [_short(label) for label in (*of.labels, *of.others)]

    def fill(axes: Axes) -> None:
        for y, row in enumerate(of.counts):
            for x, count in enumerate(row):
                share = count / max(1, sum(row))
                axes.add_patch(
                    Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, color=ONE, alpha=0.6 * share, lw=0)
                )
                if count:
                    axes.text(x, y, str(count), ha="center", va="center", fontsize=_SMALL, color=INK)
        places = range(len(of.labels))
        labels = [_short(label) for label in of.labels]
        axes.set_xticks(
            range(len(answers)), answers, rotation=35, ha="right", rotation_mode="anchor", parse_math=False
        )
        axes.set_yticks(places, labels, parse_math=False)
        axes.set_xlim(-0.5, len(answers) - 0.5)
        axes.set_ylim(len(of.labels) - 0.5, -0.5)
        axes.set_aspect("equal")
        _name(axes, "answered", "annotated")

    right = sum(of.counts[n][n] for n in range(len(of.labels)))
    total = sum(map(sum, of.counts))
    about = f"{right} of {total} emotions are answered as they are annotated; shades are shares of a row."
    return Drawing(of.title, about, _svg(f"confusion{number}", fill, 1.2 + 0.36 * len(of.labels)))


def _calibration(number: int, of: Scored) -> Drawing:
    scores, correct = np.array(of.scores, float), np.array(of.correct, float)
    fitted = calibration(scores, correct, of.groups, seed=of.seed)

    def fill(axes: Axes) -> None:
        levels, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
        shares = np.bincount(place, correct) / counts
        sizes = 20 + 160 * counts / counts.max()
        axes.scatter(
            levels, shares, sizes, color=ONE, alpha=0.55, lw=0, label="what was right (size: how many)"
        )
        axes.plot(fitted.scores, fitted.correct, color=TWO, lw=1.8, label="isotonic fit")
        axes.set_ylim(-0.06, 1.06)
        axes.margins(x=0.08)
        axes.legend(frameon=False, fontsize=_SMALL, labelcolor=INK, loc="best", markerscale=0.6)
        _name(axes, "the judge's score", "share that is right")
        axes.grid(color=LINE, lw=0.6)

    told = ", ".join(f"{s:g}: {p:.2f}" for s, p in zip(fitted.scores, fitted.correct, strict=True))
    error = "" if fitted.error is None else f" Calibration error {fitted.error:.3f}, on items not fitted on."
    about = f"P(correct | score) by an isotonic fit over {fitted.n} items: {told}.{error}"
    title = f"What a score is worth: {of.what}" if of.what else "What a score is worth"
    return Drawing(title, about, _svg(f"calibration{number}", fill, 3.0))


def _by_label(of: ByLabel) -> Drawing:
    kept = {label: np.array(scores, float) for label, scores in of.scores.items() if len(scores)}
    means = {label: float(scores.mean()) for label, scores in kept.items()}
    labels = sorted(kept, key=lambda label: (-means[label], label))

    def fill(axes: Axes) -> None:
        for y, label in enumerate(labels):
            levels, counts = np.unique(kept[label], return_counts=True)
            axes.scatter(levels, [y] * len(levels), 200 * counts / counts.sum(), color=ONE, alpha=0.45, lw=0)
        axes.scatter([means[label] for label in labels], range(len(labels)), 34, marker="D", color=TWO,
                     edgecolors=CARD, lw=0.8, zorder=3)  # fmt: skip
        axes.set_yticks(
            range(len(labels)), [f"{_short(la)}  (n {len(kept[la])})" for la in labels], parse_math=False
        )
        axes.set_ylim(len(labels) - 0.4, -0.6)
        every = np.concatenate(list(kept.values()))
        axes.set_xlim(every.min() - 0.6, every.max() + 0.6)
        axes.locator_params(axis="x", integer=True)
        _name(axes, of.score, "")
        axes.grid(axis="x", color=LINE, lw=0.6)

    told = ", ".join(f"{label} {means[label]:.2f}" for label in labels)
    about = f"Discs are shares of a label's scores, diamonds their means: {told}."
    return Drawing(f"{of.score} by {of.label}", about, _svg("labels", fill, 0.9 + 0.32 * len(labels)))


def _first_audio(delays_s: Mapping[str, Sequence[float]]) -> Drawing:
    kept = {name: np.sort(np.array(of, float)) for name, of in delays_s.items() if len(of)}

    def fill(axes: Axes) -> None:
        for number, (name, of) in enumerate(kept.items()):
            colour, dash = _SERIES[number % len(_SERIES)]
            shares = np.arange(len(of) + 1) / len(of)
            axes.step(
                np.append(0, of), shares, where="post", color=colour, linestyle=dash, lw=1.8, label=name
            )
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1.02)
        axes.legend(frameon=False, fontsize=_SMALL, labelcolor=INK, loc="lower right")
        _name(axes, "seconds to first audio", "share of replies")
        axes.grid(color=LINE, lw=0.6)

    told = ", ".join(f"{name} {np.median(of):.2f} s (n {len(of)})" for name, of in kept.items())
    return Drawing("Time to first audio", f"Medians: {told}.", _svg("audio", fill, 2.8))


def _name(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(_short(x), fontsize=_SMALL, color=SOFT, parse_math=False)
    axes.set_ylabel(_short(y), fontsize=_SMALL, color=SOFT, parse_math=False)


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _svg(name: str, fill: Callable[[Axes], None], height_in: float) -> str:
    """A drawing without anything around it; `name` keeps its ids apart from others' on the page."""
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False}
    data = io.StringIO()
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the reader's fonts have what these have not
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained", facecolor="none")
        axes = figure.add_subplot(facecolor="none")
        fill(axes)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, length=0, labelsize=_TEXT)
        for side in axes.spines.values():
            side.set_visible(False)
        FigureCanvasSVG(figure).print_svg(data, metadata={"Date": None, "Creator": None})
    drawn = data.getvalue()
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    drawn = re.sub(r'(id="|url\(#|href="#)', partial(_apart, name), drawn)
    return re.sub("|".join(_COLOURS), lambda found: f"var(--{_COLOURS[found[0]]})", drawn)


def _apart(name: str, found: re.Match[str]) -> str:
    return f"{found[0]}{name}-"
