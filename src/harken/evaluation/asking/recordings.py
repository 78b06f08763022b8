"""Recordings that a system is asked about: found where a data set's file names them, or written out."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from harken.errors import InputError

_PLAIN = re.compile(r"\w[\w.-]{0,99}")


def find(named: str, file: Path, folder: Path) -> Path | None:
    """Where a recording is that `file` of the data set in `folder` names; None where it is nowhere.

    A file names it as it lay on its maker's disk, or nearer.
    """
    places = (file.parent / named, folder / named, file.parent / Path(named).name)
    return next((place for place in places if place.is_file()), None)


def file_name(key: str) -> str:
    """A key as the name of a file: itself where it may be one, else a hash of it."""
    return key if _PLAIN.fullmatch(key) else hashlib.sha256(key.encode(errors="replace")).hexdigest()[:20]


def write_out(data: bytes, path: Path) -> Path:
    """Write a recording's bytes whole or not at all; a file that stands already is left as it is.

    Raises: InputError where it cannot be written.
    """
    if path.is_file():
        return path
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}", "name another folder") from None
    return path
