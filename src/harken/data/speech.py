"""Transcribed speech on disk, read as one stream of clips, whatever layout it lies in.

Two layouts: a *pack* (`manifest.jsonl.gz` beside uncompressed tar files, a user's turn and a reply in each
row) and a *render* (a folder of audio files beside `manifest*.jsonl`, one turn a row, as `harken data render`
writes it). Reading people's annotated emotion is left to `harken.training.readout`.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harken.data.files import json_rows
from harken.errors import DataError
from harken.voices.base import TimedWord

_ANY = ("id", "lang", "split", "group", "source")
_PACK = (*_ANY, "tar", "user_text", "user_seconds", "user_voice", "user_emotion")
_RENDER = (*_ANY, "text", "seconds", "voice")


@dataclass(frozen=True)
class Clip:
    """One spoken turn and the words in it."""

    id: str
    text: str
    lang: str
    split: str  # train or dev
    role: str  # user or reply
    seconds: float
    voice: str
    emotion: str | None
    group: str
    source: str
    file: Path  # a tar file, or the audio file itself
    member: str | None  # the name inside the tar
    style: str | None = None  # of a reply that was rendered with its words timed
    words: tuple[TimedWord, ...] = ()
    before: str | None = None  # what was said just before

    def samples(self, sample_rate: int = 16000) -> NDArray[np.float32]:
        """Mono samples at `sample_rate` Hz, (N,)."""
        from harken.audio.io import read

        if self.member is None:
            return read(self.file, sample_rate=sample_rate).samples
        return read(self.file_bytes(), self.member, sample_rate).samples

    def file_bytes(self) -> bytes:
        """The audio file as it lies there. Raises DataError where it is not there or cannot be read."""
        try:
            if self.member is None:
                return self.file.read_bytes()
            with _ONE_AT_A_TIME:
                handle = _open_tar(self.file).extractfile(self.member)
                if handle is None:
                    raise KeyError(self.member)
                return handle.read()
        except KeyError:
            raise DataError(f"{self.file} has no member {self.member!r}", "fetch the pack again") from None
        except (OSError, tarfile.TarError) as error:
            raise DataError(f"{self.file}: cannot be read: {error}", "fetch or make it again") from None


def clips(folder: Path) -> list[Clip]:
    """All clips of a pack or a render, in a stable order.

    Raises:
        DataError: the folder holds neither, a manifest cannot be read, or a row lacks a field (the message
            names file and row).
    """
    if (folder / "manifest.jsonl.gz").exists():
        return list(_pack(folder))
    manifests = sorted(folder.glob("manifest*.jsonl"))
    if not manifests:
        raise DataError(
            f"{folder} holds no manifest.jsonl.gz and no manifest*.jsonl",
            "name a speech pack, or a folder that `harken data render` wrote",
        )
    return sorted((clip for path in manifests for clip in _render(path)), key=lambda clip: clip.id)


def manifest_rows(manifest: Path, fields: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The rows of a manifest, each with all of `fields`.

    Raises: DataError where it cannot be read to its end, or a row lacks a field; it names file and row.
    """
    for number, row in json_rows(manifest):
        if lacking := [field for field in fields if field not in row]:
            raise DataError(f"{manifest} row {number} lacks {', '.join(lacking)}", "mend or remove the row")
        yield row


def _pack(folder: Path) -> Iterator[Clip]:
    for row in manifest_rows(folder / "manifest.jsonl.gz", _PACK):
        tar = folder / row["tar"]
        common = (row["group"], row["source"], tar)
        yield Clip(
            f"{row['id']}-user", row["user_text"], row["lang"], row["split"], "user", row["user_seconds"],
            row["user_voice"], row["user_emotion"], *common, f"{row['id']}-user.ogg",
        )  # fmt: skip
        if row.get("reply_text") and row.get("reply_seconds"):
            yield Clip(
                f"{row['id']}-reply", row["reply_text"], row["lang"], row["split"], "reply",
                row["reply_seconds"], row["reply_voice"], None, *common, f"{row['id']}-reply.ogg",
            )  # fmt: skip


def _render(manifest: Path) -> Iterator[Clip]:
    for row in manifest_rows(manifest, _RENDER):
        yield Clip(
            row["id"], row["text"], row["lang"], row["split"], row.get("role", "user"), row["seconds"],
            row["voice"], row.get("emotion"), row["group"], row["source"],
            manifest.parent / f"{row['id']}.ogg", None,
            row.get("style"), tuple(_timed(word) for word in row.get("words", ())), row.get("before"),
        )  # fmt: skip


def _timed(word: dict[str, Any]) -> TimedWord:
    return TimedWord(word["start"], word["end"], word["symbols"], tuple(word["ends_s"]))


_ONE_AT_A_TIME = Lock()
"""An open tar is read from one place at a time."""


@lru_cache(maxsize=8)
def _open_tar(path: Path) -> tarfile.TarFile:
    return tarfile.open(path)
