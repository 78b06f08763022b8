"""Repositories of the model hub, by the real client from a hub on this machine, and by hand."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from fake_hub import FakeHub, serving, settings
from hypothesis import given
from hypothesis import strategies as st

from harken.errors import WeightsError
from harken.weights import catalogue, repository, store
from harken.weights.fetch import HubListed, HubListing, Unavailable

NAME = "someone/small-1.0"
FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights " * 99,
    "tokenizer.json": b"{1}",
    "merges.txt": b"a b",
}
BESIDE = {
    "pytorch_model.bin": b"pickle",
    "modeling.py": b"evil()",
    "onnx/config.json": b"{}",
    "README.md": b"#",
}
PARTS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
INDEX = json.dumps({"weight_map": {"a": PARTS[0], "b": PARTS[1], "c": PARTS[0]}}).encode()


@pytest.fixture
def hub(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that the client reaches, and an empty cache."""
    with serving() as hub:
        for name, value in settings(hub, tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        yield hub


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != store.MANIFEST}


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / store.MANIFEST).read_text())
    return found


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def test_the_hub_gives_what_transformers_reads_and_it_is_written_down(hub: FakeHub, cache: Path) -> None:
    revision = hub.commit(NAME, FILES | BESIDE)
    folder = store.ensure(NAME, progress=False)
    assert folder == cache / "weights" / NAME and contents(folder) == FILES
    told = manifest(folder)
    assert (told["name"], told["revision"], told["licence"]) == (NAME, revision, "apache-2.0")
    assert {p: made["sha256"] for p, made in told["files"].items()} == {
        path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()
    }
    assert hub.tokens == {"Bearer hf_mine"}  # what the user may read, Harken may
    assert all(check.ok for check in store.verify(NAME))
    row = store.status()[-1]
    assert (row.name, row.folder, row.licence) == (NAME, folder, "apache-2.0") and revision in row.what
    assert row.download_bytes == sum(map(len, FILES.values()))
    hub.asked.clear()
    assert store.ensure(NAME, progress=False) == folder and hub.asked == []


def test_a_damaged_folder_is_mended_from_the_commit_that_it_was_fetched_at(hub: FakeHub) -> None:
    revision = hub.commit(NAME, FILES)
    folder = store.ensure(NAME, progress=False)
    hub.commit(NAME, FILES | {"model.safetensors": b"newer"})
    os.truncate(folder / "model.safetensors", 5)
    assert store.ensure(NAME, progress=False) == folder
    assert contents(folder) == FILES and manifest(folder)["revision"] == revision


def test_what_is_damaged_on_the_way_is_refused_with_both_hashes(hub: FakeHub, cache: Path) -> None:
    hub.commit(NAME, FILES)
    hub.broken.add("model.safetensors")
    with pytest.raises(WeightsError, match=r"model\.safetensors of someone/small-1\.0 is damaged") as caught:
        store.ensure(NAME, progress=False)
    assert hashlib.sha256(FILES["model.safetensors"]).hexdigest() in caught.value.message
    assert not (cache / "weights").exists()


def test_where_there_is_no_hub_one_line_says_so_and_the_hint_names_the_folder(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match=f"{NAME} could not be fetched") as caught:
        store.ensure(NAME, progress=False)
    assert "\n" not in caught.value.message and "offline mode is enabled" in caught.value.message
    assert str(cache / "import" / NAME) in caught.value.hint and "model.safetensors" in caught.value.hint
    assert hub.asked == [] and not (cache / "weights").exists()
    put(cache / "import" / NAME, FILES | BESIDE)
    assert contents(store.ensure(NAME, progress=False)) == FILES


def test_a_repository_that_is_not_there(hub: FakeHub) -> None:
    with pytest.raises(WeightsError, match="hub: the model hub did not give no/one: RepositoryNotFoundError"):
        store.ensure("no/one", progress=False)


