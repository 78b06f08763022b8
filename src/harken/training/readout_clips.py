"""People's emotional speech, encoded once and pooled: what the affect readout is trained and judged on.

A data folder holds `manifest.jsonl.gz` (one clip a line) and one tar of recordings a corpus. Every clip goes
through the speech encoder once; the mean and standard deviation of the layers wanted are kept in one flat
float32 file, in the manifest's order, so that a run that was stopped goes on where it was. Only clips with an
acted or labelled emotion of a named speaker are taken: synthesised voices, and corpora without speakers, have
no place here. Fitting is left to `harken.training.readout`.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from harken.affect.labels import GENDERS, to_readout_class
from harken.audio.features import active_frames, log_mel
from harken.audio.io import read
from harken.data.files import json_rows
from harken.errors import DataError
from harken.model.affect_readout import VIEWS, views
from harken.model.encoder import SpeechEncoder, load_encoder

CORPORA = ("ravdess", "nemo")
"""Whose recordings the readout may learn from."""

_BYTES = np.dtype(np.float32).itemsize
_FIELDS = ("path", "corpus", "split", "speaker", "gender", "emotion", "text")


@dataclass(frozen=True)
class PooledClips:
    """N clips: how each sounds to the encoder, and what is known of it, row by row."""

    pooled: NDArray[np.float32]  # (N, W, L, 2D) each layer's mean and standard deviation, in two views
    emotion: NDArray[np.int64]  # (N,) index into READOUT_CLASSES
    gender: NDArray[np.int64]  # (N,) index into GENDERS
    corpus: NDArray[np.str_]  # (N,)
    split: NDArray[np.str_]  # (N,) train or dev
    speaker: NDArray[np.str_]  # (N,)
    sentence: NDArray[np.str_]  # (N,) the words said

    def __len__(self) -> int:
        return len(self.emotion)

    def where(self, rows: NDArray[np.bool_]) -> PooledClips:
        """The clips for which `rows` (N,) is true."""
        return PooledClips(**{name: values[rows] for name, values in vars(self).items()})

    def joined(self, other: PooledClips) -> PooledClips:
        """These clips, then the others."""
        return PooledClips(
            **{name: np.concatenate([values, getattr(other, name)]) for name, values in vars(self).items()}
        )


def read_manifest(data: Path) -> list[dict[str, Any]]:
    """The rows of a data folder's manifest that the readout may learn from, in order.

    Raises:
        DataError: there is no manifest, or it is torn, or a row is no JSON or lacks a field (named in the
            message), or nothing is left.
    """
    path = data / "manifest.jsonl.gz"
    if not path.is_file():
        raise DataError(f"{data} holds no manifest.jsonl.gz", "name a folder of emotional speech with --data")
    rows = []
    for number, row in json_rows(path):
        if row.get("corpus") not in CORPORA:
            continue
        missing = [field for field in _FIELDS if not row.get(field)]
        if missing:
            raise DataError(f"{path} row {number}: no {', '.join(missing)}", "fetch the corpus again")
        if row["gender"] in GENDERS and to_readout_class(row["emotion"]) is not None:
            rows.append(row)
    if not rows:
        raise DataError(f"{path} has no clips of {' or '.join(CORPORA)}", "name a folder of emotional speech")
    return rows


def pooled_clips(data: Path, whisper: Path, layers: tuple[int, ...], cache: Path) -> PooledClips:
    """Every clip of a data folder, through a Whisper encoder, pooled; from `cache` where it is there already.

    Args:
        data: a folder with manifest.jsonl.gz and the tars.
        whisper: a Whisper model in transformers' layout.
        layers: which of the encoder's states, 0 being the convolutional stem.
        cache: a folder for the pooled states (8 kB a clip and layer for Whisper-base); made if missing.

    Raises: DataError where the data cannot be read, and while another process encodes into the same cache.
    """
    rows = read_manifest(data)
    config = json.loads((whisper / "config.json").read_text())
    shape = (VIEWS, len(layers), 2 * config["d_model"])
    file = cache / f"views-{_fingerprint(rows, whisper, layers)}.f32"
    cache.mkdir(parents=True, exist_ok=True)
    if not file.exists() or file.stat().st_size < len(rows) * math.prod(shape) * _BYTES:
        try:
            with FileLock(file.with_suffix(".lock"), timeout=0):
                done = _whole_rows(file, shape)
                _append(file, _pooling(rows[done:], data, load_encoder(whisper), layers), len(rows) - done)
        except Timeout:
            hint = "wait for it, or choose another --out"
            raise DataError(f"another process encodes people's clips into {cache}", hint) from None
    pooled = np.fromfile(file, np.float32).reshape(len(rows), *shape)
    column = {field: np.array([row[field] for row in rows]) for field in _FIELDS}
    return PooledClips(
        pooled,
        np.array([to_readout_class(name) for name in column["emotion"]]),
        np.array([GENDERS.index(name) for name in column["gender"]]),
        column["corpus"],
        column["split"],
        column["speaker"],
        column["text"],
    )


def _whole_rows(file: Path, shape: tuple[int, ...]) -> int:
    """How many clips the file holds; what was cut off after the last whole one is dropped."""
    if not file.exists():
        return 0
    row_bytes = math.prod(shape) * _BYTES
    rows = file.stat().st_size // row_bytes
    with file.open("ab") as states:
        states.truncate(rows * row_bytes)
    return rows


def _append(file: Path, pooling: Iterator[NDArray[np.float32]], total: int) -> None:
    from rich.console import Console
    from rich.progress import track

    with file.open("ab") as states:
        for pooled in track(pooling, "people's clips", total=total, console=Console(stderr=True)):
            states.write(pooled.tobytes())


@torch.inference_mode()
def _pooling(
    rows: list[dict[str, Any]], data: Path, encoder: SpeechEncoder, layers: tuple[int, ...]
) -> Iterator[NDArray[np.float32]]:
    """Each clip's pooled layers, (W, L, 2D)."""
    tars: dict[str, tarfile.TarFile] = {}
    try:
        for row in rows:
            corpus = row["corpus"]
            if corpus not in tars:
                tars[corpus] = _open(data / f"{corpus}.tar")
            recording = read(_member(tars[corpus], row["path"]), name=row["path"])
            mel = torch.from_numpy(log_mel(recording.samples))[None]  # (1, 80, 2T)
            states, valid = encoder(mel)  # (1, T, S, D)
            yield views(states[:, :, list(layers)], valid, active_frames(mel))[0].numpy()
    finally:
        for tar in tars.values():
            tar.close()


def _open(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path)
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read: {error}", "fetch the corpus again") from None


def _member(tar: tarfile.TarFile, path: str) -> io.BytesIO:
    try:
        file = tar.extractfile(path)
    except KeyError:
        file = None
    if file is None:
        raise DataError(f"the tar has no recording {path!r}", "fetch the corpus again")
    return io.BytesIO(file.read())


def _fingerprint(rows: list[dict[str, Any]], whisper: Path, layers: tuple[int, ...]) -> str:
    """Names what the pooled states depend on: which clips in which order, which encoder, which layers."""
    digest = hashlib.sha256((whisper / "config.json").read_bytes())
    weights = next(iter(sorted(whisper.glob("*.safetensors"))), None)
    if weights is None:
        raise DataError(f"{whisper} holds no Whisper weights", "harken weights pull whisper-base")
    with weights.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    digest.update("\n".join([str(layers), *(row["path"] for row in rows)]).encode())
    return digest.hexdigest()[:12]
