"""Shards written: recordings as they were, equal rows in equal bytes, and nothing by halves."""

from __future__ import annotations

import math
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shard_rows import make_row

pytest.importorskip("pyarrow", reason="shards need pyarrow (extra data)")

from harken.audio.io import write
from harken.data.rows import Row
from harken.data.shards import (
    STEP,
    DroppedRow,
    complete,
    dropped_path,
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
    finished = Workspace(tmp_path / "unused", root=out)
    np.testing.assert_allclose(finished.recording(two.turns[0].audio).samples, hum(400), atol=1e-3)
    in_hand = workspace.recording("work:b.ogg").samples
    np.testing.assert_array_equal(finished.recording(one.turns[0].audio).samples, in_hand)


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
    again = Workspace(tmp_path / "unused", root=tmp_path / "next").recording(second[0].turns[0].audio)
    assert again.seconds == pytest.approx(0.3)


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


def test_an_interruption_leaves_no_rows(tmp_path: Path) -> None:
    def broken_off() -> Iterator[Row]:
        yield make_row("one")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "rows.parquet", broken_off())
    assert names_in(tmp_path) == set()
