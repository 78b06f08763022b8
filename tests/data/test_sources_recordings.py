"""Users' own recordings: folders, CSV and JSONL manifests, cuts (form: lhotse 1.33, `CutSet.to_file`)."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harken.data.rows import Row
from harken.data.sources import open_source
from harken.data.sources.base import Unread
from harken.data.sources.recordings import COLUMNS
from harken.data.workspace import Workspace
from harken.errors import DataError

Manifest = list[dict[str, str]]


def write(path: Path, rows: Manifest) -> Path:
    """A manifest in the form that its name says."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        text = io.StringIO()
        table = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
        table.writeheader()
        table.writerows(rows)
        path.write_text(text.getvalue())
    return path


def rows_of(path: Path, **options: str) -> list[Row]:
    rows = list(open_source("recordings", path, options=options))
    assert all(isinstance(row, Row) for row in rows), rows
    return rows  # type: ignore[return-value]


def reason_of(path: Path, row: dict[str, str]) -> str:
    (found,) = open_source("recordings", write(path, [row]))
    assert isinstance(found, Unread) and str(path) in found.where
    return found.reason


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """A file that is there; no audio, which is not for readers to find out."""
    (tmp_path / "a.wav").write_bytes(b"corrupt")
    return "a.wav"


def test_a_folder_gives_a_row_a_file(tmp_path: Path) -> None:
    for name in ("b.wav", "deep/a.FLAC", "deep/a.flac", "notes.md", "c.opus"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "b.txt").write_text("Where is it?\n")
    (tmp_path / "deep/a.lab").write_text("Here.")
    rows = rows_of(tmp_path, lang="en", licence="CC0-1.0")
    heard = [(Path(row.last_user.audio or "").name, row.last_user.text) for row in rows]
    assert heard == [("b.wav", "Where is it?"), ("c.opus", ""), ("a.flac", "Here.")]
    assert {row.licence for row in rows} == {"CC0-1.0"} and all(row.task == "source" for row in rows)


def test_a_transcript_that_is_empty_or_in_another_language_drops_its_row(tmp_path: Path) -> None:
    for name, text in (("a", ""), ("b", "它在哪里"), ("c", "Here.")):
        (tmp_path / f"{name}.wav").write_bytes(b"")
        (tmp_path / f"{name}.txt").write_text(text)
    a, b, c = open_source("recordings", tmp_path, options={"lang": "en"})
    assert isinstance(a, Unread) and a.reason == "empty text"
    assert isinstance(b, Unread) and b.reason == "other language"
    assert isinstance(c, Row)


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.jsonl"])
def test_a_manifest_says_all_of_a_recording(tmp_path: Path, clip: str, name: str) -> None:
    said = {
        "audio": clip,
        "text": 'Where, "exactly"?\nHere?',
        "lang": "en",
        "speaker": "ann",
        "gender": "F",
        "age": "young",
        "emotion": "angry",
        "split": "valid",
        "group": "g1",
    }
    write(tmp_path / name, [said])
    (row,) = rows_of(tmp_path)
    turn = row.last_user
    assert turn.text == said["text"] and turn.audio == str(tmp_path / clip)
    assert (turn.speaker.id, turn.speaker.gender, turn.speaker.age) == ("ann", "female", "young")
    assert turn.emotion == "anger" and turn.affect[0].source == "human"
    assert (row.split, row.group, row.lang) == ("dev", "recordings-g1", "en")


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"path": "none.wav"}, "no such file"),
        ({"path": ""}, "lacks a field"),
        ({"path": "a\0.wav"}, "no such file"),
        ({"path": "a" * 5000}, "no such file"),
        ({"text": " "}, "empty text"),
        ({"text": "它在哪里"}, "other language"),
        ({"lang": "fr"}, "other language"),
        ({"emotion": "hangry"}, "label outside the set"),
        ({"gender": "unknowable"}, "label outside the set"),
        ({"age": "42"}, "label outside the set"),
        ({"split": "test"}, "label outside the set"),
    ],
)
def test_a_bad_value_drops_its_row(
    tmp_path: Path, clip: str, name: str, changes: dict[str, str], reason: str
) -> None:
    row = {"path": clip, "lang": "en", "text": "Where?"} | changes
    assert reason_of(tmp_path / name, row) == reason


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_an_unknown_column_stops_at_once(tmp_path: Path, clip: str, name: str) -> None:
    manifest = write(tmp_path / name, [{"path": clip, "mood": "bright"}])
    with pytest.raises(DataError, match="mood") as caught:
        open_source("recordings", manifest)
    assert all(column in caught.value.hint for column in COLUMNS)


@pytest.mark.parametrize("header", ["path,path", "path,audio", "text,lang", ""])
def test_columns_that_do_not_name_the_audio_once_stop_at_once(tmp_path: Path, header: str) -> None:
    (tmp_path / "m.csv").write_text(header + "\n")
    with pytest.raises(DataError, match="column"):
        open_source("recordings", tmp_path / "m.csv")


def test_without_a_language_it_stops(tmp_path: Path, clip: str) -> None:
    with pytest.raises(DataError, match="no language"):
        list(open_source("recordings", write(tmp_path / "m.csv", [{"path": clip}])))


def test_a_recording_named_twice_is_read_once(tmp_path: Path, clip: str) -> None:
    manifest = write(tmp_path / "m.csv", [{"path": clip, "text": text} for text in ("Yes.", "No.")])
    first, second = open_source("recordings", manifest, options={"lang": "en"})
    assert isinstance(first, Row) and isinstance(second, Unread) and second.reason == "duplicate"


