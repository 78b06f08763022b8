"""Encoder states, computed once and kept on disk, so that training the bridge never runs the encoder again.

One flat float16 file of the encoder's last layer, `(frames, E)` at 50 a second, and one line a clip that says
where its frames lie and what the affect readout makes of it. A clip may be there twice, as it is and
augmented: another microphone, noise, another pace. Caching is resumable: clips that stand are skipped, and a
half-written tail is cut off.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from harken.audio.features import active_frames, log_mel
from harken.data.speech import Clip
from harken.errors import DataError
from harken.model.affect_readout import AffectReadout
from harken.model.encoder import SpeechEncoder
from harken.processor import cores

T = TypeVar("T")
R = TypeVar("R")
STATES, INDEX = "states.f16", "index.jsonl"


@dataclass(frozen=True)
class CachedClip:
    """Where one clip's states lie, and what is said in it."""

    id: str
    text: str
    role: str
    voice: str
    split: str
    source: str
    emotion: str | None
    seconds: float
    start: int
    frames: int
    augmented: bool
    felt: tuple[float, ...]
    """The readout's vector, (V,)."""


class StateCache:
    """A folder of cached states; opens with what is there."""

    def __init__(self, folder: Path, width: int) -> None:
        self.folder, self.width = folder, width
        self.clips = [_cached(row) for row in complete_rows(folder / INDEX)]

    @property
    def frames(self) -> int:
        return max((clip.start + clip.frames for clip in self.clips), default=0)

    def states(self) -> NDArray[np.float16]:
        """All frames, (frames, E), mapped from disk."""
        return np.memmap(self.folder / STATES, np.float16, "r", shape=(self.frames, self.width))

    def missing(self, clips: list[Clip], augmented: bool) -> list[Clip]:
        """The clips that are not there yet in that form."""
        have = {clip.id for clip in self.clips}
        return [clip for clip in clips if _name(clip, augmented) not in have]

    def keep(self, clips: Iterable[Clip]) -> None:
        """Hand out these alone of what stands on disk, in place, told as they are now: augmented, those of
        split train.
        """
        now = {_name(clip, augmented): clip for clip in clips for augmented in (False, True)}
        self.clips = [
            replace(
                row, text=clip.text, role=clip.role, voice=clip.voice, split=clip.split, source=clip.source,
                emotion=clip.emotion,
            )
            for row in self.clips
            if (clip := now.get(row.id)) and (clip.split == "train" or not row.augmented)
        ]  # fmt: skip

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The folder to ourselves, with all that others have added. Raises DataError while one is at it."""
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                self.clips = [_cached(row) for row in complete_rows(self.folder / INDEX)]
                yield
        except Timeout:
            hint = "wait for it, or choose another --out"
            raise DataError(f"another process encodes speech into {self.folder}", hint) from None

    def add(
        self, clips: list[Clip], encoder: SpeechEncoder, readout: AffectReadout, seed: int, augmented: bool
    ) -> Iterator[CachedClip]:
        """Encode the clips that are not there yet, one by one.

        Args: augmented: as `augment` makes them, by the clip's own random numbers, instead of as they are.

        Raises: DataError where another process is adding to the same folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (
            self._alone(),
            (self.folder / STATES).open("ab") as states,
            (self.folder / INDEX).open("a") as index,
        ):
            start = self.frames
            states.truncate(start * self.width * 2)
            missing = self.missing(clips, augmented)
            read = partial(_samples, augmentation=seed if augmented else None)
            for clip, samples in zip(missing, ahead(read, missing), strict=True):
                last, felt = encode(encoder, readout, samples)
                encoded = last.cpu().numpy().astype(np.float16)  # (T, E)
                states.write(encoded.tobytes())
                states.flush()
                row = CachedClip(
                    _name(clip, augmented), clip.text, clip.role, clip.voice, clip.split, clip.source,
                    clip.emotion, round(len(samples) / 16000, 3), start, len(encoded), augmented,
                    tuple(round(value, 3) for value in felt.tolist()),
                )  # fmt: skip
                index.write(json.dumps(row.__dict__, ensure_ascii=False) + "\n")
                index.flush()
                start += len(encoded)
                self.clips.append(row)
                yield row


def ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `work` makes of each item, in order; a few are worked on in threads before they are asked for."""
    with ThreadPoolExecutor(cores()) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _samples(clip: Clip, augmentation: int | None) -> NDArray[np.float32]:
    """What is heard, at 16 kHz. Args: augmentation: the seed of it; None leaves the clip as it is."""
    if augmentation is None:
        return clip.samples()
    return augment(clip.samples(), np.random.default_rng([augmentation, zlib.crc32(clip.id.encode())]))


def _name(clip: Clip, augmented: bool) -> str:
    return f"{clip.id}+" if augmented else clip.id


def _cached(row: dict[str, Any]) -> CachedClip:
    return CachedClip(**row | {"felt": tuple(row["felt"])})


@torch.no_grad()
def encode(
    encoder: SpeechEncoder, readout: AffectReadout, samples: NDArray[np.float32]
) -> tuple[Tensor, Tensor]:
    """Samples (N,) at 16 kHz, up to 30 s -> the encoder's last layer (T, E); the readout's vector (V,)."""
    device = next(readout.parameters()).device
    mel = torch.from_numpy(log_mel(samples[: 30 * 16000]))[None].to(device)  # (1, 80, 2T)
    states, valid = encoder(mel)
    return states[0, :, -1], readout(states, valid, active_frames(mel)).vector[0]


def augment(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Another microphone, pace (and pitch) changed by up to 15 %, noise at 5 to 30 dB below the speech."""
    import soxr

    pace = random.uniform(0.87, 1.15)
    samples = soxr.resample(samples, 16000, round(16000 / pace)).astype(np.float32)
    samples = coloured(samples, random)
    noise = coloured_noise(len(samples), random)
    level = float(np.sqrt(np.mean(samples**2))) * 10 ** (-random.uniform(5, 30) / 20)
    return (samples + noise * level).astype(np.float32)


def coloured(samples: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """As through another microphone: each of eight bands, evenly wide on a logarithmic scale, ± 8 dB."""
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.linspace(0, 8000, len(spectrum)).clip(62.5) / 62.5)  # 0 to 7
    gain_db = np.interp(octaves, np.arange(8), random.uniform(-8, 8, 8))
    return np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(samples)).astype(np.float32)


def coloured_noise(length: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Noise of unit power whose spectrum falls by 0 (white) to 1 (pink to brown) a decade, (length,)."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    spectrum[0] = 0.0  # a constant is no noise
    shape = np.arange(1, len(spectrum) + 1) ** -random.uniform(0, 1)
    noise = np.fft.irfft(spectrum * shape, length)
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def complete_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file; a last one that was only half written is cut off."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)  # bytes: only a newline ends a line
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
        path.write_bytes(b"".join(lines))
    return [json.loads(line) for line in lines]
