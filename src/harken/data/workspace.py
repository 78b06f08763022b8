"""Where the audio of rows lies, while a shard is being built and after.

Rows name audio by a reference of one of three forms: `work:NAME`, a file in the folder of the shard in hand;
`PATH`, a recording of a source; `PATH::MEMBER`, a member of an uncompressed tar. A finished shard has all its
audio in one tar beside it (`harken.data.shards`), named `TAR::MEMBER` relative to the data set's folder.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harken.audio.io import Recording, read, write
from harken.errors import DataError

WORK, IN_TAR = "work:", "::"

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Workspace:
    """The folder of a shard in hand. Steps read and write audio through it, and nothing else on disk."""

    folder: Path
    root: Path = field(default_factory=Path)
    """What relative references are relative to."""

    def save(self, name: str, samples: Samples, sample_rate: int) -> str:
        """Keep samples as Ogg Opus under `name` (no suffix); gives the reference."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write(self.folder / f"{name}.ogg", samples, sample_rate, encoding="opus")
        return f"{WORK}{name}.ogg"

    def has(self, name: str) -> bool:
        return (self.folder / f"{name}.ogg").is_file()

    def data(self, reference: str) -> bytes:
        """The bytes of a recording's file. Raises DataError naming the reference."""
        if reference.startswith(WORK):
            return _bytes(self.folder / reference.removeprefix(WORK))
        path, _, member = reference.partition(IN_TAR)
        return _member(self.root / path, member) if member else _bytes(self.root / path)

    def recording(self, reference: str) -> Recording:
        """A recording as 16 kHz mono. Raises DataError or InputError naming the reference."""
        return read(io.BytesIO(self.data(reference)), name=reference)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", "check the source's folder") from None


def _member(path: Path, member: str) -> bytes:
    """A member's bytes, read where it lies: several threads may read one tar."""
    try:
        offset, size = _places(path, path.stat().st_mtime_ns)[member]
        with path.open("rb") as tar:
            tar.seek(offset)
            return tar.read(size)
    except KeyError:
        raise DataError(f"{path}::{member}: the tar has no such file", "check the source's folder") from None
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}::{member}: cannot be read: {error}", "check the source's folder") from None


@lru_cache(maxsize=16)
def _places(path: Path, changed_ns: int) -> dict[str, tuple[int, int]]:
    """Offset and size of each file in an uncompressed tar; one that changed is read again."""
    with tarfile.open(path, "r:") as tar:
        return {entry.name: (entry.offset_data, entry.size) for entry in tar if entry.isfile()}
