"""How far a judge's scores agree with others: people, objective labels, rankings of systems, and itself.

Intervals are 95 % percentile bootstraps over groups of items that belong together. A figure that the data
leave undefined, such as a rank correlation with a judge that gives everything the same score, is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harken.errors import InputError, MissingExtra
from harken.evaluation.statistics import Floats, Interval

RESAMPLES = 1000
BINS = 10

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Agreement:
    """Of two raters of the same items: in the order that they give them, and in the scores themselves."""

    spearman: Interval | None
    kendall: Interval | None
    kappa: Interval | None
    n: int
    """Items that both have scored."""


@dataclass(frozen=True)
class SystemAgreement:
    """Of a judge's ranking of systems with a measured one."""

    kendall: Interval | None
    swapped: tuple[tuple[str, str], ...]
    """Pairs of which the judge prefers the first, and the measure the second."""
    n: int
    """Items that all systems have both ways."""


@dataclass(frozen=True)
class Calibration:
    """P(correct | score), by an isotonic fit: it can rise with the score, and never falls."""

    scores: tuple[float, ...]
    correct: tuple[float, ...]
    """The probability at each of `scores`; flat where correctness does not rise with the score."""
    error: float | None
    """Mean distance between the probability and what is correct, on groups that the fit has not seen; None
    where there are fewer than two."""
    n: int


@dataclass(frozen=True)
class Repeatability:
    """How the variance of scores divides between repeats of one item and different items."""

    within: float
    between: float
    """Of the items' own scores, without what repeats add to it; 0 where repeats explain it all."""
    agreeing: float
    """Share of items whose repeats are all equal."""
    n: int
    """Items with two scores or more; the others take no part."""


def pearson(a: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None, seed: int = 0) -> Interval | None:
    """Pearson's linear correlation of two (N,) lists; None where either is constant."""
    ours, theirs = _two(a, b)
    return _bootstrap(lambda drawn: _pearson(ours[drawn], theirs[drawn]), len(ours), groups, seed)


def spearman(a: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None, seed: int = 0) -> Interval | None:
    """Spearman's rank correlation of two (N,) lists; None where either is constant."""
    ours, theirs = _two(a, b)
    return _bootstrap(lambda drawn: _spearman(ours[drawn], theirs[drawn]), len(ours), groups, seed)


def kendall(a: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None, seed: int = 0) -> Interval | None:
    """Kendall's tau-b, which allows for ties, of two (N,) lists; None where either is constant."""
    ours, theirs = _two(a, b)
    return _bootstrap(lambda drawn: _kendall(ours[drawn], theirs[drawn]), len(ours), groups, seed)


def quadratic_kappa(
    a: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None, seed: int = 0
) -> Interval | None:
    """Kappa with quadratic weights of two (N,) lists of scores; None where both are one and the same score.

    Distances are those of the scores themselves, so that means of several raters can be compared too.
    """
    ours, theirs = _two(a, b)
    return _bootstrap(lambda drawn: _kappa(ours[drawn], theirs[drawn]), len(ours), groups, seed)


