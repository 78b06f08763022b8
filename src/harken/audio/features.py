"""Log-mel features of a recording, as Whisper was trained on them, at the recording's real length.

`log_mel` gives the very frames that transformers' `WhisperFeatureExtractor` gives for the same samples padded
to 30 s, without the frames that are only padding: the encoder is then run on the real length, which for a 5 s
turn is a sixth of the work. It is computed with torch, about ten times as quick as the extractor. Reading and
resampling are left to `harken.audio.io`, cutting into windows to `harken.audio.windows`.

Shapes: N samples, T = frames (even), M mel bands, 80 but for Whisper large-v3 and what follows it (128).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
FRAMES_PER_S = 100
MEL_BANDS = 80

_HOP = SAMPLE_RATE_HZ // FRAMES_PER_S
_FFT = 400
_ACTIVE_DB = -20.0  # of the loudest
_FRAMES_MULTIPLE = 2  # Whisper's second convolution has stride 2: an even T loses nothing


@cache
def _mel_filters(bands: int) -> torch.Tensor:
    """Slaney-scaled triangular filters up to 8 kHz, (M, 201)."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=1 + _FFT // 2,
        num_mel_filters=bands,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE_HZ / 2,
        sampling_rate=SAMPLE_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(np.ascontiguousarray(filters.T, dtype=np.float32))


@cache
def _window() -> torch.Tensor:
    return torch.hann_window(_FFT)


def frame_count(sample_count: int) -> int:
    """How many frames `log_mel` gives for so many samples: 100 a second, rounded up to an even number."""
    step = _HOP * _FRAMES_MULTIPLE
    return -(-sample_count // step) * _FRAMES_MULTIPLE


def log_mel(samples: NDArray[np.float32], bands: int = MEL_BANDS) -> NDArray[np.float32]:
    """Whisper's log-mel features, float32, (M, T) at 100 frames a second.

    `samples` is (N,) float32 at 16 kHz; T is `frame_count(N)`. The scale is relative to the loudest frame of
    what is given, so windows of one recording are scaled each for itself, as Whisper does. Raises ValueError
    where `samples` is empty or not one-dimensional.
    """
    if samples.ndim != 1 or samples.size == 0:
        raise ValueError(f"log_mel takes a non-empty (N,) array, not one of shape {samples.shape}")
    frames = frame_count(samples.size)
    wave = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    wave = torch.nn.functional.pad(wave, (0, frames * _HOP - samples.size))  # silence up to whole frames
    with torch.inference_mode():
        wave = torch.nn.functional.pad(wave[None], (_FFT // 2, 0), mode="reflect")[0]
        wave = torch.nn.functional.pad(
            wave, (0, _FFT + _HOP)
        )  # silence after: every frame that hears the end
        spectrum = torch.stft(
            wave, _FFT, _HOP, window=_window(), center=False, return_complex=True
        )  # (201, >T)
        power = spectrum.real.square() + spectrum.imag.square()
        mel = (_mel_filters(bands) @ power).clamp_min(1e-10).log10()  # (M, >T)
        mel = (torch.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0
    features: NDArray[np.float32] = mel[:, :frames].contiguous().numpy()
    return features


def active_frames(mel: torch.Tensor) -> torch.Tensor:
    """Where somebody speaks: (B, 80, 2T) of `log_mel` -> (B, T) bool at 50 a second.

    A frame is active where the power of the 80 ms around it lies within 20 dB of the clip's loudest.
    """
    power = (10 ** (4 * mel.float() - 4)).sum(1, keepdim=True)  # (B, 1, 2T)
    smooth = torch.nn.functional.avg_pool1d(power, 8, 2, padding=3, count_include_pad=False)[:, 0]  # (B, T)
    return smooth >= smooth.amax(1, keepdim=True) * 10 ** (_ACTIVE_DB / 10)
