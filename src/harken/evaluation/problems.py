"""What is wrong with files that others wrote, collected one by one while reading goes on.

Training data are refused at their first fault (`harken.data.files`). What is to be scored is read to its end,
and what could not be used is counted: a dropped item would move a mean in silence.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harken.errors import DataError


@dataclass(frozen=True)
class Problem:
    """One fault of one file."""

    file: Path
    id: str | None
    """The dialogue, prediction or the like that it is about; None where that is not known."""
    what: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (str(self.file), self.id, self.what)))


def json_objects(path: Path) -> tuple[list[tuple[int, dict[str, Any]]], list[Problem]]:
    """The objects in a file of JSON lines with their line numbers from 1, and the lines that hold none.

    Empty lines are no problem. Raises: DataError where the file is missing or cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", "name a file of JSON lines") from None
    objects: list[tuple[int, dict[str, Any]]] = []
    problems = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or nested beyond sense
            problems.append(Problem(path, None, f"line {number} is not JSON: {error}"))
            continue
        if isinstance(row, dict):
            objects.append((number, row))
        else:
            problems.append(Problem(path, None, f"line {number} is not a JSON object"))
    return objects, problems
