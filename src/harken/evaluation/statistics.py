"""Figures with error bars: recall averaged over classes, calibration error, and paired bootstrap intervals.

Pure numpy. A figure that is a mean of ratios (unweighted average recall, word error rate, accuracy) is a
`Ratios`: what each item adds above and below the line. Two systems judged on the same items are compared by
`paired_bootstrap`, which resamples items, or whole groups of them (speakers, dialogues) where items of one
group are not independent. What is measured, and on which data, is left to the benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure with the bootstrap percentile interval around it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Ratios:
    """A figure Σ_items above / Σ_items below, averaged over K columns. Both arrays are (N, K)."""

    above: Floats
    below: Floats

    def value(self) -> float:
        """The figure over all items; a column that no item adds to is left out."""
        return float(_mean_ratio(self.above.sum(0)[None], self.below.sum(0)[None])[0])


def recall_ratios(truth: ArrayLike, predicted: ArrayLike) -> Ratios:
    """Unweighted average recall as `Ratios`: one column a class in `truth`. Both are (N,) labels."""
    true, guess = np.asarray(truth), np.asarray(predicted)
    if true.shape != guess.shape or true.ndim != 1 or true.size == 0:
        raise ValueError(
            f"truth and predictions must be two equally long lists, got {true.shape} and {guess.shape}"
        )
    is_class = true[:, None] == np.unique(true)[None]  # (N, C)
    return Ratios((is_class & (true == guess)[:, None]).astype(float), is_class.astype(float))


def unweighted_average_recall(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Recall averaged over the classes in `truth`, each counting the same however rare it is."""
    return recall_ratios(truth, predicted).value()


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over equally wide bins of confidence, by clips.

    `probabilities` is (N, C), each row adding to 1; `truth` is (N,) class indices. 0 is perfect, 1 the worst.
    """
    p, true = np.asarray(probabilities, dtype=float), np.asarray(truth)
    if p.ndim != 2 or true.shape != p.shape[:1] or true.size == 0:
        raise ValueError(f"probabilities must be (N, C) and truth (N,), got {p.shape} and {true.shape}")
    confidence, correct = p.max(1), (p.argmax(1) == true).astype(float)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, confidence, bins) - np.bincount(bin_of, correct, bins)
    return float(np.abs(gaps).sum() / len(true))


def paired_bootstrap(
    ours: Ratios,
    baseline: Ratios,
    groups: ArrayLike | None = None,
    *,
    resamples: int = 5000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The difference `ours` - `baseline` on the same items, with a percentile interval.

    `groups` (N,) names what is drawn together, with replacement; None draws the items themselves. Each
    resample gives both systems the same draw.
    """
    if ours.above.shape != baseline.above.shape:
        raise ValueError(
            f"the two systems saw different items: {ours.above.shape} and {baseline.above.shape}"
        )
    n_items = len(ours.above)
    names = np.arange(n_items) if groups is None else np.asarray(groups)
    if len(names) != n_items:
        raise ValueError(f"{len(names)} groups for {n_items} items")
    _, group_of = np.unique(names, return_inverse=True)
    n_groups = int(group_of.max()) + 1
    draws = np.random.default_rng(seed).multinomial(
        n_groups, np.full(n_groups, 1 / n_groups), size=resamples
    )  # (R, G)
    sums = [
        _by_group(part, group_of, n_groups)
        for part in (ours.above, ours.below, baseline.above, baseline.below)
    ]
    drawn = [draws @ part for part in sums]  # (R, K) each
    differences = _mean_ratio(drawn[0], drawn[1]) - _mean_ratio(drawn[2], drawn[3])
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return Interval(ours.value() - baseline.value(), float(low), float(high))


