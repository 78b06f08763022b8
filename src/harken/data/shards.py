"""Shards: a data set on disk as a folder of numbered Parquet files of rows, each with its audio in one tar.

    rows-00012.parquet    the rows; it is written last, so where it stands its shard is whole
    audio-00012.tar       the recordings that they name (`audio-00012.tar::NAME`), where they name any
    dropped-00012.jsonl   the rows that were left out of it, and why

Equal rows and recordings give equal bytes. Every file is written under a temporary name and renamed. What
rows look like in Arrow is left to `harken.data.arrow`, which rows make a shard to `harken.data.build`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import harken
from harken.audio.io import read
from harken.data.arrow import HARKEN_KEY, SCHEMA, SCHEMA_KEY, SCHEMAS, pa, pq, to_batch, to_rows
from harken.data.rows import Row
from harken.data.steps.base import Dropped
from harken.data.workspace import IN_TAR, WORK, Workspace
from harken.errors import DataError, HarkenError

STEP = "write"
UNREADABLE, UNSTORABLE = "audio cannot be read", "cannot be stored"

_BATCH = 512  # rows in memory at a time, and in a row group
_NAME = re.compile(r"(rows|dropped)-(\d{5,})\.(parquet|jsonl)")
_DAMAGE = (pa.ArrowException, OSError, UnicodeError)  # what reading a damaged file raises
_REBUILD = "build it again with `harken data build`"


@dataclass(frozen=True)
class DroppedRow:
    """A line of `dropped-*.jsonl`: a row that was left out, the step that did so and its reason."""

    id: str
    source: str
    step: str
    reason: str
    detail: str = ""


def rows_path(folder: Path, number: int) -> Path:
    return folder / f"rows-{number:05d}.parquet"


def tar_path(folder: Path, number: int) -> Path:
    return folder / f"audio-{number:05d}.tar"


def dropped_path(folder: Path, number: int) -> Path:
    return folder / f"dropped-{number:05d}.jsonl"


def write_shard(
    folder: Path, number: int, rows: Iterable[Row], workspace: Workspace, dropped: Sequence[Dropped] = ()
) -> list[Dropped]:
    """Write a shard with the recordings that its rows name: the tar, what was dropped, then the rows.

    A recording from `work:` keeps its name; one of a source goes in as it is, under its hash. A shard of this
    number that stands already is replaced.

    Args:
        dropped: what earlier steps left out of this shard.

    Returns:
        The rows left out here: a recording of theirs is missing or cannot be heard, or Parquet cannot hold
        them (half a surrogate pair in a text, for one).

    Raises DataError for two rows of one id, and where the folder cannot be written, a full disk for one:
    then nothing of the shard stands.
    """
    tar = tar_path(folder, number)
    rows = list(rows)
    unstorable = _unstorable(rows)
    without = {one.row.id for one in unstorable}
    kept, members, unreadable = _pack((row for row in rows if row.id not in without), workspace, tar.name)
    left_out = [*unstorable, *unreadable]
    last, beside = rows_path(folder, number), dropped_path(folder, number)
    _remove(last)
    try:
        if members:
            _write_tar(tar, members, workspace)
        else:
            _remove(tar)
        _write_dropped(beside, [*dropped, *left_out])
        write_rows(last, kept)
    except BaseException:
        _remove(tar, beside)
        raise
    return left_out


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write a Parquet file of rows, their audio left where it is; gives how many there were.

    Raises DataError for two rows of one id and for a file that cannot be written; then none stands.
    """
    seen: set[str] = set()
    todo = iter(rows)
    with (
        _whole_file(path) as file,
        pq.ParquetWriter(file, SCHEMA, compression="zstd", write_page_checksum=True) as writer,
    ):
        while batch := list(islice(todo, _BATCH)):
            for row in batch:
                if row.id in seen:
                    raise DataError(
                        f"{path}: two rows have the id {row.id!a}", "drop one, or tell them apart (`derive`)"
                    )
                seen.add(row.id)
            writer.write_batch(to_batch(batch))
    return len(seen)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, or of all shards in a folder in their order, a few at a time.

    Raises DataError naming the file where it is missing, damaged, cut short, not one of Harken's, or of a
    schema version that this Harken does not read.
    """
    for one in row_files(path):
        with _opened(one) as file:
            _check_schema(file, one)
            missing = file.metadata.num_rows
            try:
                for batch in file.iter_batches(batch_size=_BATCH, use_threads=False):
                    missing -= batch.num_rows
                    yield from to_rows(batch)
            except _DAMAGE as error:
                raise DataError(f"{one}: is damaged: {_one_line(error)}", _REBUILD) from None
            if missing:  # damaged page headers may read as no rows
                raise DataError(f"{one}: is damaged: {missing} rows cannot be read", _REBUILD)


def row_files(path: Path) -> list[Path]:
    """The Parquet file itself, or those of all shards in a folder in their order.

    Raises DataError where a folder holds none.
    """
    paths = list(_numbered(path, "rows").values()) if path.is_dir() else [path]
    if not paths:
        raise DataError(f"{path}: holds no rows", "name a folder that `harken data build` made")
    return paths


def complete(folder: Path) -> set[int]:
    """The numbers of the shards that stand: those whose rows are there to the last byte of their footer.

    Raises DataError where a shard is of a schema version that this Harken does not read.
    """
    standing = set()
    for number, path in _numbered(folder, "rows").items():
        try:
            file = _opened(path)
        except DataError:
            continue  # cut short: as if it had not been written
        with file:
            _check_schema(file, path)
        standing.add(number)
    return standing


def read_dropped(path: Path) -> Iterator[DroppedRow]:
    """The lines of one `dropped-*.jsonl`, or of all in a folder. Raises DataError naming file and line."""
    for one in _numbered(path, "dropped").values() if path.is_dir() else [path]:
        try:
            with one.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    yield _dropped_row(line, f"{one} line {number}")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{one}: cannot be read: {_one_line(error)}", _REBUILD) from None


def _dropped_row(line: str, where: str) -> DroppedRow:
    try:
        return DroppedRow(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: {error}", _REBUILD) from None


def _pack(
    rows: Iterable[Row], workspace: Workspace, tar: str
) -> tuple[list[Row], dict[str, str], list[Dropped]]:
    """Rows with their audio named in the tar, the tar's members (name -> reference), rows without audio."""
    names: dict[str, str] = {}  # reference -> member
    kept: list[Row] = []
    members: dict[str, str] = {}
    unreadable: list[Dropped] = []
    for row in rows:
        references = _references(row)
        try:
            for reference in references:
                if reference not in names:
                    names[reference] = _member(reference, workspace)
        except HarkenError as error:
            unreadable.append(Dropped(row, STEP, UNREADABLE, error.message))
            continue
        members |= {names[reference]: reference for reference in references}
        kept.append(
            _renamed(row, {reference: f"{tar}{IN_TAR}{names[reference]}" for reference in references})
        )
    return kept, members, unreadable


