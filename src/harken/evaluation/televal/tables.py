"""Rows of a data set's files: JSON lines, or Parquet as the hub gives it, whose audio column holds bytes.

Which columns there are is a mapping that the user can correct. What rows mean is left to `televal.sets`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from harken.errors import InputError
from harken.evaluation.problems import Problem, json_objects
from harken.recipes import Frozen

ENDINGS = (".jsonl", ".parquet")
_BATCH = 64  # rows of Parquet, with their audio, in memory at a time
_HINT = 'for example: key = "id", answer = "references", and under [sets] my_trivia = "triviaqa-en"'


class Columns(Frozen):
    """What a file calls its columns, and its sets."""

    key: str = "key"
    audio: str = "audio"
    query: str = "query"
    answer: str = "answer"
    sets: dict[str, str] = Field(default_factory=dict)
    """Name of a file or folder -> the set that it holds."""


@dataclass(frozen=True)
class Line:
    """A row as a file has it; what the file lacks is None."""

    where: str
    """In words, for problems."""
    key: Any
    query: Any
    answer: Any
    audio: bytes | str | None
    """The bytes of a recording, or where it lies."""


def read_columns(path: Path | None) -> Columns:
    """The columns that a TOML file names; the rest, or all with None, are those of the hub.

    Raises: InputError where it cannot be read or names something else.
    """
    if path is None:
        return Columns()
    try:
        return Columns(**tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", _HINT) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not TOML: {error}", _HINT) from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}", _HINT) from None


def lines_of(path: Path, columns: Columns, with_audio: bool) -> Iterator[Line | Problem]:
    """The rows of a file, and what is wrong with it. Raises MissingExtra for Parquet without pyarrow."""
    if path.suffix == ".parquet":
        yield from _parquet(path, columns, with_audio)
        return
    objects, problems = json_objects(path)
    yield from problems
    for number, row in objects:
        audio = _audio(row.get(columns.audio))
        yield Line(
            f"line {number}", row.get(columns.key), row.get(columns.query), row.get(columns.answer), audio
        )


def _parquet(path: Path, columns: Columns, with_audio: bool) -> Iterator[Line | Problem]:
    from harken.data.arrow import pa, pq

    try:
        with pq.ParquetFile(path) as file:
            there = file.schema_arrow.names
            wanted = (columns.key, columns.query, columns.answer, *([columns.audio] if with_audio else []))
            number = 0
            for batch in file.iter_batches(_BATCH, columns=[name for name in wanted if name in there]):
                for row in batch.to_pylist():
                    number += 1
                    audio = _audio(row.get(columns.audio))
                    answer = _from_json(row.get(columns.answer))
                    yield Line(f"row {number}", row.get(columns.key), row.get(columns.query), answer, audio)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        yield Problem(path, None, f"cannot be read on: {' '.join(str(error).split())[:300]}")


def _audio(value: object) -> bytes | str | None:
    """The hub's struct of bytes and path, one of the two, or nothing."""
    match value:
        case {"bytes": bytes() as data} if data:
            return data
        case {"path": str() as path} if path:
            return path
        case bytes() | str() if value:
            return value
    return None


def _from_json(answer: object) -> object:
    """A list or tuple that the hub keeps as JSON in a column of text; another text is itself."""
    if not isinstance(answer, str):
        return answer
    try:
        value = json.loads(answer)
    except (ValueError, RecursionError):
        return answer
    return value if isinstance(value, list | dict) else answer
