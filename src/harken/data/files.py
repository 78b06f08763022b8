"""Files of text: written whole or not at all, and read as JSON lines whose faults are named.

What is in them is left to whoever writes and reads.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harken.errors import DataError


def write_text(path: Path, text: str, lasting: bool = True) -> None:
    """Write a file whole or not at all; where it is to be lasting, through to the disk."""
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        if lasting:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects in a file of JSON lines, gzipped or not, with their row numbers from 1.

    Raises: DataError where the file cannot be read to its end, or a row is not an object (it names the row).
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                yield number, _object(line, f"{path} row {number}")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}", "fetch or write the file again") from None


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: is not JSON: {error}", "mend or remove the row") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: is not a JSON object", "mend or remove the row")
    return row
