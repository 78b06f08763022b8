"""Ways of scoring, set side by side: the heads on what the core reads, and the baselines, all fitted alike.

Each is fitted on all training replies, and again without each family of rules, so that it can be tried on a
kind of bad reply that it has never seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harken.evaluation.empathy_scorer.graded import GradedReply
from harken.evaluation.empathy_scorer.heads import Heads, chosen_penalty, fit
from harken.evaluation.empathy_scorer.rules import FAMILIES
from harken.evaluation.planted import OTHER_LANGUAGE, Planted
from harken.evaluation.statistics import Floats


@dataclass(frozen=True)
class Replies:
    """What is trained and tried on."""

    train: Sequence[GradedReply]
    held_out: Sequence[GradedReply]
    planted: Sequence[Planted]


@dataclass(frozen=True)
class View:
    """What one way of scoring sees, as numbers of each reply."""

    name: str
    train: Floats  # (N, F)
    held_out: Floats  # (M, F)
    planted: Floats  # (P, F)


@dataclass(frozen=True)
class Scores:
    """Of the held-out and the planted replies; of these, one in the other language is a 1 by rule."""

    held_out: Floats  # (M, K)
    planted: Floats  # (P, K)


@dataclass(frozen=True)
class Fitted:
    """One way of scoring, fitted."""

    name: str
    heads: Heads
    penalty: float
    scores: Scores
    without: dict[str, Scores]
    """Family of rules -> the scores of heads that were fitted without it."""

    def unseen(self, held_out: Sequence[GradedReply]) -> Floats:
        """(M, K) of the held-out replies, each by heads that have not seen its family."""
        rows = [
            self.without[reply.family].held_out[row]
            if reply.family in self.without
            else self.scores.held_out[row]
            for row, reply in enumerate(held_out)
        ]
        return np.asarray(rows)


def fitted(view: View, replies: Replies, seed: int = 0) -> Fitted:
    """Fit one way of scoring. The penalty is chosen on folds of the training replies."""
    grades = np.array([reply.grades for reply in replies.train])  # (N, K)
    penalty = chosen_penalty(view.train, grades, [reply.scene.group for reply in replies.train], seed)
    families = np.array([reply.family for reply in replies.train])
    foreign = np.array([each.quality == OTHER_LANGUAGE for each in replies.planted], dtype=bool)

    def scored(heads: Heads) -> Scores:
        return Scores(heads(view.held_out), np.where(foreign[:, None], 1.0, heads(view.planted)))

    whole = fit(view.train, grades, penalty)
    without = {
        family: scored(fit(view.train[families != family], grades[families != family], penalty))
        for family in FAMILIES
    }
    return Fitted(view.name, whole, penalty, scored(whole), without)