def test_broken_lines_cost_a_line_each(tmp_path: Path, clip: str) -> None:
    line = f"{clip},en,Yes."
    (tmp_path / "m.csv").write_bytes(
        f"path,lang,text\n{clip}\n{line},more\n".encode() + b"a.wav,en,\xff\n" + line.encode()
    )
    *faults, row = open_source("recordings", tmp_path / "m.csv")
    assert [fault.reason for fault in faults if isinstance(fault, Unread)] == [
        "broken CSV",
        "broken CSV",
        "not UTF-8",
    ]
    assert isinstance(row, Row) and row.last_user.text == "Yes."


VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["a.wav", "en", "zh", "happy", "female", "dev", "你好吗", "Hello you", ""]),
)


@given(st.lists(st.lists(VALUES, min_size=4, max_size=4), max_size=6), st.permutations(COLUMNS[2:]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_both_forms_of_a_manifest_mean_the_same(tmp_path: Path, values: list[list[str]], order: Any) -> None:
    """Whatever is in it: a row or a reason for each, the same from CSV and JSONL, and never an exception."""
    (tmp_path / "a.wav").write_bytes(b"")
    columns = ("path", *order[:3])
    table = [dict(zip(columns, row, strict=True)) for row in values]
    results = []
    for name in ("m.csv", "m.jsonl"):
        path = tmp_path / name
        if name == "m.csv":
            with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
                writer = csv.DictWriter(file, columns, quoting=csv.QUOTE_ALL)
                writer.writeheader()
                writer.writerows(table)
        else:
            path.write_text(
                "".join(
                    json.dumps({k: v.encode("utf-8", "replace").decode() for k, v in r.items()}) + "\n"
                    for r in table
                )
            )
        read = list(open_source("recordings", path, options={"lang": "en"}))
        results.append([row.id if isinstance(row, Row) else row.reason for row in read])
    assert results[0] == results[1] and len(results[0]) == len(table)


def test_lhotse_cuts_are_read_and_cut_out(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse", reason="needs the extra data")
    rate = 16_000
    ramp = np.arange(3 * rate) / (3 * rate)
    soundfile.write(tmp_path / "talk.flac", ramp, rate)
    recording = lhotse.Recording.from_file(tmp_path / "talk.flac")
    spoken = [(0.0, 3.0, "All of it."), (1.0, 0.5, "Some of it."), (2.0, 0.5, " ")]
    cuts = lhotse.CutSet.from_cuts(
        lhotse.MonoCut(
            f"cut{n}",
            start=start,
            duration=seconds,
            channel=0,
            recording=recording,
            supervisions=[
                lhotse.SupervisionSegment(
                    f"s{n}",
                    recording.id,
                    0,
                    seconds,
                    text=text,
                    language="English",
                    speaker="ann",
                    gender="female",
                )
            ],
        )
        for n, (start, seconds, text) in enumerate(spoken)
    )
    cuts.to_file(tmp_path / "my_cuts.jsonl.gz")
    whole, part, empty = open_source("recordings", tmp_path, keep=tmp_path / "kept")
    assert isinstance(whole, Row) and isinstance(part, Row)
    assert whole.last_user.audio == str(tmp_path / "talk.flac") and whole.last_user.seconds == 3.0
    heard = Workspace(tmp_path).recording(part.last_user.audio or "").samples
    assert heard.size == rate // 2 and np.allclose(heard, ramp[rate : rate + rate // 2], atol=1e-3)
    assert part.last_user.speaker.gender == "female" and part.group == "recordings-ann"
    assert isinstance(empty, Unread) and empty.reason == "empty text"


def test_cuts_of_other_kinds_and_of_missing_or_corrupt_files_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"not audio")
    supervision = {
        "id": "s",
        "recording_id": "r",
        "start": 0,
        "duration": 1.0,
        "text": "Yes.",
        "language": "English",
    }

    def cut(kind: str, path: str, source: str = "file") -> dict[str, Any]:
        recording = {
            "id": "r",
            "duration": 9.0,
            "sources": [{"type": source, "channels": [0], "source": path}],
        }
        return {
            "id": "c",
            "type": kind,
            "start": 0,
            "duration": 1.0,
            "supervisions": [supervision],
            "recording": recording,
        }

    rows = [
        cut("MonoCut", "none.wav"),
        cut("MixedCut", "bad.wav"),
        cut("MonoCut", "bad.wav"),
        cut("MonoCut", "x", "url"),
    ]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = list(open_source("recordings", tmp_path / "c.jsonl", keep=tmp_path / "kept"))
    assert [row.reason for row in found if isinstance(row, Unread)] == [
        "no such file",
        "not one recording",
        "cannot be decoded",
        "audio is not in a file",
    ]


def test_a_part_of_a_recording_needs_somewhere_to_be_kept(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    supervision = {"id": "s", "start": 0, "duration": 1.0, "text": "Yes.", "language": "English"}
    recording = {"id": "r", "duration": 9.0, "sources": [{"type": "file", "source": "a.wav"}]}
    row = {"id": "c", "start": 0, "duration": 1.0, "supervisions": [supervision], "recording": recording}
    (tmp_path / "c.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="inside other files") as caught:
        list(open_source("recordings", tmp_path / "c.jsonl"))
    assert "keep" in caught.value.hint
