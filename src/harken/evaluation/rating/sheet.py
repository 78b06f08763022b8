"""One rater's ratings in a CSV file that several may write to; `harken.evaluation.ratings` reads it.

Each rating is written at once, the file whole or not at all. Rows of others, and columns besides those of a
rating, stay as they are. A second rating of the same takes the place of the first.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from filelock import FileLock

from harken.data.files import write_text
from harken.errors import InputError
from harken.evaluation.ratings import COLUMNS, read_ratings


class Sheet:
    """The ratings of `rater` in the file at `path`."""

    def __init__(self, path: Path, rater: str) -> None:
        """Read what is there. Raises DataError where the file has another format, InputError where nothing
        can be written beside it.
        """
        self.path, self._rater = path, rater
        self.ratings: dict[str, dict[str, float]] = {}
        """Item id -> dimension -> rating."""
        if path.exists():
            for rating in read_ratings(path):
                if rating.rater == rater:
                    self.ratings.setdefault(rating.id, {})[rating.dimension] = rating.rating
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock():
                pass
        except OSError as error:
            raise InputError(
                f"{path}: cannot be written: {error.strerror}", "name another file with --csv"
            ) from None

    def rate(self, id: str, dimension: str, rating: int) -> None:
        """Keep a rating. Raises DataError or InputError where it cannot be."""
        key = {"id": id, "dimension": dimension, "rater": self._rater}
        try:
            with self._lock():
                columns, rows = self._rows()
                kept = [row for row in rows if any((row[name] or "").strip() != key[name] for name in key)]
                self._write(columns, [*kept, {**key, "rating": str(rating)}])
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written: {error.strerror}", "make room, or end and begin again"
            ) from None
        self.ratings.setdefault(id, {})[dimension] = rating

    def _lock(self) -> FileLock:
        return FileLock(self.path.with_name(f".{self.path.name}.lock"))

    def _rows(self) -> tuple[list[str], list[dict[str, str | None]]]:
        """The file's columns and rows, as others may have written them since."""
        if not self.path.exists():
            return list(COLUMNS), []
        read_ratings(self.path)
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            return list(reader.fieldnames or COLUMNS), list(reader)

    def _write(self, columns: list[str], rows: list[dict[str, str | None]]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())
