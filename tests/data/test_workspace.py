"""Audio is found by its reference, wherever it lies, and a reference that leads nowhere is named."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from harken.data.workspace import Workspace
from harken.errors import DataError


def pack(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def test_what_is_saved_is_heard_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "shard")
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)).astype(np.float32)
    reference = workspace.save("tone", tone, 24_000)
    assert reference == "work:tone.ogg" and workspace.has("tone") and not workspace.has("other")
    heard = workspace.recording(reference)
    assert heard.seconds == pytest.approx(1.0, abs=0.05)
    assert np.abs(heard.samples).max() == pytest.approx(0.3, abs=0.05)


def test_files_and_members_are_read_relative_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"file")
    pack(tmp_path / "b.tar", {"in/x.ogg": b"member"})
    workspace = Workspace(tmp_path / "shard", tmp_path)
    assert workspace.data("a.wav") == b"file"
    assert workspace.data("b.tar::in/x.ogg") == b"member"


def test_threads_that_read_one_tar_do_not_mix_its_members(tmp_path: Path) -> None:
    members = {f"{i}.bin": bytes([i]) * 5000 for i in range(50)}
    pack(tmp_path / "t.tar", members)
    workspace = Workspace(tmp_path, tmp_path)
    with ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda name: (name, workspace.data(f"t.tar::{name}")), [*members] * 10)
        assert all(data == members[name] for name, data in read)


def test_a_tar_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path)
    pack(tmp_path / "t.tar", {"x": b"old"})
    assert workspace.data("t.tar::x") == b"old"
    (tmp_path / "t.tar").unlink()
    pack(tmp_path / "t.tar", {"longer/name/first": b"." * 3000, "x": b"new!"})
    assert workspace.data("t.tar::x") == b"new!"


@pytest.mark.parametrize(
    "reference", ("work:none.ogg", "none.wav", "none.tar::x", "t.tar::none", "broken.tar::x")
)
def test_what_is_not_there_is_named(tmp_path: Path, reference: str) -> None:
    pack(tmp_path / "t.tar", {"x": b"1"})
    (tmp_path / "broken.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(DataError) as refused:
        Workspace(tmp_path, tmp_path).data(reference)
    assert reference.removeprefix("work:").split("::")[-1] in refused.value.message
