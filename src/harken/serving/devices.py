"""The machine's own microphone and loudspeaker, by sounddevice (extra `talk`): streams of samples in and out.

Each runs at its device's own rate; what comes in is made 16 kHz, what goes out is made the device's.

Shapes: N samples.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import soxr

from harken.audio.io import SAMPLE_RATE_HZ, Samples
from harken.errors import InputError, MissingExtra


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtra("harken talk", "talk") from error
    except OSError as error:  # it loads PortAudio when it is imported
        raise InputError(
            f"there is no PortAudio, which sounddevice plays and records by: {error}",
            "on Debian: apt install libportaudio2",
        ) from None
    return sounddevice


def _open(kind: str, device: str | None, **options: Any) -> tuple[Any, int]:
    """A stream that is running, and its rate. Raises InputError where there is no such device."""
    sounddevice = _sounddevice()
    what = "microphone" if kind == "input" else "loudspeaker"
    try:
        rate_hz = int(sounddevice.query_devices(device, kind)["default_samplerate"])
        stream_of = sounddevice.InputStream if kind == "input" else sounddevice.OutputStream
        stream = stream_of(samplerate=rate_hz, device=device, channels=1, dtype="float32", **options)
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        named = f"{what} {device!r}" if device else what
        raise InputError(
            f"there is no {named} that can be opened: {error}", "python -m sounddevice lists what there is"
        ) from None
    return stream, rate_hz


class Microphone:
    """Open while it is entered."""

    def __init__(self, device: str | None = None) -> None:
        """Args: device: its name or a part of it; None takes the machine's default."""
        self._device = device
        self._heard: queue.SimpleQueue[Samples | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._stream, rate_hz = _open(
            "input", self._device, callback=self._hear, finished_callback=lambda: self._heard.put(None)
        )
        self._resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def forget(self) -> None:
        """What was heard so far does not count."""
        while not self._heard.empty():
            if self._heard.get() is None:
                self._heard.put(None)
                return

    def chunks(self) -> Iterator[Samples]:
        """Samples (N,) at 16 kHz as they come, until the device is gone."""
        while (heard := self._heard.get()) is not None:
            samples: Samples = self._resampler.resample_chunk(heard)
            if len(samples):
                yield samples

    def _hear(self, samples: Any, frames: int, time: Any, status: Any) -> None:
        self._heard.put(samples[:, 0].copy())


class Loudspeaker:
    """Open while it is entered. Plays one reply after the other, and knows how much of the last was heard."""

    def __init__(self, device: str | None = None) -> None:
        """Args: device: its name or a part of it; None takes the machine's default."""
        self._device = device
        self._waiting: deque[Samples] = deque()
        self._played = 0  # samples of the reply
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._stream, self._rate_hz = _open("output", self._device, callback=self._fill)
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def playing(self) -> bool:
        with self._lock:
            return bool(self._waiting)

    def begin(self) -> None:
        """Another reply."""
        self.hush()
        self._resampler: soxr.ResampleStream | None = None

    def play(self, samples: Samples, rate_hz: int) -> None:
        """The next samples (N,) of the reply."""
        if self._resampler is None:
            self._resampler = soxr.ResampleStream(rate_hz, self._rate_hz, 1, dtype="float32")
        self._put(self._resampler.resample_chunk(samples))

    def end(self) -> None:
        """Nothing more comes."""
        if self._resampler is not None:
            self._put(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))

    def hush(self) -> float:
        """Silence at once. Gives the milliseconds of the reply that were heard."""
        with self._lock:
            self._waiting.clear()
            played, self._played = self._played, 0
        return 1000 * played / self._rate_hz

    def _put(self, samples: Samples) -> None:
        if len(samples):
            with self._lock:
                self._waiting.append(samples)

    def _fill(self, out: Any, frames: int, time: Any, status: Any) -> None:
        out.fill(0)
        at = 0
        with self._lock:
            while at < frames and self._waiting:
                samples = self._waiting.popleft()
                some = samples[: frames - at]
                out[at : at + len(some), 0] = some
                at += len(some)
                if len(some) < len(samples):
                    self._waiting.appendleft(samples[len(some) :])
            self._played += at
