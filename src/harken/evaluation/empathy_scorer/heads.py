"""Regression heads: a ridge regression of grades on the numbers that are known of a reply.

Shapes: N replies, F numbers, K heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harken.evaluation.statistics import Floats

LEAST, MOST = 1.0, 5.0
PENALTIES = (10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)
"""Of squared weights, on numbers of standard deviation 1."""
FOLDS = 5
_WEIGHT, _BIAS = "weight", "bias"


@dataclass(frozen=True)
class Heads:
    """Fitted heads."""

    weight: Floats  # (K, F)
    bias: Floats  # (K,)

    def __call__(self, numbers: ArrayLike) -> Floats:
        """(N, F) -> scores (N, K), 1 to 5."""
        return np.clip(np.asarray(numbers, dtype=float) @ self.weight.T + self.bias, LEAST, MOST)


def fit(numbers: ArrayLike, grades: ArrayLike, penalty: float) -> Heads:
    """Fit heads. Args: numbers: (N, F). grades: (N, K)."""
    return _fits(numbers, grades, (penalty,))[0]


def _fits(numbers: ArrayLike, grades: ArrayLike, penalties: Sequence[float]) -> list[Heads]:
    """Heads with each penalty."""
    x, y = np.asarray(numbers, dtype=float), np.asarray(grades, dtype=float)
    mean, spread = x.mean(0), x.std(0)
    scale = np.where(spread > 1e-8, spread, np.inf)  # a number that never changes says nothing
    scaled = (x - mean) / scale
    gram, cross = scaled.T @ scaled, scaled.T @ (y - y.mean(0))
    weights = [np.linalg.solve(gram + penalty * np.eye(len(gram)), cross).T / scale for penalty in penalties]
    return [Heads(weight, y.mean(0) - weight @ mean) for weight in weights]


def chosen_penalty(numbers: ArrayLike, grades: ArrayLike, groups: Sequence[str], seed: int = 0) -> float:
    """The penalty whose heads err least on folds that they were not fitted on; groups stay together."""
    x, y = np.asarray(numbers, dtype=float), np.asarray(grades, dtype=float)
    fold_of = _folds(groups, seed)
    errors = dict.fromkeys(PENALTIES, 0.0)
    for fold in range(int(fold_of.max()) + 1):
        held = fold_of == fold
        for penalty, heads in zip(PENALTIES, _fits(x[~held], y[~held], PENALTIES), strict=True):
            errors[penalty] += float(((heads(x[held]) - y[held]) ** 2).sum())
    return min(PENALTIES, key=errors.__getitem__)


def save_heads(path: Path, heads: Heads, about: Mapping[str, str]) -> None:
    """Write heads as float32 safetensors; renamed when whole. Args: about: kept beside them."""
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    whole = {_WEIGHT: heads.weight, _BIAS: heads.bias}
    # safetensors writes memory as it lies, and fitted weights lie transposed
    tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in whole.items()}
    save_file(tensors, unfinished, dict(about))
    unfinished.replace(path)


def read_heads(path: Path) -> tuple[Heads, dict[str, str]]:
    """Heads, and what was kept beside them. Raises OSError, KeyError or SafetensorError for another file."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        weight, bias = file.get_tensor(_WEIGHT), file.get_tensor(_BIAS)
        about = dict(file.metadata() or {})
    return Heads(weight.astype(float), bias.astype(float)), about


def _folds(groups: Sequence[str], seed: int) -> NDArray[np.intp]:
    """(N,) the fold of each; as many as there are groups at most, one at least."""
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    folds = min(FOLDS, len(names))
    return np.asarray(np.random.default_rng(seed).permutation(len(names))[group_of] % folds)
