"""The report on questions about recordings: judged means by type, direct types apart, keyword scores beside
them, and whether the judge's scores go with the keywords'."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harken.evaluation.judges.judging import Judging
from harken.evaluation.paralinguistic.items import CONTEXTUAL, DIRECT, TYPES, Item, Type
from harken.evaluation.paralinguistic.objective import (
    UNNAMED,
    Labelled,
    accuracy,
    f1,
    labelled,
    validation,
)
from harken.evaluation.report import Report, Row, bootstrap, figure, per_item
from harken.evaluation.statistics import Interval

RUBRIC = "paralinguistic-qa"
DIMENSION = "correctness"
JUDGED = "judged correctness"
_ALL, _CONTEXTUAL, _DIRECT = "all types", " ".join(CONTEXTUAL), " ".join(DIRECT)
_KEYWORD = "the one emotion or gender that an answer names, by keyword alone; none or several is wrong"
_GIVEN_AWAY = (
    f"{_CONTEXTUAL}; {_DIRECT} stand apart and in no mean with them, as metadata give their answers away"
)


def paralinguistic_report(
    system: str,
    items: Sequence[Item],
    answers: Mapping[str, str],
    judging: Judging | None,
    *,
    told: str | None,
    about: Mapping[str, object],
    seed: int = 0,
) -> Report:
    """The report.

    Args:
        items: with their own labels, whatever the system was told. answers: item id -> text.
        told: whose metadata the system was told; None for no metadata.
        about: what else to say of the run.
    """
    judged = judging.means(DIMENSION) if judging else {}
    direct = labelled(items, answers, judged)
    groups: list[tuple[str, Sequence[Type]]] = [(each, (each,)) for each in TYPES]
    groups += [(_CONTEXTUAL, CONTEXTUAL), (_DIRECT, DIRECT)]
    if told is None:
        groups.append((_ALL, TYPES))
    rows = [
        _judged_row(name, [item for item in items if item.type in types], judged, system, seed)
        for name, types in groups
        if any(item.type in types for item in items)
    ]
    rows += _objective_rows(items, direct, system, seed) + _validation_rows(direct, system, seed)
    faults = Counter(judging.faults if judging else {"no judge": len(answers)})
    faults["no answer of the system's"] += len(items) - len(answers)
    setting = {
        "system": system,
        "judge": judging.judge if judging else "none",
        "rubric": judging.rubric if judging else "none",
        "metadata": told or "none (implicit)",
        "headline": _GIVEN_AWAY if told else f"{_ALL}; {_DIRECT} ask for what metadata would give away",
        "questions": dict(Counter(f"{item.lang} {item.type}" for item in items)),
        "means": "over questions; questions about one recording are resampled together",
        "unscored questions": {reason: n for reason, n in faults.items() if n} or "none",
        "labels of answers": _KEYWORD,
        "direct answers without one label": sum(each.answered == UNNAMED for each in direct),
        **about,
    }
    return Report("paralinguistic", setting, tuple(rows))


def _judged_row(name: str, items: Sequence[Item], judged: Mapping[str, float], system: str, seed: int) -> Row:
    scored = [item for item in items if item.id in judged]
    value = None
    if scored:
        scores = per_item([judged[item.id] for item in scored])
        value = bootstrap(scores, [str(item.recordings[-1]) for item in scored], seed)
    return _row(name, system, JUDGED, value, len(scored), len(items) - len(scored))


def _objective_rows(items: Sequence[Item], direct: Sequence[Labelled], system: str, seed: int) -> list[Row]:
    rows = []
    for asked in DIRECT:
        of_type = [each for each in direct if each.item.type == asked]
        if not of_type:
            continue
        unscored = sum(item.type == asked for item in items) - len(of_type)
        for measure, value in (("weighted accuracy", accuracy), ("F1, mean of classes", f1)):
            rows.append(
                _row(asked, system, f"{measure}, by keyword", value(of_type, seed), len(of_type), unscored)
            )
    return rows


def _validation_rows(direct: Sequence[Labelled], system: str, seed: int) -> list[Row]:
    """Of the judge, against the keywords."""
    found = validation(direct, seed)
    if found.correct is None:
        return []
    rows = [_row(_DIRECT, system, "Spearman of judged and right by keyword", found.rank, found.n)]
    for score, probability in zip(found.correct.scores, found.correct.correct, strict=True):
        n = sum(each.judged == score for each in direct)
        rows.append(_row(_DIRECT, system, f"P(right by keyword | judged {score:g})", probability, n))
    error = found.correct.error
    return [*rows, _row(_DIRECT, system, "error of these P, on unseen recordings", error, found.n)]


def _row(
    data: str,
    system: str,
    measure: str,
    value: Interval | float | None,
    n: int,
    unscored: int | None = None,
) -> Row:
    shown = {"value": None} if value is None else {}
    row = figure(data, system, measure, 0.0 if value is None else value, n)
    return {**row, **shown, "unscored": unscored}
