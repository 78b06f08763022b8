"""HumDial's scores: what the judge's verdicts come to, by dimension, by task, and the final score.

A verdict that is missing is unscored: it is counted, never a 1 and never dropped in silence (the official
scripts do both). Every mean has a bootstrap interval, dialogues resampled. Asking the judge and reading its
answers is left to `harken.evaluation.judges`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harken.evaluation.language import Language, written_in
from harken.evaluation.report import bootstrap, per_item
from harken.evaluation.statistics import Interval, Ratios


@dataclass(frozen=True)
class Task:
    """One task of the track."""

    name: str
    dimensions: tuple[str, str, str]
    scale: tuple[int, ...]
    """The scores that there are. Tasks 1 and 2 have three, and what a judge gives between them is snapped."""


D1, D2, D3 = "textual_empathy_insight", "vocal_empathy_congruence", "audio_quality_naturalness"
TASKS = {
    1: Task("trajectory", ("Accuracy_Completeness", "Depth_Granularity", "Added_Value"), (1, 3, 5)),
    2: Task("reasoning", ("Information_Integration", "Insight_RootCause", "Clarity_Logic"), (1, 3, 5)),
    3: Task("empathy", (D1, D2, D3), (1, 2, 3, 4, 5)),
}
"""By number. The challenge has people rate D2 and D3 on its test set."""
MEAN = "mean"
"""Names a task's mean beside its dimensions."""

WEIGHTS = {(1, MEAN): 0.2, (2, MEAN): 0.2, (3, D1): 0.1, (3, D2): 0.25, (3, D3): 0.25}
"""In the final score: (task number, what of it) -> its share."""

Scores = Mapping[str, float | None]
"""A score for each dimension; None where the judge gave none that is on the scale."""


@dataclass(frozen=True)
class Verdict:
    """How one dialogue's reply was judged; `scores` is None where that cannot be said."""

    dialogue_id: str
    scores: Scores | None


@dataclass(frozen=True)
class Mean:
    """A mean of scores with its 95 % interval, and how many verdicts are in it and how many are not."""

    value: Interval | None
    """None where nothing is scored."""
    scored: int
    unscored: int


def snapped(score: float) -> float:
    """A score of task 1 or 2 on their scale: up to 2 is 1, up to 4 is 3, above is 5."""
    return 1.0 if score <= 2 else 3.0 if score <= 4 else 5.0


def judged(
    dialogue_id: str, task: Task, reply: str, language: Language, scores: Mapping[str, float] | None
) -> Verdict:
    """The verdict on a reply: its `scores`, or 1 in every dimension for one in the other language.

    A score that is missing or not from 1 to 5 is None; those of tasks 1 and 2 are snapped.

    Args: language: that of the dialogue. scores: dimension -> number; None where there is no verdict.
    """
    if wrong_language(reply, language):
        return Verdict(dialogue_id, dict.fromkeys(task.dimensions, 1.0))
    given = {name: _on_scale((scores or {}).get(name), task) for name in task.dimensions}
    return Verdict(dialogue_id, given if any(score is not None for score in given.values()) else None)


def wrong_language(reply: str, language: Language) -> bool:
    """Whether a reply is in the other language; one without letters of either is in none."""
    return written_in(reply) not in (language, None)


def task_means(task: Task, verdicts: Sequence[Verdict], seed: int = 0) -> dict[str, Mean]:
    """The mean of each dimension, and `MEAN` over verdicts that score all three; from 1 to 5.

    Several verdicts on one dialogue are resampled together. Args: seed: draws the bootstrap samples.
    """
    means = {}
    for name in (*task.dimensions, MEAN):
        groups, values = _scored(task, verdicts, name)
        value = bootstrap(per_item(values), groups, seed) if values else None
        means[name] = Mean(value, len(values), len(verdicts) - len(values))
    return means


def final_interval(
    verdicts: Mapping[Language, Mapping[int, Sequence[Verdict]]], seed: int = 0
) -> Interval | None:
    """The final score with its 95 % interval: that of one language, or of both combined.

    None where a part of it has no score. The interval takes ten dialogues or more of each task: with fewer,
    draws that leave a task out bend it. Args: verdicts: language -> task number -> verdicts.
    """
    parts = [
        (language, weight / len(verdicts), *_scored(TASKS[number], by_task.get(number, ()), name))
        for language, by_task in verdicts.items()
        for (number, name), weight in WEIGHTS.items()
    ]
    if not parts or not all(values for *_, values in parts):
        return None
    part_of = np.repeat(np.arange(len(parts)), [len(values) for *_, values in parts])
    below = np.eye(len(parts))[part_of]  # (scores, parts)
    scores = [value * weight for _, weight, _, values in parts for value in values]
    above = below * np.array(scores)[:, None] * len(parts)  # `Ratios` average over parts; this is their sum
    groups = [f"{language} {name}" for language, _, names, _ in parts for name in names]
    return bootstrap(Ratios(above, below), groups, seed)


def _scored(task: Task, verdicts: Sequence[Verdict], name: str) -> tuple[list[str], list[float]]:
    """The dialogues of the verdicts that have a score under `name`, and those scores."""
    wanted = task.dimensions if name == MEAN else (name,)
    groups, values = [], []
    for verdict in verdicts:
        scores = [verdict.scores.get(dimension) for dimension in wanted] if verdict.scores else [None]
        given = [score for score in scores if score is not None]
        if len(given) == len(wanted):
            groups.append(verdict.dialogue_id)
            values.append(sum(given) / len(given))
    return groups, values


def _on_scale(score: float | None, task: Task) -> float | None:
    if score is None or not 1 <= score <= 5:  # not a number is not on it either
        return None
    return snapped(score) if task.scale == (1, 3, 5) else float(score)
