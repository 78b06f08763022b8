"""How far a scorer agrees: with the grades that the rules imply, with replies of known order, with a judge
and with people. Where a figure has a second one, "left out", that is of heads which were fitted without the
kind of bad reply that is scored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from harken.evaluation.agreement import agreement
from harken.evaluation.empathy_scorer.graded import GradedReply
from harken.evaluation.empathy_scorer.rules import DIMENSIONS, FAMILIES, GOLD
from harken.evaluation.empathy_scorer.views import Fitted, Replies
from harken.evaluation.planted import GENERIC, OTHER_TURN, QUALITIES, Planted, auc
from harken.evaluation.report import Row, bootstrap, per_item
from harken.evaluation.statistics import Floats, Interval

MEAN = "mean"
HELD_OUT, PLANTED = "held-out dialogues", "starter dialogues"
KNOWN_RULES = {(GOLD, GENERIC): "generic", (GOLD, OTHER_TURN): "off the point"}
"""Planted qualities -> the family of rules that makes replies of the worse one's kind."""

Table = Mapping[str, Mapping[str, float]]
"""Dimension or `MEAN` -> reply id -> score."""


def table(replies: Sequence[GradedReply], scores: Floats) -> Table:
    """Scores (M, K) by id."""
    by_name = {name: scores[:, place] for place, name in enumerate(DIMENSIONS)} | {MEAN: scores.mean(1)}
    ids = [reply.id for reply in replies]
    return {name: dict(zip(ids, column.tolist(), strict=True)) for name, column in by_name.items()}


def grades(replies: Sequence[GradedReply]) -> Table:
    """What the rules imply."""
    return table(replies, np.array([reply.grades for reply in replies], dtype=float))


def agreement_rows(
    who: str,
    ours: Table,
    whose: str,
    theirs: Table,
    replies: Sequence[GradedReply],
    left_out: Table | None = None,
    seed: int = 0,
) -> list[Row]:
    """Spearman, Kendall and quadratic kappa by dimension, over replies that both have scored."""
    groups = {reply.id: reply.scene.group for reply in replies}
    rows: list[Row] = []
    for name in (*DIMENSIONS, MEAN):
        if name not in theirs or not ours[name].keys() & theirs[name].keys():
            continue
        seen = agreement(ours[name], theirs[name], groups, seed)
        unseen = agreement(left_out[name], theirs[name], groups, seed) if left_out else None
        for measure, field in (
            ("Spearman", "spearman"),
            ("Kendall", "kendall"),
            ("quadratic kappa", "kappa"),
        ):
            value, other = getattr(seen, field), getattr(unseen, field, None)
            rows.append(row(HELD_OUT, who, f"{measure} with {whose}, {name}", value, seen.n, other))
    return rows


def family_rows(of: Fitted, replies: Sequence[GradedReply], seed: int = 0) -> list[Row]:
    """For each family, how often the good reply is put above its own, and how far scores are from grades."""
    return [each for family in FAMILIES for each in _family(of, replies, family, seed)]


def planted_rows(of: Fitted, planted: Sequence[Planted], seed: int = 0) -> list[Row]:
    """The AUC of every two qualities, as judges on trial have it, by the mean of the dimensions."""
    rows = []
    for pair in combinations(QUALITIES, 2):
        family = KNOWN_RULES.get(pair)
        value = _order(planted, of.scores.planted, pair, seed)
        other = _order(planted, of.without[family].planted, pair, seed) if family else None
        dialogues = len({each.dialogue for each in planted})
        rows.append(row(PLANTED, of.name, f"AUC, {pair[0]} over {pair[1]}", value, dialogues, other))
    return rows


def rows_of(of: Fitted, replies: Replies, seed: int = 0) -> list[Row]:
    """All that is known of one way of scoring without a judge or people."""
    held_out = replies.held_out
    ours, unseen = table(held_out, of.scores.held_out), table(held_out, of.unseen(held_out))
    return [
        *agreement_rows(of.name, ours, "grades", grades(held_out), held_out, unseen, seed),
        *planted_rows(of, replies.planted, seed),
        *family_rows(of, held_out, seed),
    ]


def row(
    data: str, system: str, measure: str, value: Interval | None, n: int, left_out: Interval | None = None
) -> Row:
    """One row. Args: n: replies, or dialogues of an AUC."""
    shown = [[each.value, each.low, each.high] if each else None for each in (value, left_out)]
    return {
        "data": data, "system": system, "measure": measure, "value": shown[0], "left out": shown[1], "n": n,
    }  # fmt: skip


def _family(of: Fitted, replies: Sequence[GradedReply], family: str, seed: int) -> list[Row]:
    here = [place for place, reply in enumerate(replies) if reply.family == family]
    if not here:
        return []
    groups = [replies[place].scene.group for place in here]
    truth = np.array([replies[place].grades for place in here]).mean(1)
    found: list[tuple[Interval, Interval]] = []
    for scores in (of.scores.held_out, of.without[family].held_out):
        mean = scores.mean(1)
        distance = np.abs(mean[here] - truth)
        found.append((_gold_over(replies, mean, family, seed), bootstrap(per_item(distance), groups, seed)))
    dialogues = len({replies[place].scene.id for place in here})
    (order, distance_seen), (order_unseen, distance_unseen) = found
    return [
        row(HELD_OUT, of.name, f"AUC, gold over {family}", order, dialogues, order_unseen),
        row(HELD_OUT, of.name, f"distance from grades, {family}", distance_seen, len(here), distance_unseen),
    ]


def _gold_over(replies: Sequence[GradedReply], mean: Floats, family: str, seed: int) -> Interval:
    """Over dialogues, of a family's replies to each their mean."""
    by_dialogue: dict[str, dict[str, list[float]]] = {}
    for reply, score in zip(replies, mean.tolist(), strict=True):
        by_dialogue.setdefault(reply.scene.id, {}).setdefault(reply.family, []).append(score)
    pairs = [(found[GOLD][0], np.mean(found[family])) for found in by_dialogue.values() if family in found]
    better, worse = np.array(pairs, dtype=float).T
    return auc(better, worse, seed)


def _order(planted: Sequence[Planted], scores: Floats, pair: tuple[str, str], seed: int) -> Interval:
    mean = scores.mean(1)
    better, worse = (
        np.array([mean[place] for place, each in enumerate(planted) if each.quality == quality])
        for quality in pair
    )
    return auc(better, worse, seed)
