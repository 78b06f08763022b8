"""A microphone and a loudspeaker behind sounddevice's names: one hears silence but for what is said by `say`,
and what the other plays is kept.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

RATE_HZ = 48_000
BLOCK = 1_024


class FakeSoundDevice:
    """In place of the module."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        self.missing: str | None = None
        """"input" or "output"."""
        self.most_played_s = float("inf")
        """The loudspeaker stands still after this."""
        self._said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._played: list[np.ndarray[Any, Any]] = []

    def say(self, seconds: float, quiet_s: float = 1.0) -> None:
        """Somebody hums, and is quiet then."""
        hum = (0.3 * np.sin(np.arange(int(seconds * RATE_HZ)) / 20)).astype(np.float32)
        said = np.concatenate([hum, np.zeros(int(quiet_s * RATE_HZ), np.float32)])
        for start in range(0, len(said), BLOCK):
            self._said.put(said[start : start + BLOCK])

    def unplug(self) -> None:
        self._said.put(None)

    @property
    def played(self) -> np.ndarray[Any, Any]:
        """All that was to be heard, without the silence."""
        whole = np.concatenate([np.zeros(0, np.float32), *self._played])
        return whole[whole != 0]

    def query_devices(self, device: str | None, kind: str) -> dict[str, float]:
        if kind == self.missing:
            raise ValueError(f"No {kind} device matching {device!r}")
        return {"default_samplerate": float(RATE_HZ)}

    def InputStream(self, **options: Any) -> _Stream:
        finished = options["finished_callback"]

        def step(callback: Callable[..., None]) -> bool:
            try:
                block = self._said.get_nowait()
            except queue.Empty:
                block = np.zeros(BLOCK, np.float32)
            if block is None:
                finished()
                return False
            callback(block[:, None], len(block), None, None)
            return True

        return _Stream(step, options)

    def OutputStream(self, **options: Any) -> _Stream:
        def step(callback: Callable[..., None]) -> bool:
            if len(self.played) / RATE_HZ < self.most_played_s:
                out = np.zeros((BLOCK, 1), np.float32)
                callback(out, BLOCK, None, None)
                self._played.append(out[:, 0])
            return True

        return _Stream(step, options)


class _Stream:
    """Calls back again and again, quicker than a device."""

    def __init__(self, step: Callable[[Callable[..., None]], bool], options: dict[str, Any]) -> None:
        assert (options["samplerate"], options["channels"], options["dtype"]) == (RATE_HZ, 1, "float32")
        self._step, self._callback = step, options["callback"]
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(0.0005) and self._step(self._callback):
            pass
