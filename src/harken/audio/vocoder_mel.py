"""The mel spectrogram that HiFi-GAN was trained on: 22.05 kHz, 80 bands up to 8 kHz, natural logarithm.

Source: Kong et al. 2020 (arXiv 2010.05646), the authors' `mel_spectrogram`.

Shapes: N samples, F = ceil(N / 256) frames, M = 80 mel bands.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLE_RATE_HZ = 22_050
HOP = 256
MEL_BANDS = 80
SILENCE = float(np.log(1e-5))
"""A band in which nothing is."""

_FFT = 1024


@cache
def _filters() -> Tensor:
    """Slaney-scaled triangular filters, (M, 513)."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=1 + _FFT // 2,
        num_mel_filters=MEL_BANDS,
        min_frequency=0.0,
        max_frequency=8000.0,
        sampling_rate=SAMPLE_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(np.ascontiguousarray(filters.T, dtype=np.float32))


def vocoder_mel(samples: NDArray[np.float32]) -> Tensor:
    """(N,) samples at 22.05 kHz -> log-mel (F, M); frame f is of the samples around (f + 0.5) * 256."""
    frames = -(-samples.size // HOP)
    around = (_FFT - HOP) // 2
    wave = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    wave = torch.nn.functional.pad(wave, (around, around + frames * HOP - samples.size))
    with torch.inference_mode():
        spectrum = torch.stft(
            wave, _FFT, HOP, window=torch.hann_window(_FFT), center=False, return_complex=True
        )  # (513, F)
        magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()
        mel = (_filters() @ magnitude).clamp_min(1e-5).log()
    return mel.T.clone()
