"""The objective score of a trajectory that a system gives in its own words, once they are labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TrajectoryScore:
    """How an answer compares with the gold trajectory."""

    exact: bool
    edits: int
    """Emotions to insert, leave out or change, to make the answer the gold."""


def trajectory_score(gold: Sequence[str], answer: Sequence[str]) -> TrajectoryScore:
    """Exact match, and the edit distance between two sequences of emotions."""
    row = list(range(len(answer) + 1))
    for i, wanted in enumerate(gold, 1):
        above, row = row, [i]
        for j, given in enumerate(answer, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (wanted != given)))
    return TrajectoryScore(row[-1] == 0, row[-1])
