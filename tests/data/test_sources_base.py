"""What all sources share: the registry, what is wrong at once, files on disk and hub, JSON, languages."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.data.rows import Row, Turn
from harken.data.sources import SOURCES, hub, open_source
from harken.data.sources.base import Item, Place, Unread, Unusable, affect_of, items_to_rows, said
from harken.data.sources.hub import File, list_files, members
from harken.data.sources.json_items import json_items
from harken.errors import DataError

BELLE = {"id": "7", "conversations": [{"from": "human", "value": "怎么才能睡得好一点"}]}


@pytest.fixture
def hub_files(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for the hub: a file system in memory."""
    system = fsspec.filesystem("memory")
    monkeypatch.setattr(hub, "filesystem", lambda: system)
    yield system
    system.rm("/datasets", recursive=True)


def in_memory(name: str, data: bytes) -> File:
    return File(name, name, None, lambda: io.BytesIO(data))


def test_every_source_says_what_it_is() -> None:
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.licence and source.about and source.form_of and source.langs, name


def test_sets_that_may_not_be_in_shipped_weights_are_marked() -> None:
    never = {name for name, source in SOURCES.items() if not source.shippable}
    assert never == {"ecf", "cped", "ecpe", "akishino", "wenetspeech4tts", "gigaspeech", "belle"}


@pytest.mark.parametrize(
    ("name", "path", "options", "message"),
    [
        ("belel", "x", {}, "there is no source 'belel'"),
        ("belle", "", {}, "needs a place"),
        ("belle", "x", {"part": "Basic"}, "has no option 'part'"),
        ("belle", "nowhere", {}, "nowhere: cannot be read: No such file"),
        ("reccon", "hub://owner/name", {}, "is not read from the hub"),
        ("emilia", ".", {"lang": "de"}, "is not read in 'de'"),
        ("wenetspeech4tts", ".", {"part": "Rest"}, "has no part 'Rest'"),
        ("gigaspeech", ".", {"part": "TEST"}, "has no part 'TEST'"),
        ("libriheavy", "hub://pkufool/libriheavy", {}, "has its audio in Libri-Light"),
    ],
)
def test_a_wrong_request_stops_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    path: str,
    options: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_source(name, path, options=options)
    assert caught.value.hint and "\n" not in caught.value.message


def test_a_folder_without_the_layout_stops_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \*\.json"):
        open_source("belle", tmp_path)


def test_a_folder_that_cannot_be_listed_stops_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        open_source("belle", tmp_path)


def test_equal_rows_are_given_once(tmp_path: Path) -> None:
    other = {**BELLE, "conversations": [{"from": "human", "value": "今天应该穿什么"}]}
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in (BELLE, BELLE, other)))
    first, second, third = open_source("belle", tmp_path)
    assert isinstance(first, Row) and isinstance(third, Row) and first.id != third.id
    assert second == Unread("source belle", "duplicate", first.id)


