"""Verdicts on HumDial's tasks whose means are the columns of a published table."""

from __future__ import annotations

from harken.evaluation.humdial.scores import TASKS, Verdict


def judged_as(task1: float, task2: float, d1: float, d2: float, d3: float) -> dict[int, list[Verdict]]:
    """One dialogue a task. Args: task1, task2: their means. d1, d2, d3: of task 3's dimensions."""
    scores = {1: (task1,) * 3, 2: (task2,) * 3, 3: (d1, d2, d3)}
    return {
        number: [Verdict("dialogue", dict(zip(task.dimensions, scores[number], strict=True)))]
        for number, task in TASKS.items()
    }
