"""Recordings: whatever a user hands over, as mono float32, or one clear line on why not; and writing.

All is at 16 kHz unless another rate is asked for. `read` takes paths, bytes and open files in any format that
libsndfile decodes, at any rate and with any channels; `from_array` takes samples in memory. Both stream: an
hour at 192 kHz with six channels never stands in memory as such. Nothing that leaves here is empty, silent,
clipped or carries NaN. Cutting long recordings is left to `harken.audio.windows`.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import ArrayLike, NDArray

from harken.errors import InputError

SAMPLE_RATE_HZ = 16_000
SHORTEST_S = 0.1
LONGEST_S = 4 * 3600.0
SILENCE_PEAK = 1e-3
"""A recording whose samples all lie within ±0.001 of one value (-60 dB of full scale) is silent."""

_RATES_HZ = (1_000, 768_000)
_BLOCK = 1 << 14  # frames decoded at a time
_CONVERT = "convert it to WAV, for example: ffmpeg -i INPUT output.wav"
_ENCODINGS = {"wav": ("WAV", "PCM_16"), "opus": ("OGG", "OPUS")}

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording, ready for Listen."""

    samples: Samples  # (N,), finite, within [-1, 1]
    source_sample_rate: int  # Hz, before resampling
    name: str  # what to call it in messages: the path as given, or what the caller said
    sample_rate: int = SAMPLE_RATE_HZ  # Hz

    @property
    def seconds(self) -> float:
        return self.samples.size / self.sample_rate


def read(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    name: str | None = None,
    sample_rate: int = SAMPLE_RATE_HZ,
) -> Recording:
    """The recording in a file, in the bytes of a file, or in an open binary file: mono, at `sample_rate` Hz.

    `name` is used in messages instead of the path. Raises InputError, naming the recording, for whatever
    cannot be heard: missing, a directory, unreadable, not audio, cut short, empty, silent, NaN or infinite
    samples, shorter than `SHORTEST_S` or longer than `LONGEST_S`.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(io.BytesIO(source), name or "recording", sample_rate)
    if not isinstance(source, (str, os.PathLike)):
        return _decode(
            io.BytesIO(source.read()), name or str(getattr(source, "name", "recording")), sample_rate
        )
    path, name = Path(source), _printable(name or os.fspath(source))
    try:
        if path.is_dir():
            raise InputError(f"{name}: is a directory, not a recording", "name a file in it")
        if path.exists() and not path.is_file():
            raise InputError(f"{name}: is not a regular file", "save the recording to a file first")
        with path.open("rb") as file:
            return _decode(file.fileno(), name, sample_rate)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: no such file", "check the path") from None
    except PermissionError:
        raise InputError(f"{name}: cannot be read: permission denied", f"chmod u+r {name}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{name}: cannot be read: {reason}", "check the path and the disk") from None


def from_array(samples: ArrayLike, sample_rate: int, name: str = "array") -> Recording:
    """The recording in `samples`: (N,), or two-dimensional, where the shorter axis is the channels.

    Floats are taken within [-1, 1], integers within their type's range. Raises InputError as `read` does.
    """
    array = np.asarray(samples)
    if array.ndim not in (1, 2) or not (np.issubdtype(array.dtype, np.integer) or array.dtype.kind == "f"):
        raise InputError(
            f"{name}: samples of shape {array.shape} and type {array.dtype} are not audio",
            "give numbers of shape (samples,) or (samples, channels)",
        )
    frames = array[:, None] if array.ndim == 1 else array if array.shape[0] >= array.shape[1] else array.T
    return _condition(_float_blocks(frames), sample_rate, name, SAMPLE_RATE_HZ)


def write(path: str | os.PathLike[str], samples: Samples, sample_rate: int, encoding: str = "wav") -> None:
    """Writes (N,) samples as 16-bit WAV or, with `encoding="opus"`, Ogg Opus; never half a file.

    Samples beyond ±1 are scaled down together rather than clipped. Raises InputError where the place cannot
    be written to.
    """
    encoded = encode(samples, sample_rate, encoding)
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(f"{target}: cannot be written: no such directory", f"mkdir -p {target.parent}")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(encoded)
        part.replace(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}", "name another place") from None
    finally:
        part.unlink(missing_ok=True)


def encode(samples: Samples, sample_rate: int, encoding: str = "wav") -> bytes:
    """(N,) samples as the bytes of a file, as `write` writes it."""
    assert samples.ndim == 1 and bool(np.isfinite(samples).all()), "what is written is finite and mono"
    container, subtype = _ENCODINGS[encoding]
    encoded = io.BytesIO()
    soundfile.write(encoded, _peak_safe(samples), sample_rate, format=container, subtype=subtype)
    return encoded.getvalue()


def _decode(file: int | io.BytesIO, name: str, target: int) -> Recording:
    try:
        with soundfile.SoundFile(file, closefd=False) as sound:
            _check_whole(sound, name)
            return _condition(_decoded_blocks(sound, name), sound.samplerate, name, target)
    except soundfile.LibsndfileError as error:
        size = os.fstat(file).st_size if isinstance(file, int) else file.getbuffer().nbytes
        if size == 0:
            raise InputError(f"{name}: is empty (0 bytes)", "record it again") from None
        raise InputError(f"{name}: is not audio that can be decoded ({_reason(error)})", _CONVERT) from None


def _printable(name: str) -> str:
    """One line that any terminal takes: line breaks and bytes that are no text are escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def _reason(error: soundfile.LibsndfileError) -> str:
    reason = error.error_string.removeprefix("Error : ").rstrip(".")
    return (
        "damaged header" if reason.startswith("File does not exist") else reason
    )  # what it says of a cut MP3