def test_ids_do_not_depend_on_the_place(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").write_text(json.dumps(BELLE))
    assert list(open_source("belle", tmp_path / "a")) == list(open_source("belle", tmp_path / "b"))


LINES = b'{"n": 1}\n\n{"n": 2\n[3]\n{"n": "\xff"}\n{"n": 5}'


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_a_broken_line_costs_a_line(suffix: str) -> None:
    data = gzip.compress(LINES) if suffix.endswith("gz") else LINES
    found = list(json_items(in_memory(f"x.{suffix}", data)))
    assert [item.data["n"] for item in found if isinstance(item, Item)] == [1, 5]
    faults = [(item.where.split(".", 1)[0], item.reason) for item in found if isinstance(item, Unread)]
    assert [reason for _, reason in faults] == ["broken JSON", "not an object", "not UTF-8"]


def test_a_file_cut_short_gives_what_it_has() -> None:
    data = gzip.compress(b"".join(b'{"n": %d}\n' % n for n in range(50_000)))
    *items, last = json_items(in_memory("x.jsonl.gz", data[: len(data) // 2]))
    assert len(items) > 100 and all(isinstance(item, Item) for item in items)
    assert isinstance(last, Unread) and last.reason == "file is broken"


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers())), st.sampled_from([None, 1]))
def test_an_array_is_read_as_lines_are(rows: list[dict[str, Any]], indent: int | None) -> None:
    array = json.dumps(rows, indent=indent).encode()
    lines = "\n".join(json.dumps(row) for row in rows).encode()
    for data, name in ((array, "x.json"), (lines, "x.jsonl")):
        assert [item.data for item in json_items(in_memory(name, data)) if isinstance(item, Item)] == rows


def test_an_array_longer_than_a_block_and_cut_short() -> None:
    rows = [{"n": n, "text": "好" * 1000} for n in range(100)]
    data = json.dumps(rows, ensure_ascii=False).encode()
    whole = list(json_items(in_memory("x.json", data)))
    assert [item.data for item in whole if isinstance(item, Item)] == rows and len(whole) == 100
    *_, last = json_items(in_memory("x.json", data[:-2000]))
    assert isinstance(last, Unread) and last.reason == "broken JSON"


@given(st.binary())
def test_no_bytes_break_the_reading_of_json(data: bytes) -> None:
    for name in ("x.jsonl", "x.jsonl.gz"):
        assert all(isinstance(item, Item | Unread) for item in json_items(in_memory(name, data)))


@pytest.mark.parametrize(
    ("text", "lang", "reason"),
    [
        ("Where is the key?", "en", None),
        ("我想学 Python", "zh", None),
        ("1984", "zh", None),
        ("Zażółć gęślą jaźń", "pl", None),
        ("Where is the key?", "zh", "other language"),
        ("钥匙在哪里？", "en", "other language"),
        ("これはペンです", "zh", "other language"),
        ("Где ключ?", "en", "other language"),
        ("", "en", "empty text"),
        (" … ", "zh", "empty text"),
        (None, "en", "empty text"),
        (7, "en", "not of the source's form"),
    ],
)
def test_texts_are_checked_and_never_guessed(text: object, lang: str, reason: str | None) -> None:
    if reason is None:
        assert said(text, lang) == text
        return
    with pytest.raises(Unusable) as caught:
        said(text, lang)
    assert caught.value.reason == reason


def test_labels_outside_the_set_are_refused_and_abstentions_are_none() -> None:
    assert affect_of("Joyful", "human")[0].label == "happy"
    assert affect_of("xxx", "human") == affect_of(None, "rule") == ()
    with pytest.raises(Unusable, match="label outside the set"):
        affect_of("hangry", "human")


def test_an_item_of_another_form_is_unread() -> None:
    def make(data: dict[str, Any]) -> list[Row]:
        return [SOURCES["belle"].row(data["id"], [Turn("user", data["text"].strip())], "zh")]

    items = [Item("a", {"id": "1"}), Item("b", {"id": "1", "text": 3}), Item("c", {"id": "1", "text": "好"})]
    lacking, wrong, row = items_to_rows(items, make)
    assert lacking == Unread("a", "lacks a field", "text")
    assert isinstance(wrong, Unread) and wrong.reason == "not of the source's form"
    assert isinstance(row, Row)


def test_the_hub_is_listed_and_streamed(hub_files: Any) -> None:
    hub_files.pipe("/datasets/BelleGroup/train_3.5M_CN/train_3.5M_CN.json", json.dumps(BELLE).encode())
    hub_files.pipe("/datasets/BelleGroup/train_3.5M_CN/README.md", b"# no data")
    for path in ("hub://BelleGroup/train_3.5M_CN", "hub://BelleGroup/train_3.5M_CN/train_3.5M_CN.json"):
        (row,) = open_source("belle", path)
        assert isinstance(row, Row) and row.last_user.text == "怎么才能睡得好一点"


def test_files_in_folders_of_a_set_are_found_and_named(hub_files: Any) -> None:
    for name in ("top.tar", "a/b/deep.tar", "a/other.txt"):
        hub_files.pipe(f"/datasets/me/set@v2/{name}", b"")
    files = list_files("hub://me/set@v2", "**/*.tar")
    assert [(f.name, f.where) for f in files] == [
        ("a/b/deep.tar", "hub://me/set@v2/a/b/deep.tar"),
        ("top.tar", "hub://me/set@v2/top.tar"),
    ]


@pytest.mark.parametrize("path", ["hub://me/none", "hub://me"])
def test_a_set_that_is_not_there_is_one_line(hub_files: Any, path: str) -> None:
    hub_files.pipe("/datasets/me/set/x.json", b"")
    with pytest.raises(DataError, match=path):
        open_source("belle", path)


def test_a_stream_that_breaks_off_names_the_file(hub_files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise RuntimeError("connection lost")

    hub_files.pipe("/datasets/me/set/x.jsonl", b"{}")
    monkeypatch.setattr(type(hub_files), "open", lambda self, *a, **k: Breaking())
    with pytest.raises(DataError, match=r"hub://me/set/x\.jsonl: broke off: connection lost"):
        list(open_source("belle", "hub://me/set"))


def test_a_broken_archive_gives_what_comes_before() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in ("a.wav", "b.wav"):
            info = tarfile.TarInfo(name)
            info.size = 20_000
            tar.addfile(info, io.BytesIO(bytes(range(200)) * 100))
    whole = list(members(in_memory("x.tar.gz", out.getvalue()), lambda name: name == "a.wav"))
    assert [(name, data and len(data)) for name, data in whole] == [("a.wav", 20_000), ("b.wav", None)]  # type: ignore[misc]
    (broken,) = members(in_memory("x.tar.gz", out.getvalue()[:30]), lambda name: True)
    assert isinstance(broken, Unread) and broken.reason == "archive is broken"


def test_what_is_kept_is_written_once(tmp_path: Path) -> None:
    place = Place(SOURCES["emilia"], "x", tmp_path / "kept")
    first = place.kept("key", ".mp3", lambda: b"sound")
    assert place.kept("key", ".mp3", lambda: pytest.fail("written again")) == first
    assert Path(first).read_bytes() == b"sound" and len(list((tmp_path / "kept").iterdir())) == 1


def test_a_folder_that_cannot_be_made_stops_and_a_full_disk_costs_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="cannot be made"):
        Place(SOURCES["emilia"], "x", tmp_path / "file").kept("key", ".mp3", lambda: b"sound")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Unusable, match="cannot be kept"):
        Place(SOURCES["emilia"], "x", tmp_path / "kept").kept("key", ".mp3", lambda: b"sound")
