"""Harken's own unit encoder: a recording -> units, by the speech encoder that Listen uses too.

Shapes: N samples, T encoder frames (50 a second), L layers that are read, E encoder width, U units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from harken.audio.features import log_mel
from harken.audio.pitch import Prosody, prosody
from harken.errors import InputError
from harken.model.encoder import SpeechEncoder
from harken.model.units.tokenizer import UnitTokenizer

SAMPLE_RATE_HZ = 16_000
_WINDOW_S = 28.0


class Analysed(NamedTuple):
    """What a tokenizer reads of a recording."""

    states: Tensor  # (T, L, E)
    prosody: Prosody  # of T frames


class HarkenUnitEncoder(nn.Module):
    """Satisfies `base.UnitEncoder`; K = 1."""

    def __init__(
        self,
        speech: SpeechEncoder,
        tokenizer: UnitTokenizer,
        voices: Mapping[str, float],
        units_hz: float,
        codec_sha256: str,
    ) -> None:
        """Args: voices: name -> mean log pitch, of the voices whose own pitch is known."""
        super().__init__()
        self.speech, self.tokenizer, self.voices = speech, tokenizer, dict(voices)
        self.units_hz, self.codec_sha256 = units_hz, codec_sha256

    @property
    def vocabulary(self) -> tuple[int, ...]:
        return (self.tokenizer.quantise.vocabulary,)

    @torch.no_grad()
    def encode(
        self, wave: NDArray[np.float32], sample_rate: int, voice: str | None = None
    ) -> NDArray[np.integer]:
        """(N,) samples -> (U, 1) int64, U the whole units that it takes to hold them.

        Args: voice: whose pitch is what "high" and "low" are told against; None takes the recording's own.

        Raises InputError for a recording without samples.
        """
        if wave.size == 0:
            raise InputError("there is nothing in the recording to write as units", "give it samples")
        units = round(wave.size / sample_rate * self.units_hz + 0.5 - 1e-9)  # rounded up
        samples = wave if sample_rate == SAMPLE_RATE_HZ else soxr.resample(wave, sample_rate, SAMPLE_RATE_HZ)
        found = analyse(self.speech, samples, self.tokenizer.sizes.encoder_layers)
        mean = self.voices.get(voice or "", found.prosody.mean_log_pitch())
        features = torch.from_numpy(found.prosody.features(mean))
        valid = torch.ones(1, len(features), dtype=torch.bool)
        codes = self.tokenizer(found.states[None], features[None], valid, max(1, units))
        written: NDArray[np.integer] = self.tokenizer.quantise.units(codes)[0, :, None].numpy()
        return written


@torch.no_grad()
def analyse(speech: SpeechEncoder, samples: NDArray[np.float32], layers: tuple[int, ...]) -> Analysed:
    """Read (N,) samples at 16 kHz of any length; 30 s at most go through the encoder at a time."""
    step = int(_WINDOW_S * SAMPLE_RATE_HZ)
    parts = [samples[start : start + step] for start in range(0, samples.size, step)]
    states = [speech(torch.from_numpy(log_mel(part))[None])[0][0, :, list(layers)] for part in parts]
    joined = torch.cat(states)  # (T, L, E)
    return Analysed(joined, prosody(samples, len(joined)))