def _check_whole(sound: soundfile.SoundFile, name: str) -> None:
    """Refuses a WAV or AIFF that promises more than is there; huge sizes mark a stream of unknown length."""
    promised = re.search(r"(?:data|SSND) : (\d+) \(should be (\d+)\)", sound.extra_info)
    if promised is None or int(promised[1]) >= 0x7FFF0000:
        return
    declared, present = int(promised[1]), int(promised[2])
    whole_s = sound.frames / sound.samplerate * declared / max(present, 1)
    missing_s = whole_s - sound.frames / sound.samplerate
    if missing_s > max(SHORTEST_S, 0.01 * whole_s):
        raise InputError(
            f"{name}: is cut short: {whole_s - missing_s:.1f} s of {whole_s:.1f} s are there",
            "copy or record it again, or keep what is there: ffmpeg -i INPUT output.wav",
        )


def _decoded_blocks(sound: soundfile.SoundFile, name: str) -> Iterator[Samples]:
    done = 0
    try:
        while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
            done += len(block)
            yield block  # (frames, channels)
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{name}: is cut short or damaged after about {done / sound.samplerate:.0f} s ({_reason(error)})",
            "copy or record it again",
        ) from None


def _float_blocks(frames: NDArray[Any]) -> Iterator[Samples]:
    for start in range(0, frames.shape[0], _BLOCK):
        block = frames[start : start + _BLOCK]
        if block.dtype.kind == "f":
            with np.errstate(
                over="ignore"
            ):  # a float64 beyond float32 becomes infinite and is refused as such
                yield block.astype(np.float32)
        else:
            limits = np.iinfo(block.dtype)
            middle = (int(limits.max) + int(limits.min) + 1) / 2  # 0 for signed types
            scale = (int(limits.max) - int(limits.min) + 1) / 2
            yield ((block.astype(np.float64) - middle) / scale).astype(np.float32)


class _Levels:
    """The blocks that went by: extremes of the mix and of the channels, and samples that are no numbers."""

    def __init__(self) -> None:
        self.frames = self.broken = 0
        self.first_broken = -1
        self.mix_low, self.mix_high = np.inf, -np.inf
        self.channel_peak = 0.0

    def mix_down(self, block: Samples) -> Samples:
        """The mean of a block's channels, (frames,)."""
        mix: Samples = block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else block[:, 0]
        if not np.isfinite(mix).all():
            broken = np.flatnonzero(~np.isfinite(mix))
            if self.first_broken < 0:
                self.first_broken = self.frames + int(broken[0])
            self.broken += broken.size
        else:
            self.mix_low, self.mix_high = min(self.mix_low, mix.min()), max(self.mix_high, mix.max())
            self.channel_peak = max(self.channel_peak, float(np.abs(block).max()))
        self.frames += mix.size
        return mix


def _condition(blocks: Iterator[Samples], rate: int, name: str, target: int) -> Recording:
    """Mixes down, resamples to `target` Hz and checks (frames, channels) blocks."""
    if not _RATES_HZ[0] <= rate <= _RATES_HZ[1]:
        raise InputError(
            f"{name}: a sample rate of {rate} Hz is not one of speech",
            f"give the true rate, between {_RATES_HZ[0]} and {_RATES_HZ[1]} Hz",
        )
    levels, pcm = _Levels(), bytearray()
    resampler = soxr.ResampleStream(rate, target, 1, dtype="float32") if rate != target else None
    for block in blocks:
        mix = levels.mix_down(block)
        if levels.frames > LONGEST_S * rate:
            break
        if not levels.broken:
            pcm += (resampler.resample_chunk(mix) if resampler else mix).tobytes()
    _check_levels(levels, rate, name)
    if resampler:
        pcm += resampler.resample_chunk(np.zeros(0, np.float32), last=True).tobytes()
    return Recording(_peak_safe(np.frombuffer(pcm, np.float32)), rate, name, target)


def _check_levels(levels: _Levels, rate: int, name: str) -> None:
    if levels.frames > LONGEST_S * rate:
        raise InputError(f"{name}: is longer than {LONGEST_S / 3600:.0f} hours", "cut it into shorter files")
    if levels.frames == 0:
        raise InputError(f"{name}: is empty (0 samples)", "record it again")
    if levels.broken == levels.frames:
        raise InputError(f"{name}: every sample is NaN or infinite", "export it again as 16-bit WAV")
    if levels.broken:
        raise InputError(
            f"{name}: {levels.broken} samples are NaN or infinite, "
            f"the first at {levels.first_broken / rate:.3f} s",
            "export it again as 16-bit WAV, or mend it: numpy.nan_to_num(samples)",
        )
    if levels.frames < SHORTEST_S * rate:
        raise InputError(
            f"{name}: is {levels.frames / rate:.3f} s long, too short to hold speech",
            f"give at least {SHORTEST_S} s",
        )
    if (levels.mix_high - levels.mix_low) / 2 < SILENCE_PEAK:
        if levels.channel_peak >= SILENCE_PEAK > max(levels.mix_high, -levels.mix_low):
            raise InputError(
                f"{name}: its channels cancel each other out when mixed",
                "keep one: ffmpeg -i INPUT -af 'pan=mono|c0=c0' output.wav",
            )
        raise InputError(
            f"{name}: is silent (nothing above {SILENCE_PEAK} of full scale)",
            "check the microphone, or raise the level if it is a very quiet recording",
        )


def _peak_safe(samples: Samples) -> Samples:
    peak = float(max(samples.max(initial=0.0), -samples.min(initial=0.0)))
    return (samples / peak).astype(np.float32) if peak > 1.0 else samples
