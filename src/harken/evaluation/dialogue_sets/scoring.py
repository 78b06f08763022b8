"""The objective score of a trajectory that a system gives in its own words, once they are labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True)
class TrajectoryScore:
    """How an answer compares with the gold trajectory."""

    exact: bool
    edits: int
    """Emotions to insert, leave out or change, to make the answer the gold."""


def trajectory_score(gold: Sequence[str], answer: Sequence[str]) -> TrajectoryScore:
    """Exact match, and the edit distance between two sequences of emotions."""
    edits = Levenshtein.distance(gold, answer)
    return TrajectoryScore(edits == 0, edits)
