"""Sound on its way in and out: base64 in the formats of the protocol, resampled as it streams.

Shapes: N samples.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soxr

from harken.audio import g711, pcm
from harken.audio.io import SAMPLE_RATE_HZ, Samples
from harken.serving.wire import Refused

Kind = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]


@dataclass(frozen=True)
class Format:
    """How sound is written."""

    kind: Kind = "audio/pcm"

    @property
    def rate_hz(self) -> int:
        return pcm.SAMPLE_RATE_HZ if self.kind == "audio/pcm" else g711.SAMPLE_RATE_HZ

    @property
    def bytes_hz(self) -> int:
        """Bytes a second."""
        return self.rate_hz * (2 if self.kind == "audio/pcm" else 1)

    def as_event(self) -> dict[str, object]:
        """As the protocol has it."""
        return {"type": self.kind} | ({"rate": self.rate_hz} if self.kind == "audio/pcm" else {})

    def decoded(self, text: str) -> Samples:
        """The samples (N,) in base64. Raises Refused where they are none."""
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Refused("audio is not in base64", param="audio") from None
        if self.kind != "audio/pcm":
            return g711.decoded(raw, "ULAW" if self.kind == "audio/pcmu" else "ALAW")
        if len(raw) % 2:
            raise Refused("audio ends within a sample of 16 bits", param="audio")
        return np.frombuffer(raw, "<i2").astype(np.float32) / np.float32(32768)

    def encoded(self, samples: Samples) -> str:
        """Samples (N,), as text."""
        samples = np.clip(samples, -1.0, 1.0)
        if self.kind == "audio/pcm":
            return pcm.encoded(samples)
        law: g711.Law = "ULAW" if self.kind == "audio/pcmu" else "ALAW"
        return base64.b64encode(g711.encoded(samples, law)).decode()


class Ears:
    """A client's stream -> what the model hears: 16 kHz."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self._begin()

    def hear(self, text: str) -> Samples:
        """The next samples (N,) at 16 kHz. Raises Refused."""
        samples: Samples = self._stream.resample_chunk(self.form.decoded(text))
        return samples

    def whole(self, text: str) -> Samples:
        """All of a recording, (N,). Raises Refused."""
        return np.concatenate([self.hear(text), self.end()])

    def end(self) -> Samples:
        """What was held back, (N,); what comes next is a new stream."""
        samples: Samples = self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
        self._begin()
        return samples

    def _begin(self) -> None:
        self._stream = soxr.ResampleStream(self.form.rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")


class Mouth:
    """The sound of one reply -> a client's stream."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self._rate_hz = 0
        self._stream: soxr.ResampleStream | None = None

    def say(self, samples: Samples, rate_hz: int) -> str:
        """The next samples (N,), as text; what the resampler still holds comes with those after it."""
        return self._said(samples, rate_hz, last=False)

    def end(self) -> str:
        """What was held back, when nothing more comes."""
        return self._said(np.zeros(0, np.float32), self._rate_hz, last=True) if self._stream else ""

    def _said(self, samples: Samples, rate_hz: int, last: bool) -> str:
        if rate_hz == self.form.rate_hz:
            return self.form.encoded(samples) if len(samples) else ""
        if self._stream is None or rate_hz != self._rate_hz:
            self._stream = soxr.ResampleStream(rate_hz, self.form.rate_hz, 1, dtype="float32")
            self._rate_hz = rate_hz
        said = self._stream.resample_chunk(samples, last=last)
        return self.form.encoded(said) if len(said) else ""
