"""A judge's scores beside what is known otherwise: right or wrong answers, people's ratings, several systems.

They come from a CSV file with the columns `id, score` and at least one of `label` (1 for a right answer, 0
for a wrong one) and `rating` (people's mean). A column `system` says whose answer it is, of several to one
id. An item without a score is one that the judge left unscored.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harken.errors import DataError
from harken.evaluation.agreement import Agreement, agreement, calibration, system_agreement
from harken.evaluation.csv_rows import read_csv
from harken.evaluation.judges.trial_report import trial_row
from harken.evaluation.report import Row

COLUMNS = ("id", "score")
KNOWN = ("label", "rating")
_LABELS = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0}
_HINT = "its columns: id, score, label or rating, and for several systems system"


@dataclass(frozen=True)
class Scored:
    """One answer's score, and what is known of it."""

    id: str
    system: str
    """Empty where the file names none."""
    score: float | None
    label: float | None
    rating: float | None

    @property
    def key(self) -> str:
        return f"{self.system}/{self.id}"


def read_scores(path: Path) -> list[Scored]:
    """All scores of a file, in its order.

    Raises: DataError where the file cannot be read, lacks a column, has no rows, or has bad ones: without an
        id, with an id that occurred before, with nothing known, or with something else than a number. These
        are named with their line numbers.
    """

    def check(columns: Sequence[str]) -> None:
        if lacking := [column for column in COLUMNS if column not in columns]:
            raise DataError(f"{path} has no column {lacking[0]!r}", _HINT)
        if not set(KNOWN) & set(columns):
            raise DataError(f"{path} has neither a column 'label' nor a column 'rating'", _HINT)

    return read_csv(path, check, _read, "scores")


def agreement_rows(scored: Sequence[Scored], data: str, judge: str, seed: int = 0) -> list[Row]:
    """The figures on how far the scores agree with what is known. Answers to one id are resampled together.

    Args: data: what the rows call the file.
    """
    found = [
        (measure, value, n)
        for known in KNOWN
        if (theirs := _known(scored, known))
        for measure, value, n in _figures(scored, known, theirs, seed)
    ]
    unscored = sum(each.score is None for each in scored)
    found.append(("unscored", unscored, len(scored)))
    return [trial_row(data, judge, *figure) for figure in found]


def _figures(
    scored: Sequence[Scored], known: str, theirs: Mapping[str, float], seed: int
) -> list[tuple[str, object, int]]:
    ours = {each.key: each.score for each in scored if each.score is not None and each.key in theirs}
    if not ours:
        return [(f"scored items with a {known}", 0, len(theirs))]
    id_of = {each.key: each.id for each in scored}
    rows = _in_order(agreement(ours, theirs, id_of, seed), known)
    if known == "label":
        keys = list(ours)
        fit = calibration(
            [ours[key] for key in keys],
            [theirs[key] for key in keys],
            [id_of[key] for key in keys],
            seed=seed,
        )
        levels = {f"{score:g}": chance for score, chance in zip(fit.scores, fit.correct, strict=True)}
        rows += [("P(correct | score)", levels, fit.n), ("error of P(correct | score)", fit.error, fit.n)]
    return rows + _systems(scored, known, ours, theirs, seed)


def _in_order(found: Agreement, known: str) -> list[tuple[str, object, int]]:
    rows: list[tuple[str, object, int]] = [
        (f"Spearman with {known}s", found.spearman, found.n),
        (f"Kendall with {known}s", found.kendall, found.n),
    ]
    if known == "rating":  # a label is no score on the judge's scale
        rows.append(("quadratic kappa with ratings", found.kappa, found.n))
    return rows


def _systems(
    scored: Sequence[Scored],
    known: str,
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    seed: int,
) -> list[tuple[str, object, int]]:
    """Rankings of systems, where there are two or more; over the ids that all of them have."""
    judged: dict[str, dict[str, float]] = {}
    measured: dict[str, dict[str, float]] = {}
    for each in scored:
        if each.key in ours:
            judged.setdefault(each.system, {})[each.id] = ours[each.key]
            measured.setdefault(each.system, {})[each.id] = theirs[each.key]
    if len(judged) < 2:
        return []
    found = system_agreement(judged, measured, seed)
    ids = {id for of_system in judged.values() for id in of_system}
    swapped = [f"{first} over {second}" for first, second in found.swapped]
    return [
        (f"Kendall of systems by {known}s", found.kendall, found.n),
        (f"systems swapped against {known}s", swapped or "none", len(judged)),
        ("ids that not all systems have", len(ids) - found.n, len(ids)),
    ]


def _known(scored: Sequence[Scored], known: str) -> dict[str, float]:
    values = ((each.key, getattr(each, known)) for each in scored)
    return {key: value for key, value in values if value is not None}


def _read(rows: csv.DictReader[str]) -> Iterator[Scored | str]:
    """Each row, or what is wrong with it."""
    seen: dict[str, int] = {}
    for row in rows:
        line, scored = rows.line_num, _scored(row)
        if isinstance(scored, str):
            yield f"line {line}: {scored}"
            continue
        first = seen.setdefault(scored.key, line)
        of = f" of {scored.system}" if scored.system else ""
        yield scored if first == line else f"line {line}: id {scored.id}{of} again, after line {first}"


def _scored(row: Mapping[str, str | None]) -> Scored | str:
    values = {name: (row.get(name) or "").strip() for name in ("id", "system", "score", *KNOWN)}
    if not values["id"]:
        return "no id"
    try:
        numbers = {name: _number(name, values[name]) for name in ("score", *KNOWN)}
    except ValueError as error:
        return str(error)
    if numbers["label"] is None and numbers["rating"] is None:
        return f"id {values['id']} has neither label nor rating"
    return Scored(values["id"], values["system"], **numbers)


def _number(name: str, text: str) -> float | None:
    """None for nothing. Raises ValueError that says what is wrong."""
    if not text:
        return None
    if name == "label":
        if text.lower() not in _LABELS:
            raise ValueError(f"label {text!r} is neither 1 nor 0")
        return _LABELS[text.lower()]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} {text!r} is not a number")
    return number
