"""People's ratings of items, from a CSV file with the columns `id, dimension, rating, rater`.

A row is one rater's rating of one item on one dimension. What a judge agrees with is their mean.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harken.errors import DataError
from harken.evaluation.csv_rows import read_csv

COLUMNS = ("id", "dimension", "rating", "rater")


@dataclass(frozen=True)
class Rating:
    """One rater's rating of one item."""

    id: str
    dimension: str
    rating: float
    rater: str


def read_ratings(path: Path) -> list[Rating]:
    """All ratings of a file, in its order; columns besides those of a rating are left alone.

    Raises: DataError where the file cannot be read, lacks a column, has no rows, or has bad ones; these are
        named with their line numbers.
    """

    def check(columns: Sequence[str]) -> None:
        if lacking := [column for column in COLUMNS if column not in columns]:
            raise DataError(f"{path} has no column {lacking[0]!r}", f"its columns: {', '.join(COLUMNS)}")

    return read_csv(path, check, _read, "ratings")


def mean_ratings(ratings: Iterable[Rating], dimension: str) -> dict[str, float]:
    """Item id -> the mean of its ratings on a dimension, over raters."""
    by_item: dict[str, list[float]] = {}
    for rating in ratings:
        if rating.dimension == dimension:
            by_item.setdefault(rating.id, []).append(rating.rating)
    return {id: sum(of_item) / len(of_item) for id, of_item in by_item.items()}


def _read(rows: csv.DictReader[str]) -> Iterator[Rating | str]:
    """Each row, or what is wrong with it."""
    seen: dict[tuple[str, str, str], int] = {}
    for row in rows:
        line = rows.line_num
        rating = _rating(row)
        if isinstance(rating, str):
            yield f"line {line}: {rating}"
            continue
        first = seen.setdefault((rating.id, rating.dimension, rating.rater), line)
        yield rating if first == line else f"line {line}: rated before by {rating.rater}, in line {first}"


def _rating(row: Mapping[str, str | None]) -> Rating | str:
    values = {column: (row[column] or "").strip() for column in COLUMNS}
    if empty := [column for column, value in values.items() if not value]:
        return f"no {empty[0]}"
    try:
        rating = float(values["rating"])
    except ValueError:
        rating = math.nan
    if not math.isfinite(rating):
        return f"rating {values['rating']!r} is not a number"
    return Rating(values["id"], values["dimension"], rating, values["rater"])