def _unstorable(rows: Sequence[Row]) -> list[Dropped]:
    try:
        to_batch(rows)
    except DataError as error:
        if len(rows) == 1:
            return [Dropped(rows[0], STEP, UNSTORABLE, error.message)]
        return [one for row in rows for one in _unstorable([row])]
    return []


def _references(row: Row) -> list[str]:
    instruction = row.instruction.audio if row.instruction else None
    return [audio for audio in (*(turn.audio for turn in row.turns), instruction) if audio is not None]


def _member(reference: str, workspace: Workspace) -> str:
    """What a recording is called in the tar. Raises HarkenError where it cannot be read or, if it comes from
    a source and nobody may have opened it yet, cannot be heard."""
    data = workspace.data(reference)
    if reference.startswith(WORK):
        return reference.removeprefix(WORK)
    read(data, name=reference)
    return hashlib.sha256(data).hexdigest()[:20] + PurePosixPath(reference).suffix


def _renamed(row: Row, names: Mapping[str, str]) -> Row:
    turns = tuple(
        replace(turn, audio=names[turn.audio]) if turn.audio is not None else turn for turn in row.turns
    )
    said = row.instruction
    if said and said.audio is not None:
        said = replace(said, audio=names[said.audio])
    return replace(row, turns=turns, instruction=said)


def _write_tar(path: Path, members: Mapping[str, str], workspace: Workspace) -> None:
    with _whole_file(path) as file, tarfile.open(fileobj=file, mode="w", encoding="utf-8") as tar:
        for name, reference in sorted(members.items()):
            data = workspace.data(reference)
            member = tarfile.TarInfo(name)  # of mode 644, user and group 0, time 0
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    with _whole_file(path) as file:
        for one in dropped:
            line = DroppedRow(one.row.id, one.row.source, one.step, one.reason, one.detail)
            text = json.dumps(asdict(line), ensure_ascii=False)
            file.write(
                text.encode(errors="backslashreplace") + b"\n"
            )  # half a surrogate pair, as JSON has it


@contextmanager
def _whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name once it is whole and on the disk. Raises DataError naming the folder."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def _remove(*paths: Path) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path.parent}: {path.name} cannot be written: {error.strerror or _one_line(error)}",
        "free some room or name another folder, then run it again: it continues",
    )


def _numbered(folder: Path, kind: str) -> dict[int, Path]:
    """Number -> file of the shards' files of one kind in a folder, which need not be there."""
    paths = folder.iterdir() if folder.is_dir() else ()
    found = [(match, path) for path in paths if (match := _NAME.fullmatch(path.name)) and match[1] == kind]
    return dict(sorted((int(match[2]), path) for match, path in found))


def _opened(path: Path) -> Any:
    """A Parquet file whose footer is whole. Raises DataError."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file or folder", "check the path") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: is cut short or no Parquet file: {_one_line(error)}", _REBUILD) from None


def _check_schema(file: Any, path: Path) -> None:
    """Raises DataError unless the rows in a file are of the form that this Harken reads."""
    metadata = file.schema_arrow.metadata or {}
    if SCHEMA_KEY not in metadata:
        raise DataError(f"{path}: was not written by Harken", "name a folder that `harken data build` made")
    version, writer = (metadata.get(key, b"?").decode(errors="replace") for key in (SCHEMA_KEY, HARKEN_KEY))
    known = {str(number): schema for number, schema in SCHEMAS.items()}
    if version not in known:
        raise DataError(
            f"{path}: has rows of schema version {version} (Harken {writer}); this Harken "
            f"({harken.__version__}) reads versions {' and '.join(known)}",
            "use the Harken that wrote it, or build it again",
        )
    if not file.schema_arrow.equals(known[version]):
        raise DataError(f"{path}: its columns are not those of schema version {version}", _REBUILD)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
