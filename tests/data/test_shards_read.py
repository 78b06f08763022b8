"""Shards read: rows come back as they went in, and what is damaged or of others is told, never read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shard_rows import make_row

pytest.importorskip("pyarrow", reason="shards need pyarrow (extra data)")

import pyarrow as pa
import pyarrow.parquet as pq

from harken.data.arrow import SCHEMA, SCHEMA_KEY, SCHEMAS
from harken.data.rows import (
    SCHEMA_VERSION,
    Affect,
    Cause,
    Instruction,
    Question,
    Reflection,
    Row,
    Speaker,
    Teacher,
    Turn,
    Vad,
    Word,
)
from harken.data.shards import complete, dropped_path, read_dropped, read_rows, rows_path, write_rows
from harken.errors import DataError

numbers = st.floats(allow_nan=False)
maybe = st.none() | numbers
texts = st.text(max_size=12)
references = st.none() | texts


def tuples(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=2).map(tuple)


vads = st.builds(Vad, numbers, numbers, numbers)
affects = st.builds(
    Affect,
    label=texts,
    confidence=maybe,
    scores=tuples(st.tuples(texts, numbers)),
    vad=st.none() | vads,
    model=references,
    t0=maybe,
    t1=maybe,
)
turns = st.builds(
    Turn,
    text=texts,
    audio=references,
    seconds=maybe,
    units=tuples(st.integers(0, 2**31)),
    words=tuples(st.builds(Word, texts, numbers, numbers)),
    speaker=st.builds(Speaker, references, references, references),
    affect=tuples(affects),
    cause=tuples(st.builds(Cause, st.integers(0, 9), texts)),
    style=references,
)
any_rows = st.builds(
    Row,
    id=texts,
    group=texts,
    lang=texts,
    turns=tuples(turns),
    parents=tuples(texts),
    instruction=st.none() | st.builds(Instruction, texts, references, references, maybe),
    injection=references,
    trace=references,
    target=references,
    qa=st.none() | st.builds(Question, text=texts, evidence=tuples(texts)),
    teacher=st.none() | st.builds(Teacher, texts, texts, texts, texts, st.integers(-(2**63), 2**63 - 1)),
    codec_sha256=references,
    reflections=tuples(st.builds(Reflection, st.integers(0, 999), texts)),
    given=st.integers(0, 999),
    rejected=references,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(any_rows, max_size=3, unique_by=lambda row: row.id))
def test_rows_come_back_as_they_went_in(tmp_path: Path, rows: list[Row]) -> None:
    path = tmp_path / "rows.parquet"
    assert write_rows(path, rows) == len(rows)
    assert list(read_rows(path)) == rows
    before = path.read_bytes()
    write_rows(path, rows)
    assert path.read_bytes() == before


def test_many_rows_come_back_in_order(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", (make_row(str(i)) for i in range(1500)))
    assert [row.id for row in read_rows(tmp_path / "rows.parquet")] == [str(i) for i in range(1500)]
    assert pq.ParquetFile(tmp_path / "rows.parquet").num_row_groups > 1  # read a few at a time


def test_only_what_may_be_none_may_be_null() -> None:
    turn = SCHEMA.field("turns").type.value_type
    assert SCHEMA.field("instruction").nullable and turn.field("audio").nullable
    assert not SCHEMA.field("id").nullable and not turn.field("words").nullable


def test_the_rows_of_a_folder_come_in_the_order_of_its_shards(tmp_path: Path) -> None:
    for number in (100_000, 99_999, 3):
        write_rows(rows_path(tmp_path, number), [make_row(str(number))])
    assert [row.id for row in read_rows(tmp_path)] == ["3", "99999", "100000"]


def with_metadata(path: Path, metadata: dict[bytes, str] | None) -> None:
    table = pa.Table.from_batches([], schema=SCHEMA.with_metadata(metadata))
    pq.write_table(table, path)


def test_other_schema_versions_are_refused(tmp_path: Path) -> None:
    path = rows_path(tmp_path, 0)
    with_metadata(path, {SCHEMA_KEY: str(SCHEMA_VERSION + 1), b"harken.version": "9.1"})
    both = (
        rf"rows-00000.*version {SCHEMA_VERSION + 1} \(Harken 9\.1\).* reads versions 1 and {SCHEMA_VERSION}$"
    )
    with pytest.raises(DataError, match=both):
        list(read_rows(tmp_path))
    with pytest.raises(DataError, match=both):
        complete(tmp_path)


def test_rows_that_were_written_before_there_were_reflections_are_read(tmp_path: Path) -> None:
    row, path = make_row("a"), rows_path(tmp_path, 0)
    write_rows(path, [row])
    before = pq.read_table(path).drop_columns(["reflections", "given", "rejected"])
    pq.write_table(before.cast(SCHEMAS[1]).replace_schema_metadata({SCHEMA_KEY: "1"}), path)
    assert list(read_rows(tmp_path)) == [row] and complete(tmp_path) == {0}
    pq.write_table(before.replace_schema_metadata({SCHEMA_KEY: str(SCHEMA_VERSION)}), path)
    with pytest.raises(DataError, match="its columns are not those of schema version 2"):
        list(read_rows(tmp_path))


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    path = rows_path(tmp_path, 0)
    with_metadata(path, None)
    with pytest.raises(DataError, match=r"rows-00000\.parquet: was not written by Harken"):
        list(read_rows(tmp_path))
    other = pa.table({"id": ["x"]}).replace_schema_metadata({SCHEMA_KEY: str(SCHEMA_VERSION)})
    pq.write_table(other, path)
    with pytest.raises(DataError, match=r"rows-00000\.parquet: its columns"):
        list(read_rows(path))
    for what in (tmp_path / "none.parquet", tmp_path / "none"):
        with pytest.raises(DataError, match="no such file"):
            list(read_rows(what))
    path.unlink()
    with pytest.raises(DataError, match="holds no rows"):
        list(read_rows(tmp_path))


def test_damage_is_told_never_read(tmp_path: Path) -> None:
    """Cut short, or with a byte changed: the rows as they were, or a DataError naming the file."""
    path = tmp_path / "rows-00000.parquet"
    rows = [make_row(str(i), None) for i in range(20)]
    write_rows(path, rows)
    whole = path.read_bytes()
    cut = [whole[:end] for end in range(0, len(whole), len(whole) // 20)]
    flipped = [
        whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :]
        for place in range(4, len(whole), len(whole) // 120)
    ]
    told = 0
    for damaged in (*cut, *flipped):
        path.write_bytes(damaged)
        try:
            assert list(read_rows(path)) == rows
        except DataError as error:
            told += 1
            assert "rows-00000.parquet" in error.message and error.hint
    assert told > len(cut) + len(flipped) // 2


def test_a_broken_line_of_dropped_rows_is_named(tmp_path: Path) -> None:
    path = dropped_path(tmp_path, 0)
    path.write_text('{"id": "a", "source": "s", "step": "t", "reason": "r"}\n{"id": "b"')
    with pytest.raises(DataError, match=r"dropped-00000\.jsonl line 2"):
        list(read_dropped(tmp_path))
    path.write_text('{"id": "a"}\n')
    with pytest.raises(DataError, match=r"dropped-00000\.jsonl line 1"):
        list(read_dropped(path))


def test_without_pyarrow_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["pyarrow"] = None
from harken.errors import MissingExtra
try:
    import harken.data.shards
except MissingExtra as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "pip install 'harken[data]'\n", done.stderr
