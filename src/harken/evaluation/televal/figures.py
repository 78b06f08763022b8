"""The report on a run of TELEVAL: a row a set, the IEAT paper's two columns where their sets are whole, and
what others published beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harken.evaluation.humdial.figures import MEASURED, PUBLISHED
from harken.evaluation.published import IEAT_PAPER, TABLE_1, TELEVAL, TELEVAL_AQA
from harken.evaluation.report import Report, Row, bootstrap, figure
from harken.evaluation.spoken_qa import AQA_WEIGHTS, SET_SIZES, Prediction, aqa_ratios, item_score, set_score

MEASURE = "score"


def televal_report(
    system: str, predictions: Mapping[str, Sequence[Prediction]], problems_of_files: int, seed: int = 0
) -> Report:
    """The report. Args: predictions: set -> answers; an empty one was not given, and counts as 0."""
    rows: list[Row] = []
    for name, given in predictions.items():
        unanswered = sum(not each.pred.strip() for each in given)
        row = figure(name, system, MEASURE, set_score(given, seed), len(given))
        rows.append({**row, "unanswered": unanswered, "from": MEASURED})
    why = {column: _why_not(column, predictions) for column in AQA_WEIGHTS}
    for column in (column for column, lacking in why.items() if lacking is None):
        scores = {
            name: [100.0 * item_score(each.pred, each.ref) for each in predictions[name]]
            for name in AQA_WEIGHTS[column]
        }
        value = bootstrap(aqa_ratios(column, scores), seed=seed)
        row = figure(column, system, MEASURE, value, sum(map(len, scores.values())))
        rows.append({**row, "unanswered": None, "from": MEASURED})
    setting = {
        "system": system,
        "score": "share of answers in which a reference occurs, times 100; no answer counts as 0",
        **{column: lacking or _formula(column) for column, lacking in why.items()},
        "sets that are not whole": _parts(predictions) or "none",
        "unanswered questions": sum(not p.pred.strip() for given in predictions.values() for p in given),
        "problems of files": problems_of_files,
        "published figures": f"{TELEVAL}; AQA: {IEAT_PAPER}, Table 1",
    }
    shown = {*predictions, *(column for column, lacking in why.items() if lacking is None)}
    return Report("televal", setting, (*rows, *published_rows(shown)))


def published_rows(shown: set[str]) -> list[Row]:
    """What others published on the sets and columns of `shown`, each marked as published."""
    return [
        {"data": name, "system": row.system, "measure": MEASURE, "value": score, "n": SET_SIZES.get(name),
         "unanswered": None, "from": PUBLISHED}
        for row in (*TELEVAL_AQA, *TABLE_1)
        for name, score in row.scores.items()
        if name in shown
    ]  # fmt: skip


def _why_not(column: str, predictions: Mapping[str, Sequence[Prediction]]) -> str | None:
    """Why a column has no figure; None where all its sets are whole."""
    parts = _parts({name: predictions.get(name, ()) for name in AQA_WEIGHTS[column]})
    return f"none: not whole: {', '.join(parts)}" if parts else None


def _parts(predictions: Mapping[str, Sequence[Prediction]]) -> list[str]:
    """The sets that have more or fewer questions than TELEVAL's, in words."""
    return [
        f"{name} ({len(given)} of {SET_SIZES[name]} questions)"
        for name, given in predictions.items()
        if len(given) != SET_SIZES[name]
    ]


def _formula(column: str) -> str:
    weights = AQA_WEIGHTS[column]
    parts = " + ".join(f"{weight}·{name}" for name, weight in weights.items())
    return f"({parts}) / {sum(weights.values())}"
