"""The catalogue: every entry is complete, pinned and stays inside its own folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from harken.errors import WeightsError
from harken.weights.catalogue import CATALOGUE, find
from harken.weights.entry import Entry

ENTRIES = pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)


def test_names_are_unique_and_found() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)
    assert all(find(entry.name) is entry for entry in CATALOGUE)
    with pytest.raises(WeightsError, match="no weights are named 'x'") as caught:
        find("x")
    assert "whisper-base" in caught.value.hint


@ENTRIES
def test_everything_is_pinned(entry: Entry) -> None:
    for pinned in (*entry.files, *entry.archives):
        assert re.fullmatch("[0-9a-f]{64}", pinned.sha256), pinned
        assert pinned.size_bytes > 0
    assert all(re.fullmatch(r"[\d.]+", archive.version) for archive in entry.archives)
    assert all(re.fullmatch("[0-9a-f]{40}", file.hub.revision) for file in entry.files if file.hub)
    assert entry.what
    if entry.name == "piper-joe":  # only measured against: nothing is trained on it, nothing of it ships
        assert entry.licence == "none stated"
    else:
        assert entry.licence in ("Apache-2.0", "MIT")


@ENTRIES
def test_files_stay_in_their_folder(entry: Entry) -> None:
    for file in entry.files:
        path = PurePosixPath(file.path)
        assert not path.is_absolute() and ".." not in path.parts
        assert file.parts, "every file can come from a package archive"
    assert len({file.path for file in entry.files}) == len(entry.files)


@ENTRIES
def test_the_hub_is_a_source_exactly_where_it_has_every_file(entry: Entry) -> None:
    assert ("hub" in entry.sources) == all(file.hub for file in entry.files)
    assert entry.sources[:2] == ("file", "package")


@ENTRIES
def test_what_is_converted_can_be_had_raw_where_llama_cpp_reads_it(entry: Entry) -> None:
    if entry.converter == "gguf":
        assert any(other.files == entry.files and not other.converter for other in CATALOGUE)


def test_kokoro_has_its_54_voices() -> None:
    voices = [file for file in find("kokoro-82m").files if file.path.startswith("voices/")]
    assert len({file.sha256 for file in voices}) == len(voices) == 54
