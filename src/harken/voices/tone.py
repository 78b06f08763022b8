"""A voice without weights: a hum for every word. For tests, and for trying things where no weights are."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from harken.voices.base import NEUTRAL, Samples, Style, level
from harken.voices.phonemes import sentences

_WORD_S = 0.3
_SWING_HZ = 40.0


class ToneVoice:
    """Hums 0.3 s a word at a pitch of its own; obeys the style as a real voice does."""

    sample_rate = 24_000

    def __init__(self, name: str = "tone") -> None:
        self.name = name
        self._pitch_hz = 100.0 + zlib.crc32(name.encode()) % 150

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        """One chunk a sentence that has a letter or a digit in it."""
        for sentence in sentences(text):
            if any(c.isalnum() for c in sentence):
                t = (
                    np.arange(int(len(sentence.split()) * _WORD_S / style.speed * self.sample_rate))
                    / self.sample_rate
                )
                melody = self._pitch_hz * t + style.prosody_scale * _SWING_HZ * np.sin(2 * np.pi * t) / (
                    2 * np.pi
                )
                yield level(0.3 * np.sin(2 * np.pi * melody).astype(np.float32), style.gain)
