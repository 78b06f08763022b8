"""The files of a source, on this disk or on the Hugging Face hub, and what is inside their archives.

A hub set is named `hub://owner/name`, `hub://owner/name@revision`, or with a folder or a file of it after
that. Its files are listed and then streamed one after the other as they are read; nothing is downloaded
whole. What the files mean is left to the sources.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from harken.data.sources.base import Unread
from harken.errors import DataError

HUB = "hub://"
BROKEN = (tarfile.TarError, EOFError, zlib.error, OSError)
"""What reading a broken archive raises."""

_HINT = "check the name and the network; a set with terms wants them accepted and HF_TOKEN set"


@dataclass(frozen=True)
class File:
    """One file of a source."""

    name: str  # within the source's folder
    where: str  # what messages call it
    path: Path | None  # absolute, where it is on this disk
    open: Callable[[], BinaryIO] = field(repr=False)


def list_files(path: str, *patterns: str) -> list[File]:
    """The files under `path` that match any of the patterns, sorted by name; or `path`, where it is a file.

    Raises DataError where the folder or set is missing or cannot be read, or none of its files matches.
    """
    files = _on_hub(path, patterns) if path.startswith(HUB) else _on_disk(Path(path), patterns)
    if not files:
        raise DataError(
            f"{path} holds no {' and no '.join(patterns)}", "name the folder or file of the source's layout"
        )
    return sorted(files, key=lambda file: file.name)


def _on_disk(path: Path, patterns: tuple[str, ...]) -> list[File]:
    try:
        if path.is_file():
            with path.open("rb"):
                return [_local(path.name, path)]
        next(path.iterdir(), None)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", "name the source's folder") from None
    found = {file for pattern in patterns for file in path.glob(pattern) if file.is_file()}
    return [_local(file.relative_to(path).as_posix(), file) for file in found]


def _local(name: str, path: Path) -> File:
    return File(name, str(path), path.absolute(), lambda: path.open("rb"))


def filesystem() -> Any:
    """The hub as an fsspec file system."""
    from huggingface_hub import HfFileSystem

    return HfFileSystem()


def _on_hub(path: str, patterns: tuple[str, ...]) -> list[File]:
    root = f"datasets/{path.removeprefix(HUB).strip('/')}"
    if root.count("/") < 2:
        raise DataError(f"{path} names no hub set", "write hub://owner/name")
    try:
        system = filesystem()
        if root.count("/") > 2 and system.isfile(root):
            return [_remote(system, root, root.rpartition("/")[0])]
        if not system.isdir(root):
            raise FileNotFoundError("no such set")
        found = {str(name) for pattern in patterns for name in system.glob(f"{root}/{pattern}")}
    except Exception as error:  # whatever the hub's client and its transport raise
        raise DataError(f"{path}: cannot be listed: {_line(error)}", _HINT) from error
    return [_remote(system, name.lstrip("/"), root) for name in found]


def _remote(system: Any, name: str, root: str) -> File:
    where = HUB + name.removeprefix("datasets/")
    stream = not name.endswith(".parquet")  # Parquet is read from its end: in ranges, not as a stream

    def open_remote() -> BinaryIO:
        try:
            file = system.open(name, "rb", **({"block_size": 0} if stream else {}))
        except Exception as error:
            raise DataError(f"{where}: cannot be opened: {_line(error)}", _HINT) from error
        return io.BufferedReader(_Remote(file, where, seekable=not stream))

    return File(name[len(root) + 1 :], where, None, open_remote)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class _Remote(io.RawIOBase):
    """A file on the hub whose every fault is a DataError that names it."""

    def __init__(self, file: Any, where: str, seekable: bool) -> None:
        self._file, self._where, self._seekable = file, where, seekable

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return int(self._file.tell())

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except Exception as error:
            raise DataError(
                f"{self._where}: broke off: {_line(error)}", "run it again: it goes on"
            ) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def members(file: File, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes | None] | Unread]:
    """The files in a tar, gzipped or not, in its order: (name, its bytes if it is wanted, else None).

    An uncompressed tar on this disk is skipped through; others are streamed. A broken one ends in an Unread.
    """
    mode = "r:" if file.path and file.name.endswith(".tar") else "r|*"
    try:
        with file.open() as stream, tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
            for member in tar:
                if member.isfile():
                    content = tar.extractfile(member) if wanted(member.name) else None
                    yield member.name, content.read() if content else None
    except BROKEN as error:
        yield Unread(file.where, "archive is broken", _line(error))
