"""Open answers as labels, by keyword alone, and how the judge's scores go with them.

An answer stands for the one emotion or gender that it names. One that names none or several stands for no
label and is wrong; negation and irony are not told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harken.data.steps.paralinguistic_words import emotions_named, genders_named
from harken.evaluation.agreement import Calibration, calibration, spearman
from harken.evaluation.paralinguistic.items import Item
from harken.evaluation.report import bootstrap, per_item
from harken.evaluation.statistics import Interval, Ratios

UNNAMED = "none"


@dataclass(frozen=True)
class Labelled:
    """An answer to a direct question whose label is known."""

    item: Item
    truth: str
    answered: str
    """The label that the answer names; `UNNAMED` for none or several."""
    judged: float | None
    """The judge's score; None where there is none."""

    @property
    def correct(self) -> bool:
        return self.answered == self.truth

    @property
    def recording(self) -> str:
        """What goes together in a resample."""
        return str(self.item.recordings[-1])


@dataclass(frozen=True)
class Validation:
    """Do the judge's scores rise with correctness? None where that is not defined."""

    rank: Interval | None
    correct: Calibration | None
    n: int


def labelled(
    items: Sequence[Item], answers: Mapping[str, str], judged: Mapping[str, float]
) -> list[Labelled]:
    """The answers to direct questions whose label is known. Args: answers, judged: by item id."""
    return [
        Labelled(item, item.label, label_named(answers[item.id], item), judged.get(item.id))
        for item in items
        if item.label is not None and item.id in answers
    ]


def label_named(text: str, item: Item) -> str:
    """The label that an answer to a direct question names."""
    named = genders_named(text, item.lang) if item.type == "G" else emotions_named(text, item.lang)
    return next(iter(named)) if len(named) == 1 else UNNAMED


def accuracy(labelled: Sequence[Labelled], seed: int = 0) -> Interval:
    """Weighted accuracy: the share of answers that are right, each class counting as often as it occurs."""
    scores = [float(each.correct) for each in labelled]
    return bootstrap(per_item(scores), [each.recording for each in labelled], seed)


def f1(labelled: Sequence[Labelled], seed: int = 0) -> Interval:
    """The mean of F1 over the classes that are asked for."""
    truth = np.array([each.truth for each in labelled])[:, None]
    answered = np.array([each.answered for each in labelled])[:, None]
    classes = np.unique(truth)[None]
    is_true, is_answered = truth == classes, answered == classes  # (N, C) each
    ratios = Ratios(2.0 * (is_true & is_answered), is_true.astype(float) + is_answered)
    return bootstrap(ratios, [each.recording for each in labelled], seed)


def validation(labelled: Sequence[Labelled], seed: int = 0) -> Validation:
    """Of the judge, on the answers that have both a score and a label."""
    both = [each for each in labelled if each.judged is not None]
    if not both:
        return Validation(None, None, 0)
    scores, correct = [each.judged for each in both], [float(each.correct) for each in both]
    groups = [each.recording for each in both]
    rank = spearman(scores, correct, groups, seed)  # type: ignore[arg-type]
    return Validation(rank, calibration(scores, correct, groups, seed=seed), len(both))  # type: ignore[arg-type]
