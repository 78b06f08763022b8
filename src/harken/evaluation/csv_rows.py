"""CSV files that people hand over, read to their end, so that one error names all bad rows."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from harken.errors import DataError

NAMED = 5
"""Bad rows that an error names; it says how many more there are."""

Found = TypeVar("Found")


def read_csv(
    path: Path,
    check: Callable[[Sequence[str]], None],
    read: Callable[[csv.DictReader[str]], Iterable[Found | str]],
    what: str,
) -> list[Found]:
    """The rows of a file.

    Args:
        check: is given the columns, and raises DataError where they do not do.
        read: gives each row, or what is wrong with it in words.
        what: the rows are, as an error calls them.

    Raises: DataError where the file cannot be read, has no rows, or has bad ones.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            check(rows.fieldnames or ())
            found = list(read(rows))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}", "is it a CSV file in UTF-8?") from None
    if bad := [row for row in found if isinstance(row, str)]:
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise DataError(f"{path}: {'; '.join(bad[:NAMED])}{more}", "mend or remove these rows")
    if not found:
        raise DataError(f"{path} has no {what}")
    return [row for row in found if not isinstance(row, str)]