def crossed_bootstrap(
    ours: Ratios,
    groups: ArrayLike,
    baseline: Ratios | None = None,
    *,
    resamples: int = 5000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A figure over N items in each of K runs, or its difference to a baseline's on the same items and runs,
    with a percentile interval over both: whole `groups` (N,) of items and whole runs are drawn with
    replacement, each by itself. A column is a run; above and below the line runs are added up.
    """
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    sides = [ours] if baseline is None else [ours, baseline]
    if any(side.above.shape != ours.above.shape for side in sides) or len(ours.above) != len(group_of):
        raise ValueError(f"{len(group_of)} groups for (items, runs) {[side.above.shape for side in sides]}")
    if ours.above.size == 0:
        raise ValueError("there are no items")
    n_groups, runs = len(names), ours.above.shape[1]
    random = np.random.default_rng(seed)
    of_runs = random.multinomial(runs, np.full(runs, 1 / runs), size=resamples)  # (R, K)
    of_groups = random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=resamples)  # (R, G)

    def drawn(part: Floats) -> Floats:
        return np.asarray(((of_groups @ _by_group(part, group_of, n_groups)) * of_runs).sum(1))  # (R,)

    figures = [drawn(side.above) / drawn(side.below) for side in sides]
    values = [float(side.above.sum() / side.below.sum()) for side in sides]
    found = figures[0] - figures[1] if baseline is not None else figures[0]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(values[0] - (values[1] if baseline is not None else 0.0), float(low), float(high))


def effect_size(
    differences: ArrayLike, *, resamples: int = 5000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Cohen's d of paired `differences` (N,), their mean over their standard deviation, with a percentile
    interval over items; 0 where they do not differ from one another and their mean is 0.
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"an effect size takes two differences or more, got {values.shape}")
    drawn = values[np.random.default_rng(seed).integers(values.size, size=(resamples, values.size))]
    low, high = np.quantile(_cohen(drawn), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(_cohen(values[None])[0]), float(low), float(high))


def difference_between(
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike,
    *,
    resamples: int = 5000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, Interval]:
    """Mean of `first` (N,) minus mean of `second` (M,), unpaired, and Cohen's d, by their pooled deviation.

    Each has two values or more. `groups` (N + M,) are drawn together, with replacement; draws with fewer than
    two values on a side are left out.
    """
    left, right = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if min(left.size, right.size) < 2:
        raise ValueError(f"a difference takes two values or more a side, got {left.size} and {right.size}")
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=resamples
    )  # (R, G)
    drawn = np.vstack([np.ones(len(group_of)), draws[:, group_of]])  # (1 + R, N + M): first, all values once
    moments = [
        _moments(weights, values)
        for weights, values in ((drawn[:, : left.size], left), (drawn[:, left.size :], right))
    ]
    kept = (moments[0][0] >= 2) & (moments[1][0] >= 2)
    (n1, mean1, sum1), (n2, mean2, sum2) = ([part[kept] for part in side] for side in moments)
    differences, spread = mean1 - mean2, np.sqrt((sum1 + sum2) / (n1 + n2 - 2))
    effects = np.divide(differences, spread, out=np.zeros_like(differences), where=spread > 1e-12)
    return tuple(  # type: ignore[return-value]
        Interval(float(found[0]), *map(float, np.quantile(found[1:], [(1 - level) / 2, (1 + level) / 2])))
        for found in (differences, effects)
    )


def _moments(weights: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Of (N,) values drawn so often, (R, N): how many, mean, and sum of squares around it; (R,) each."""
    n = weights.sum(1)
    mean = weights @ values / np.maximum(n, 1)
    return n, mean, np.maximum(weights @ values**2 - n * mean**2, 0.0)


def _cohen(values: Floats) -> Floats:
    """(R, N) -> (R,)"""
    mean, spread = values.mean(1), values.std(1, ddof=1)
    return np.asarray(np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 0))


def _by_group(values: Floats, group_of: NDArray[Any], n_groups: int) -> Floats:
    """Sum (N, K) rows into their groups: (G, K)."""
    sums = np.zeros((n_groups, values.shape[1]))
    np.add.at(sums, group_of, values)
    return sums


def _mean_ratio(above: Floats, below: Floats) -> Floats:
    """(R, K) sums -> (R,) mean over the columns that have anything below the line."""
    present = below > 0
    ratios = np.divide(above, below, out=np.zeros_like(above, dtype=float), where=present)
    return np.asarray(ratios.sum(1) / np.maximum(present.sum(1), 1))