def agreement(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    group_of: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Agreement:
    """Of two raters, each with a score by item id, over the items that both have.

    Args: group_of: item id -> its group, such as its dialogue; None takes each item for a group.
    Raises: InputError where they have no item in common.
    """
    ids = [id for id in ours if id in theirs]
    if not ids:
        raise InputError("the two raters have no item in common", "are the ids the same in both?")
    a, b = [ours[id] for id in ids], [theirs[id] for id in ids]
    groups = None if group_of is None else [group_of[id] for id in ids]
    return Agreement(
        spearman(a, b, groups, seed),
        kendall(a, b, groups, seed),
        quadratic_kappa(a, b, groups, seed),
        len(ids),
    )


def system_agreement(
    judged: Mapping[str, Mapping[str, float]], measured: Mapping[str, Mapping[str, float]], seed: int = 0
) -> SystemAgreement:
    """Kendall's tau-b between the systems' mean scores, judged and measured; items are resampled.

    Args: judged, measured: system -> item id -> score.
    Raises: InputError for fewer than two systems, other systems in the one than in the other, or no item that
        all have.
    """
    systems = sorted(judged)
    if len(systems) < 2 or systems != sorted(measured):
        raise InputError(
            f"rankings need the same two systems or more: {', '.join(systems) or 'none'} are judged, "
            f"{', '.join(sorted(measured)) or 'none'} measured"
        )
    tables = [side[system] for side in (judged, measured) for system in systems]
    ids = [id for id in tables[0] if all(id in table for table in tables)]
    if not ids:
        raise InputError("the systems have no item in common", "are the ids the same for all?")
    ours, theirs = (
        np.array([[side[system][id] for id in ids] for system in systems], dtype=float)
        for side in (judged, measured)
    )  # (S, N) each
    interval = _bootstrap(
        lambda drawn: _kendall(ours[:, drawn].mean(1), theirs[:, drawn].mean(1)), len(ids), None, seed
    )
    a, b = ours.mean(1), theirs.mean(1)
    swapped = [
        (systems[i], systems[j]) if a[i] > a[j] else (systems[j], systems[i])
        for i, j in combinations(range(len(systems)), 2)
        if (a[i] - a[j]) * (b[i] - b[j]) < 0
    ]
    return SystemAgreement(interval, tuple(swapped), len(ids))


def calibration(
    scores: ArrayLike, correct: ArrayLike, groups: ArrayLike | None = None, folds: int = 5, seed: int = 0
) -> Calibration:
    """P(correct | score) of (N,) scores and (N,) booleans.

    The error is that of fits on other groups: `folds` of them, drawn by `seed`.
    """
    x, y = _two(scores, correct)
    group_of, n_groups = _groups(groups, len(x))
    levels = np.unique(x)
    fit = _isotonic(x, y)
    error = None
    if n_groups > 1:
        fold_of = np.random.default_rng(seed).permutation(n_groups)[group_of] % folds
        predicted = np.zeros_like(x)
        for fold in range(min(folds, n_groups)):
            held_out = fold_of == fold
            predicted[held_out] = _isotonic(x[~held_out], y[~held_out])(x[held_out])
        bin_of = np.minimum((predicted * BINS).astype(int), BINS - 1)
        gaps = np.bincount(bin_of, predicted, BINS) - np.bincount(bin_of, y, BINS)
        error = float(np.abs(gaps).sum() / len(x))
    return Calibration(tuple(levels.tolist()), tuple(fit(levels).tolist()), error, len(x))


def repeatability(scores: Mapping[str, Sequence[float]]) -> Repeatability:
    """Of a judge that has scored each item several times: item id -> its scores.

    Raises: InputError where fewer than two items have two scores.
    """
    repeated = [np.asarray(of_item, dtype=float) for of_item in scores.values() if len(of_item) > 1]
    if len(repeated) < 2:
        raise InputError(
            "variance over repeats needs two items with two scores or more", "judge with repeats"
        )
    counts = np.array([len(of_item) for of_item in repeated], dtype=float)
    means = np.array([of_item.mean() for of_item in repeated])
    n, k = counts.sum(), len(repeated)
    within = sum(float(((of_item - of_item.mean()) ** 2).sum()) for of_item in repeated) / (n - k)
    spread = float((counts * (means - (counts * means).sum() / n) ** 2).sum()) / (k - 1)
    usual = (n - (counts**2).sum() / n) / (k - 1)  # repeats an item; their mean where all have as many
    agreeing = sum(bool((of_item == of_item[0]).all()) for of_item in repeated) / k
    return Repeatability(float(within), max(0.0, float((spread - within) / usual)), agreeing, k)


def _two(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    ours, theirs = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if ours.shape != theirs.shape or ours.ndim != 1 or ours.size == 0:
        raise ValueError(f"agreement takes two equally long lists, got {ours.shape} and {theirs.shape}")
    return ours, theirs


def _groups(groups: ArrayLike | None, n: int) -> tuple[Indices, int]:
    """(N,) the number of each item's group, and how many there are."""
    names = np.arange(n) if groups is None else np.asarray(groups)
    if len(names) != n:
        raise ValueError(f"{len(names)} groups for {n} items")
    _, group_of = np.unique(names, return_inverse=True)
    return group_of, int(group_of.max()) + 1


def _bootstrap(
    statistic: Callable[[Indices], float], n: int, groups: ArrayLike | None, seed: int
) -> Interval | None:
    """A statistic of (drawn,) item indices; resamples in which it is undefined take no part."""
    value = statistic(np.arange(n))
    if np.isnan(value):
        return None
    group_of, n_groups = _groups(groups, n)
    members = [np.flatnonzero(group_of == group) for group in range(n_groups)]
    random = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([members[group] for group in random.integers(n_groups, size=n_groups)]))
        for _ in range(RESAMPLES)
    ]
    defined = [each for each in drawn if not np.isnan(each)]
    low, high = np.quantile(defined, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _pearson(a: Floats, b: Floats) -> float:
    return float("nan") if _constant(a) or _constant(b) else float(np.corrcoef(a, b)[0, 1])


def _spearman(a: Floats, b: Floats) -> float:
    rank = _stats().rankdata
    return _pearson(rank(a), rank(b))


def _kendall(a: Floats, b: Floats) -> float:
    if _constant(a) or _constant(b):
        return float("nan")
    return float(_stats().kendalltau(a, b).statistic)


def _kappa(a: Floats, b: Floats) -> float:
    """1 - what they differ / what they would if each kept its scores and the items were shuffled."""
    if _constant(np.concatenate([a, b])):
        return float("nan")
    by_chance = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return float(1 - ((a - b) ** 2).mean() / by_chance)


def _constant(values: Floats) -> bool:
    return bool((values == values[0]).all())


def _isotonic(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    try:
        from sklearn.isotonic import IsotonicRegression
    except ImportError as error:
        raise MissingExtra("calibration of a judge", "eval") from error
    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(x, y)
    return lambda at: np.asarray(fitted.predict(at), dtype=float)


def _stats() -> Any:
    try:
        from scipy import stats
    except ImportError as error:
        raise MissingExtra("agreement of a judge", "eval") from error
    return stats
