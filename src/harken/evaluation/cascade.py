"""The alternative that Harken is measured against: Whisper's own decoder writes a transcript, the same core
reads that.

It is used as its makers intended: features padded to 30 s, English, transcription, greedy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from harken.audio.features import log_mel

Samples = NDArray[np.float32]
Transcribe = Callable[[Sequence[Samples]], list[str]]
"""Recordings, each (N,) at 16 kHz -> their words."""

WINDOW = 30 * 16_000
"""Samples that Whisper reads; what is longer is cut."""


class WhisperDecoder:
    """A whole Whisper model, as transformers runs it."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: a Whisper model in transformers' layout."""
        from transformers import AutoTokenizer, WhisperForConditionalGeneration

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = WhisperForConditionalGeneration.from_pretrained(folder).eval()

    @torch.no_grad()
    def __call__(self, recordings: Sequence[Samples]) -> list[str]:
        texts: list[str] = []
        for start in range(0, len(recordings), 8):
            padded = [
                np.pad(r[:WINDOW], (0, WINDOW - len(r[:WINDOW]))) for r in recordings[start : start + 8]
            ]
            mel = torch.from_numpy(np.stack([log_mel(samples) for samples in padded]))  # (B, 80, 3000)
            ids = self._model.generate(mel, language="en", task="transcribe", num_beams=1, do_sample=False)
            texts += self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [text.strip() for text in texts]
