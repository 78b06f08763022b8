"""The alternative that Harken is measured against: Whisper's own decoder writes a transcript, the same core
reads that.

It is used as its makers intended: features padded to 30 s, transcription, greedy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from harken.audio.features import log_mel
from harken.evaluation.progress import steps

Samples = NDArray[np.float32]
Transcribe = Callable[[Sequence[Samples]], list[str]]
"""Recordings, each (N,) at 16 kHz -> their words."""

WINDOW = 30 * 16_000
"""Samples that Whisper reads; what is longer is cut."""
BATCH = 8


class WhisperDecoder:
    """A whole Whisper model, as transformers runs it."""

    def __init__(self, folder: Path, language: str | None = "en") -> None:
        """Args: folder: a Whisper model in transformers' layout; language: None lets it find out."""
        from transformers import AutoTokenizer, WhisperForConditionalGeneration

        self._language = language
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = WhisperForConditionalGeneration.from_pretrained(folder).eval()

    @torch.no_grad()
    def __call__(self, recordings: Sequence[Samples]) -> list[str]:
        texts: list[str] = []
        for start in steps(range(0, len(recordings), BATCH), "Whisper's decoder"):
            mel = np.stack([log_mel(_padded(samples)) for samples in recordings[start : start + BATCH]])
            ids = self._model.generate(
                torch.from_numpy(mel),  # (B, 80, 3000)
                attention_mask=torch.ones(len(mel), mel.shape[2], dtype=torch.long),
                language=self._language,
                task="transcribe",
                num_beams=1,
                do_sample=False,
            )
            texts += self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [text.strip() for text in texts]


def _padded(samples: Samples) -> Samples:
    return np.pad(samples[:WINDOW], (0, WINDOW - len(samples[:WINDOW])))
