"""CosyVoice2's units (Apache-2.0): 25 a second, 6,561 of them, 24 kHz, from what a checkout has loaded.

Nothing of CosyVoice2 comes with Harken. `CosyVoice2` is the object of a checkout's `cosyvoice.cli.cosyvoice`
(from 2025 on), which the caller has opened (`harken.voices.cosyvoice2.checkout`). A voice is a prompt
recording. Its flow looks at whole chunks of 25 units, counted from the prompt's start, so sound comes in
these.

Shapes: N samples, U units, B rows, T mel frames (100 a second).
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from harken.audio.features import log_mel
from harken.errors import InputError

UNITS_HZ = 25.0
VOCABULARY = (6561,)
SAMPLE_RATE_HZ = 24_000
PROMPT_RATE_HZ = 16_000
MEL_BANDS = 128
_WINDOW_S = 30


class CosyVoice2Encoder:
    """Satisfies `base.UnitEncoder`; K = 1."""

    units_hz, vocabulary = UNITS_HZ, VOCABULARY

    def __init__(self, session: Any, codec_sha256: str) -> None:
        """Args: session: onnxruntime's, of `speech_tokenizer_v2.onnx`. codec_sha256: of that file."""
        self._session, self.codec_sha256 = session, codec_sha256

    def encode(self, wave: NDArray[np.float32], sample_rate: int) -> NDArray[np.integer]:
        """(N,) samples -> (U, 1) int64. Raises InputError for a recording without samples."""
        if wave.size == 0:
            raise InputError("there is nothing in the recording to write as units", "give it samples")
        samples = wave if sample_rate == PROMPT_RATE_HZ else soxr.resample(wave, sample_rate, PROMPT_RATE_HZ)
        step = _WINDOW_S * PROMPT_RATE_HZ
        found = [self._window(samples[start : start + step]) for start in range(0, len(samples), step)]
        units: NDArray[np.integer] = np.concatenate(found)[:, None]
        return units

    def _window(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        mel = log_mel(samples, MEL_BANDS)[None]  # (1, 128, T)
        features, length = (given.name for given in self._session.get_inputs())
        (units,) = self._session.run(None, {features: mel, length: np.array([mel.shape[2]], np.int32)})
        return np.asarray(units, np.int64).reshape(-1)


@dataclass
class _Row:
    """One stream. What its vocoder remembers lies in the checkout's model, under `name`."""

    prompt: dict[str, Tensor]
    name: str = field(default_factory=lambda: str(uuid.uuid4()))
    units: list[int] = field(default_factory=list)
    settled: int = 0  # units whose sound is out


class CosyVoice2Decoder:
    """Satisfies `base.UnitDecoder`; rows are made one after the other, and a state is used once."""

    units_hz, vocabulary, sample_rate = UNITS_HZ, VOCABULARY, SAMPLE_RATE_HZ

    def __init__(self, cosyvoice: Any, prompts: Mapping[str, Path], codec_sha256: str) -> None:
        """Args:
        cosyvoice: a checkout's `CosyVoice2`.
        prompts: name -> recording of 3 to 30 s of one speaker.
        """
        self._frontend, self._model = cosyvoice.frontend, cosyvoice.model
        self._prompts, self.codec_sha256 = dict(prompts), codec_sha256

    @property
    def lookahead_units(self) -> int:
        """Of the flow; besides, `step` waits for a chunk to be whole."""
        return int(self._model.flow.pre_lookahead_len)

    @property
    def voices(self) -> tuple[str, ...]:
        return tuple(self._prompts)

    def init_state(self, voices: list[str]) -> tuple[_Row, ...]:
        """A row a voice. Raises InputError for a voice that there is not."""
        return tuple(self._row(name) for name in voices)

    def step(self, state: tuple[_Row, ...], units: Tensor, lengths: Tensor) -> tuple[list[Tensor], Any]:
        """See `base.UnitDecoder.step`."""
        if len(units) and not bool(((units >= 0) & (units < VOCABULARY[0])).all()):
            raise InputError(f"a unit is outside 0 to {VOCABULARY[0] - 1}", "is it another codec's?")
        sounds: list[Tensor] = []
        for row, said, length in zip(state, units.tolist(), lengths.tolist(), strict=True):
            row.units += said[:length]
            pieces = []
            while len(row.units) >= row.settled + self._chunk(row) + self.lookahead_units:
                end = row.settled + self._chunk(row)
                pieces.append(self._sound(row, end + self.lookahead_units, final=False))
                row.settled = end
            sounds.append(torch.cat([torch.zeros(0), *pieces]))
        return sounds, state

    def flush(self, state: tuple[_Row, ...], units: Tensor, lengths: Tensor) -> list[Tensor]:
        """See `base.UnitDecoder.flush`; what the model remembers of each row is let go."""
        sounds, _ = self.step(state, units, lengths)
        for number, row in enumerate(state):
            if row.settled < len(row.units):
                rest = self._sound(row, len(row.units), final=True)
                sounds[number] = torch.cat([sounds[number], rest])
            self._model.hift_cache_dict.pop(row.name, None)
        return sounds

    def _row(self, voice: str) -> _Row:
        if voice not in self._prompts:
            raise InputError(f"there is no voice {voice!r}", f"voices: {', '.join(self._prompts) or 'none'}")
        path = str(self._prompts[voice])
        row = _Row(self._frontend.frontend_zero_shot("", "", path, SAMPLE_RATE_HZ, ""))
        self._model.hift_cache_dict[row.name] = None
        weakref.finalize(row, self._model.hift_cache_dict.pop, row.name, None)  # of a stream that is left
        return row

    def _chunk(self, row: _Row) -> int:
        """Units until the flow's next chunk is whole; the first one completes the prompt's last."""
        hop = int(self._model.token_hop_len)
        return hop if row.settled else hop + -int(row.prompt["flow_prompt_speech_token"].shape[1]) % hop

    @torch.no_grad()
    def _sound(self, row: _Row, end: int, final: bool) -> Tensor:
        wave: Tensor = self._model.token2wav(
            token=torch.tensor([row.units[:end]], dtype=torch.int32),
            prompt_token=row.prompt["flow_prompt_speech_token"],
            prompt_feat=row.prompt["prompt_speech_feat"],
            embedding=row.prompt["flow_embedding"],
            token_offset=row.settled,
            uuid=row.name,
            stream=True,
            finalize=final,
        )
        return wave.reshape(-1).float().cpu()
