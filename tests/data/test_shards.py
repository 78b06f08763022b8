"""Shards: rows and recordings come back as they went in, equal ones in equal bytes, and nothing by halves."""

from __future__ import annotations

import math
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow", reason="shards need pyarrow (extra data)")

import pyarrow as pa
import pyarrow.parquet as pq

from harken.audio.io import write
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
from harken.data.shards import (
    STEP,
    DroppedRow,
    complete,
    dropped_path,
    load_audio,
    read_dropped,
    read_rows,
    rows_path,
    tar_path,
    write_rows,
    write_shard,
)
from harken.data.steps.base import Dropped
from harken.data.workspace import Workspace
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


def make_row(name: str, *audio: str | None, instruction: str | None = None) -> Row:
    """A row with one user's turn for each recording."""
    return Row(
        id=name,
        group="g",
        split="train",
        task="empathy",
        stage="1-2",
        lang="en",
        source="mine",
        licence="CC0",
        shippable=True,
        turns=tuple(Turn("user", f"turn {i}", audio=one) for i, one in enumerate(audio)),
        instruction=Instruction("answer kindly", audio=instruction),
    )


def hum(hz: float, seconds: float = 0.3) -> np.ndarray:
    return 0.3 * np.sin(2 * math.pi * hz * np.arange(int(16_000 * seconds)) / 16_000).astype(np.float32)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A shard in hand with two recordings of its own, `a` and `b`, beside a source with `source/c.wav`."""
    workspace = Workspace(tmp_path / "work", root=tmp_path)
    workspace.save("a", hum(200), 16_000)
    workspace.save("b", hum(300), 16_000)
    (tmp_path / "source").mkdir()
    write(tmp_path / "source" / "c.wav", hum(400), 16_000)
    return workspace


@pytest.fixture
def rows(workspace: Workspace) -> list[Row]:
    """Recordings of both kinds; `work:a.ogg` and `source/c.wav` are named by two rows."""
    return [
        make_row("one", "work:b.ogg", None, "work:a.ogg"),
        make_row("two", "source/c.wav", instruction="work:a.ogg"),
        make_row("three", "source/c.wav"),
    ]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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


def test_a_shard_has_each_recording_once(tmp_path: Path, workspace: Workspace, rows: list[Row]) -> None:
    out = tmp_path / "set"
    assert write_shard(out, 12, rows, workspace) == []
    assert names_in(out) == {"rows-00012.parquet", "audio-00012.tar", "dropped-00012.jsonl"}
    with tarfile.open(out / "audio-00012.tar") as tar:
        members = tar.getnames()
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar} == {(0, 0, 0, "", 0o644)}
    assert members == sorted(members) and {"a.ogg", "b.ogg"} < set(members) and len(members) == 3
    one, two, three = read_rows(out)
    assert one.turns[0].audio == "audio-00012.tar::b.ogg" and one.turns[1].audio is None
    assert two.instruction and two.instruction.audio == one.turns[2].audio == "audio-00012.tar::a.ogg"
    assert two.turns[0].audio == three.turns[0].audio
    assert two.turns[0].audio and two.turns[0].audio.endswith(".wav")
    assert replace(one, turns=rows[0].turns) == rows[0], "nothing but the audio's names changed"
    np.testing.assert_allclose(load_audio(out, two.turns[0].audio).samples, hum(400), atol=1e-3)
    in_hand = workspace.recording("work:b.ogg").samples
    np.testing.assert_array_equal(load_audio(out, one.turns[0].audio).samples, in_hand)


def test_equal_rows_give_equal_bytes(tmp_path: Path, workspace: Workspace, rows: list[Row]) -> None:
    moved = Workspace(tmp_path / "elsewhere")
    for name in ("a.ogg", "b.ogg"):
        moved.folder.mkdir(exist_ok=True)
        (moved.folder / name).write_bytes(workspace.data(f"work:{name}"))
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "other.wav").write_bytes(workspace.data("source/c.wav"))
    there = str(tmp_path / "copy" / "other.wav")
    again = [
        replace(
            row, turns=tuple(replace(t, audio=there) if t.audio == "source/c.wav" else t for t in row.turns)
        )
        for row in rows
    ]
    gone = [Dropped(make_row("gone"), "label", "no speech", "它没有声音")]
    write_shard(tmp_path / "x", 3, rows, workspace, gone)
    write_shard(tmp_path / "y", 3, again, moved, gone)
    assert contents(tmp_path / "x") == contents(tmp_path / "y")


def test_a_source_may_be_a_finished_set(tmp_path: Path, workspace: Workspace, rows: list[Row]) -> None:
    write_shard(tmp_path / "set", 0, rows, workspace)
    first = list(read_rows(tmp_path / "set"))
    finished = Workspace(tmp_path / "work-2", root=tmp_path / "set")
    assert write_shard(tmp_path / "next", 7, first, finished) == []
    second = list(read_rows(tmp_path / "next"))
    assert second[0].turns[0].audio and first[0].turns[0].audio
    assert load_audio(tmp_path / "next", second[0].turns[0].audio).seconds == pytest.approx(0.3)


def test_text_alone_needs_no_tar(tmp_path: Path, workspace: Workspace, rows: list[Row]) -> None:
    write_shard(tmp_path / "set", 1, rows, workspace)
    write_shard(tmp_path / "set", 1, [make_row("text", None)], workspace)
    assert names_in(tmp_path / "set") == {"rows-00001.parquet", "dropped-00001.jsonl"}


@pytest.mark.parametrize(
    ("audio", "part"),
    [
        ("work:none.ogg", "none.ogg"),
        ("source/none.wav", "none.wav"),
        ("source/text.wav", "text.wav"),
        ("source/t.tar::x", "t.tar"),
    ],
)
def test_a_row_that_cannot_be_heard_is_dropped(
    tmp_path: Path, workspace: Workspace, rows: list[Row], audio: str, part: str
) -> None:
    (tmp_path / "source" / "text.wav").write_text("this is no recording")
    mute = make_row("mute", "work:b.ogg", audio)
    earlier = Dropped(make_row("早"), "label", "abstained", "0.31 < 0.5\u2028\nline \ud800")
    kept = [rows[1], rows[2]]
    (gone,) = write_shard(tmp_path / "set", 0, [kept[0], mute, kept[1]], workspace, [earlier])
    assert gone.row == mute and gone.step == STEP and part in gone.detail
    assert [row.id for row in read_rows(tmp_path / "set")] == ["two", "three"]
    with tarfile.open(tar_path(tmp_path / "set", 0)) as tar:
        assert "b.ogg" not in tar.getnames(), "only the dropped row named it"
    assert list(read_dropped(tmp_path / "set")) == [
        DroppedRow("早", "mine", "label", "abstained", earlier.detail),
        DroppedRow("mute", "mine", STEP, gone.reason, gone.detail),
    ]


def test_a_row_that_cannot_be_stored_is_dropped(tmp_path: Path, workspace: Workspace) -> None:
    broken = replace(make_row("broken", "work:a.ogg"), target="half a pair: \ud800")
    (gone,) = write_shard(tmp_path, 0, [make_row("well"), broken], workspace)
    assert gone.row is broken and gone.reason == "cannot be stored"
    assert [row.id for row in read_rows(tmp_path)] == ["well"]
    assert [line.id for line in read_dropped(tmp_path)] == ["broken"]
    with pytest.raises(DataError, match="row 'broken'"):
        write_rows(tmp_path / "rows.parquet", [make_row("well"), broken])
    assert not (tmp_path / "rows.parquet").exists()


def test_two_rows_of_one_id_are_refused(tmp_path: Path, workspace: Workspace, rows: list[Row]) -> None:
    with pytest.raises(DataError, match="two rows have the id 'two'"):
        write_shard(tmp_path / "set", 0, [*rows, rows[1]], workspace)
    assert names_in(tmp_path / "set") == set()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("path", [rows_path, tar_path, dropped_path])
def test_a_full_disk_leaves_nothing_by_halves(
    tmp_path: Path, workspace: Workspace, rows: list[Row], path: object
) -> None:
    out = tmp_path / "set"
    out.mkdir()
    full = path(out, 4)  # type: ignore[operator]
    full.with_name(f".{full.name}.part").symlink_to("/dev/full")
    gone = Dropped(make_row("gone"), "label", "no speech")
    with pytest.raises(DataError, match=r"set: .*00004.* cannot be written: No space left") as error:
        write_shard(out, 4, rows, workspace, [gone])
    assert error.value.hint
    assert names_in(out) == set() and complete(out) == set()
    write_shard(out, 4, rows, workspace, [gone])
    assert complete(out) == {4}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, workspace: Workspace, rows: list[Row]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file: .* cannot be written: Not a directory"):
        write_shard(tmp_path / "file", 0, rows, workspace)


def test_a_shard_stands_once_its_rows_do(tmp_path: Path, workspace: Workspace, rows: list[Row]) -> None:
    out = tmp_path / "set"
    assert complete(out) == set()
    for number in (2, 0, 123456):
        write_shard(out, number, rows, workspace)
    whole = contents(out)
    assert complete(out) == {0, 2, 123456}
    rows_path(out, 2).unlink()  # killed before the rows were written: the tar alone
    (out / ".rows-00002.parquet.part").write_bytes(whole["rows-00002.parquet"][:100])
    rows_path(out, 0).write_bytes(whole["rows-00000.parquet"][:-1])
    assert complete(out) == {123456}
    for number in (0, 2):
        write_shard(out, number, rows, workspace)
    assert contents(out) == whole


def test_the_rows_of_a_folder_come_in_the_order_of_its_shards(tmp_path: Path) -> None:
    for number in (100_000, 99_999, 3):
        write_rows(rows_path(tmp_path, number), [make_row(str(number))])
    assert [row.id for row in read_rows(tmp_path)] == ["3", "99999", "100000"]


def test_an_interruption_leaves_no_rows(tmp_path: Path) -> None:
    def broken_off() -> Iterator[Row]:
        yield make_row("one")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "rows.parquet", broken_off())
    assert names_in(tmp_path) == set()


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
