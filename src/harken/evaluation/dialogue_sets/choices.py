"""Candidates of a multiple choice: the right answer once, among others that could be right elsewhere.

Wrong trajectories are those of other dialogues, as often as they occur, so that the right one is not told by
being the common one. Wrong causes are those of other turns, of the same dialogue before any other.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from harken.affect.labels import EMOTIONS
from harken.data.groups import normalised

CANDIDATES = 4
Trajectory = tuple[str, ...]
Candidate = TypeVar("Candidate")


def trajectory_candidates(
    gold: Trajectory, others: Sequence[Trajectory], dice: random.Random
) -> tuple[Trajectory, ...]:
    """`gold` and three others of its length, in an order by chance.

    Args: others: trajectories of dialogues. Where too few have the length, near misses are added: `gold` with
        one emotion changed.
    """
    seen = [other for other in dice.sample(others, len(others)) if len(other) == len(gold)]
    misses = [
        (*gold[:place], emotion, *gold[place + 1 :])
        for place in range(len(gold))
        for emotion in EMOTIONS
        if emotion != "other"
    ]
    dice.shuffle(misses)
    wrong = [other for other in dict.fromkeys([*seen, *misses]) if other != gold]
    return _shuffled([gold, *wrong[: CANDIDATES - 1]], dice)


def cause_candidates(
    gold: Sequence[str], near: Sequence[str], far: Sequence[str], dice: random.Random
) -> tuple[str, ...] | None:
    """The first of the `gold` causes and three other causes, in an order by chance; None where there are not
    so many.

    No two candidates hold each other's words, and none but the first of `gold` holds a gold cause or is held
    by one. Args: near: causes in the same dialogue, taken first. far: causes elsewhere.
    """
    chosen: list[str] = []
    taken = [normalised(text) for text in gold]
    for text in [*dice.sample(near, len(near)), *dice.sample(far, len(far))]:
        plain = normalised(text)
        if len(chosen) < CANDIDATES - 1 and plain and not any(plain in t or t in plain for t in taken):
            chosen.append(text)
            taken.append(plain)
    return _shuffled([gold[0], *chosen], dice) if len(chosen) == CANDIDATES - 1 else None


def _shuffled(candidates: list[Candidate], dice: random.Random) -> tuple[Candidate, ...]:
    dice.shuffle(candidates)
    return tuple(candidates)
