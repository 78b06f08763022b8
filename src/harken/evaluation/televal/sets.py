"""TELEVAL's sets in a file or folder: each question with its recording and the answers that count.

A set is told by the name of its file, else of a folder that it lies in: `llamaqa-en.jsonl`,
`llamaqa-en/test-00000-of-00001.parquet`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harken.errors import DataError
from harken.evaluation.asking.recordings import file_name, find, write_out
from harken.evaluation.problems import Problem
from harken.evaluation.spoken_qa import SET_SIZES, Reference, read_reference
from harken.evaluation.televal.tables import ENDINGS, Columns, Line, lines_of


@dataclass(frozen=True)
class Item:
    """One question."""

    key: str
    query: str
    answer: Reference
    recording: Path
    """Need not be there where nobody hears it."""
    file: Path
    """That the question is from."""


@dataclass(frozen=True)
class Sets:
    """What is to be asked."""

    items: dict[str, list[Item]]
    """Set -> its questions, in the order of `SET_SIZES`."""
    problems: list[Problem]
    """What was wrong with the rest."""


def read_sets(data: Path, columns: Columns, heard: Path | None, limit: int | None = None) -> Sets:
    """The questions in `data`, a file or a folder.

    Problems are files that are of no set or hold no question, rows without key or answer, keys that occur
    twice, where the first row stays, and recordings that are missing.

    Args:
        heard: where recordings that come as bytes are written; None leaves all recordings alone.
        limit: so many questions of each set at most, the first.

    Raises: DataError where there is no question at all, MissingExtra for Parquet without pyarrow.
    """
    paths = [data] if data.is_file() else sorted(p for p in data.rglob("*") if p.suffix in ENDINGS)
    root = data.parent if data.is_file() else data
    items: dict[str, dict[str, Item]] = {}
    problems: list[Problem] = []
    for path in paths:
        name = _set_of(path, root, columns)
        if name is None:
            problems.append(Problem(path, None, f"is of none of TELEVAL's sets: {', '.join(SET_SIZES)}"))
            continue
        found = items.setdefault(name, {})
        before = len(found)
        for item in _items(path, root, name, columns, heard):
            if isinstance(item, Problem):
                problems.append(item)
            elif item.key in found:
                problems.append(Problem(path, item.key, "occurs again"))
            elif limit is None or len(found) < limit:
                found[item.key] = item
            if limit is not None and len(found) >= limit:
                break
        if len(found) == before and (limit is None or before < limit):
            problems.append(Problem(path, None, "holds no question that can be asked"))
    whole = {name: list(items[name].values()) for name in SET_SIZES if items.get(name)}
    if not whole:
        first = f"; {problems[0]}" if problems else ""
        raise DataError(
            f"{data} holds no question of TELEVAL that can be asked{first}",
            "name a folder of <set>.jsonl or <set>/*.parquet; --columns FILE says what columns are called",
        )
    return Sets(whole, problems)


def _set_of(path: Path, root: Path, columns: Columns) -> str | None:
    within = path.relative_to(root).parts[:-1]
    names = (path.stem, *reversed(within), root.resolve().name)
    called = (columns.sets.get(name, name) for name in names)
    return next((name for name in called if name in SET_SIZES), None)


def _items(
    path: Path, root: Path, name: str, columns: Columns, heard: Path | None
) -> Iterator[Item | Problem]:
    for line in lines_of(path, columns, with_audio=heard is not None):
        yield line if isinstance(line, Problem) else _item(path, root, name, columns, heard, line)


def _item(
    path: Path, root: Path, name: str, columns: Columns, heard: Path | None, line: Line
) -> Item | Problem:
    key = str(line.key) if isinstance(line.key, str | int) else ""
    if not key:
        return Problem(path, None, f"{line.where} has no {columns.key}")
    try:
        answer = read_reference(_in_texts(line.answer))
    except ValueError:
        return Problem(path, key, f"{columns.answer} is missing, empty, or no text, list or tuple")
    query = line.query if isinstance(line.query, str) else ""
    if heard is None:
        named = line.audio if isinstance(line.audio, str) else f"{file_name(key)}.wav"
        return Item(key, query, answer, find(named, path, root) or Path(named), path)
    if isinstance(line.audio, bytes):
        place = heard / name / f"{file_name(key)}.wav"  # whatever is in it: readers look at the bytes
        return Item(key, query, answer, write_out(line.audio, place), path)
    if line.audio is None:
        return Problem(path, key, f"has no {columns.audio}")
    recording = find(line.audio, path, root)
    if recording is None:
        return Problem(path, key, f"the recording {line.audio} is missing")
    return Item(key, query, answer, recording, path)


def _in_texts(answer: object) -> object:
    """An answer with its numbers as text: TELEVAL's own tool writes `1969` for "1969"."""
    match answer:
        case bool() | int() | float():
            return json.dumps(answer)
        case list():
            return [_in_texts(part) for part in answer]
        case {"__tuple__": True, "items": items}:
            return {"__tuple__": True, "items": _in_texts(items)}
    return answer