@pytest.mark.parametrize("named", ["", NAME])
def test_files_in_a_folder_that_the_user_names(cache: Path, tmp_path: Path, named: str) -> None:
    put(tmp_path / "brought" / named, {"model.safetensors.index.json": INDEX, "config.json": b"{}"})
    put(tmp_path / "brought" / named, {part: part.encode() for part in PARTS})
    folder = store.pull(NAME, path=tmp_path / "brought", progress=False)
    assert set(contents(folder)) == {*PARTS, "config.json", "model.safetensors.index.json"}
    assert "revision" not in manifest(folder) and manifest(folder)["licence"] == "not stated"
    assert "no known commit" in store.status()[-1].what


def test_a_folder_of_another_machines_cache_is_taken_once(cache: Path) -> None:
    imported = put(cache / "import" / NAME, FILES | {store.MANIFEST: b'{"name": "as it was there"}'})
    folder = store.ensure(NAME, progress=False)
    assert contents(folder) == FILES and set(manifest(folder)["files"]) == set(FILES)
    shutil.rmtree(imported)
    assert store.ensure(NAME, progress=False) == folder, "it is ready, and asks nobody"


@pytest.mark.parametrize(
    ("files", "lacks"),
    [
        ({"model.safetensors": b"x"}, "there is no config.json in"),
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "has no model.safetensors"),
        ({"config.json": b"{}", "model.safetensors.index.json": INDEX, PARTS[0]: b"x"}, f"has no {PARTS[1]}"),
        ({"config.json": b"{}", "model.safetensors.index.json": b"{"}, "index.json of .* cannot be read"),
    ],
)
def test_what_is_missing_in_the_folder_is_named(cache: Path, files: dict[str, bytes], lacks: str) -> None:
    put(cache / "import" / NAME, files)
    with pytest.raises(WeightsError, match=lacks):
        store.pull(NAME, source="file", progress=False)
    assert not (cache / "weights").exists()


def test_other_files_under_the_same_name_are_refused(cache: Path) -> None:
    put(cache / "import" / NAME, FILES)
    folder = store.ensure(NAME, progress=False)
    put(cache / "import" / NAME, {"config.json": b"{2}"})
    with pytest.raises(WeightsError, match=r"config\.json of .* is not what was fetched at first") as caught:
        store.pull(NAME, progress=False)
    assert f"remove {folder}" in caught.value.hint and contents(folder) == FILES


def test_a_package_index_has_no_repositories(cache: Path) -> None:
    with pytest.raises(WeightsError, match="in no package index"):
        store.pull(NAME, source="package", progress=False)


def test_too_little_disk_is_told_before_a_file_is_fetched(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = (HubListed("config.json", 2, None), HubListed("model.safetensors", 1 << 60, "0" * 64))
    monkeypatch.setattr(repository, "list_hub", lambda *_: HubListing("0" * 40, None, files))
    monkeypatch.setattr(repository, "fetch_hub", lambda *_, **__: pytest.fail("a file was asked for"))
    with pytest.raises(WeightsError, match=f"not enough disk space for {NAME}"):
        store.ensure(NAME, progress=False)


def test_a_hub_that_has_no_safetensors(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = HubListing("0" * 40, None, (HubListed("pytorch_model.bin", 9, None),))
    monkeypatch.setattr(repository, "list_hub", lambda *_: listing)
    with pytest.raises(WeightsError, match=f"the repository {NAME} has no config.json"):
        store.ensure(NAME, progress=False)


@given(st.text("ab./_-\\ ", max_size=9))
def test_a_name_stays_in_its_folder_or_is_refused(name: str) -> None:
    try:
        entry = catalogue.find(name)
    except WeightsError as error:
        assert "owner/name" in error.hint
        return
    parts = PurePosixPath(name).parts
    assert entry.is_repository and len(parts) == 2 and not {".", "..", "/"} & set(parts)
    assert "/".join(parts) == entry.name == name


def test_a_file_that_the_hub_says_is_there_and_is_not(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise Unavailable("404")

    files = (HubListed("config.json", 2, None),)
    monkeypatch.setattr(repository, "list_hub", lambda *_: HubListing("0" * 40, None, files))
    monkeypatch.setattr(repository, "fetch_hub", gone)
    with pytest.raises(WeightsError, match="hub: 404"):
        store.ensure(NAME, progress=False)
    assert not (cache / "weights").exists()
