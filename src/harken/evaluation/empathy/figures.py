"""The report on replies to turns with an emotion: the judge's means by dimension and, where people rated the
same replies, how the two go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harken.evaluation.agreement import pearson
from harken.evaluation.empathy.items import Item
from harken.evaluation.judges.judging import Judging
from harken.evaluation.report import Report, Row, bootstrap, figure, per_item
from harken.evaluation.statistics import Interval

RUBRIC = "empathy-eval"
MEAN = "mean"

Ratings = Mapping[str, Mapping[str, float]]
"""Dimension -> item id -> the mean of people's ratings."""


def empathy_report(
    system: str,
    items: Sequence[Item],
    replied: int,
    judging: Judging | None,
    dimensions: Sequence[str],
    ratings: Ratings | None,
    *,
    problems_of_files: int,
    seed: int = 0,
) -> Report:
    """The report. Args: replied: turns that the system replied to. ratings: None where nobody rated."""
    scores = {name: judging.means(name) if judging else {} for name in dimensions}
    scores[MEAN] = judging.means() if judging else {}
    rows = [_mean_row(name, of_judge, len(items), system, seed) for name, of_judge in scores.items()]
    if ratings is not None:
        rows += _agreement_rows(scores, with_mean(ratings, dimensions), system, seed)
    faults = Counter(judging.faults if judging else {"no judge": replied})
    faults["no reply"] += len(items) - replied
    setting = {
        "system": system,
        "judge": judging.judge if judging else "none",
        "rubric": judging.rubric if judging else "none",
        "trust in the judge": "not tried here: harken evaluate judge --rubric empathy-eval",
        "how": "the judge describes the reply in free words first, and then scores it",
        "emotions": dict(Counter(item.emotion for item in items)),
        "unscored replies": {reason: n for reason, n in faults.items() if n} or "none",
        "problems of files": problems_of_files,
    }
    return Report("empathy", setting, tuple(rows))


def _mean_row(name: str, judged: Mapping[str, float], turns: int, system: str, seed: int) -> Row:
    value = bootstrap(per_item(list(judged.values())), seed=seed) if judged else None
    return _row(name, system, "judged, 1 to 5", value, len(judged), turns - len(judged))


def _agreement_rows(scores: Ratings, ratings: Ratings, system: str, seed: int) -> list[Row]:
    rows = []
    for name, rated in ratings.items():
        both = [id for id in scores.get(name, {}) if id in rated]
        if not both:
            rows.append(_row(name, system, "Pearson of judge and people", None, 0))
            continue
        ours, theirs = [scores[name][id] for id in both], [rated[id] for id in both]
        value = pearson(ours, theirs, seed=seed)
        rows.append(_row(name, system, "Pearson of judge and people", value, len(both)))
        rows.append(_row(name, system, "rated by people", bootstrap(per_item(theirs), seed=seed), len(both)))
    return rows


def with_mean(ratings: Ratings, dimensions: Sequence[str]) -> Ratings:
    """With the mean of the items that are rated on all of a rubric's dimensions, where people rated all: a
    judge's mean is over all as well.
    """
    if not set(dimensions) <= ratings.keys():
        return ratings
    whole = set.intersection(*(set(rated) for rated in ratings.values()))
    mean = {id: sum(rated[id] for rated in ratings.values()) / len(ratings) for id in sorted(whole)}
    return {**ratings, MEAN: mean}


def _row(
    data: str, system: str, measure: str, value: Interval | None, n: int, unscored: int | None = None
) -> Row:
    shown = [value.value, value.low, value.high] if value else None
    return {**figure(data, system, measure, 0.0, n), "value": shown, "unscored": unscored}
