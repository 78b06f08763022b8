"""Harken's own unit decoder: units -> mel frames -> waveform, piece by piece.

A piece is made anew from the units around it, as far back and ahead as it depends on them, so that pieces and
the whole agree: to rounding in the mel frames, and in the waveform to what the vocoder's furthest context
weighs (tests/model/units/test_decoder.py states how much).

Shapes: B rows, U units, F = 4 U frames, M mel bands, N = F * hop samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from harken.audio.vocoder_mel import SILENCE
from harken.errors import InputError
from harken.model.units.fsq import FiniteScalarQuantiser
from harken.model.units.hifigan import Hifigan
from harken.model.units.mel_decoder import FRAMES_PER_UNIT, MelDecoder

VOCODER_LEFT, VOCODER_RIGHT = 3, 2
"""Units of mel that the vocoder gets before and after what is kept of its sound."""
LENGTHS = (20, 24, 32, 48, 64)
"""Units of mel that the vocoder takes; shorter ones are filled up. Each new length costs it as much as three
known ones."""
QUIET_UNITS = 8
"""Of silence before a row, which are not heard: nothing was learned of speech that begins out of nothing."""


@dataclass(frozen=True)
class DecoderState:
    """What was said so far, a row each, and the silence before it."""

    voices: Tensor  # (B,) int64
    units: tuple[Tensor, ...]  # (U,) int64 each, all so far
    spoken: tuple[int, ...]  # units whose sound is out


class _Window(NamedTuple):
    """A stretch of a row that is made at once: units [start, stop), of which [first, last) are kept."""

    row: int
    start: int
    first: int
    last: int
    stop: int


class HarkenUnitDecoder(nn.Module):
    """Satisfies `base.UnitDecoder`."""

    def __init__(
        self,
        mel: MelDecoder,
        vocoder: Hifigan,
        levels: tuple[int, ...],
        voices: tuple[str, ...],
        sample_rate: int,
        codec_sha256: str,
        quiet: int,
    ) -> None:
        """Args: levels: of the quantiser that the units come from. voices: in the order of `mel`'s table.
        quiet: the unit of silence.
        """
        super().__init__()
        assert len(voices) == mel.sizes.voices, "a voice each"
        self.mel, self.vocoder, self.voices = mel, vocoder, voices
        self.quantise = FiniteScalarQuantiser(levels)
        self.sample_rate, self.codec_sha256, self.quiet = sample_rate, codec_sha256, quiet

    @property
    def units_hz(self) -> float:
        return self.sample_rate / (self.vocoder.hop * FRAMES_PER_UNIT)

    @property
    def vocabulary(self) -> tuple[int, ...]:
        return (self.quantise.vocabulary,)

    @property
    def lookahead_units(self) -> int:
        return self.mel.sizes.right_units + VOCODER_RIGHT

    @property
    def unit_samples(self) -> int:
        """Samples a unit."""
        return self.vocoder.hop * FRAMES_PER_UNIT

    def init_state(self, voices: list[str]) -> DecoderState:
        for voice in voices:
            if voice not in self.voices:
                raise InputError(f"there is no voice {voice!r}", f"voices: {', '.join(self.voices)}")
        rows = torch.tensor([self.voices.index(voice) for voice in voices])
        silence = tuple(torch.full((QUIET_UNITS,), self.quiet) for _ in voices)
        return DecoderState(rows, silence, (QUIET_UNITS,) * len(voices))

    def step(self, state: DecoderState, units: Tensor, lengths: Tensor) -> tuple[list[Tensor], DecoderState]:
        state = self._read(state, units, lengths)
        ready = [
            max(len(row) - self.lookahead_units, done)
            for row, done in zip(state.units, state.spoken, strict=True)
        ]
        return self._sound(state, ready), replace(state, spoken=tuple(ready))

    def flush(self, state: DecoderState, units: Tensor, lengths: Tensor) -> list[Tensor]:
        state = self._read(state, units, lengths)
        return self._sound(state, [len(row) for row in state.units])

    def decode(self, units: list[Tensor], voices: list[str]) -> list[Tensor]:
        """Whole rows at once: (U,) units each -> samples (N,) each."""
        lengths = torch.tensor([len(row) for row in units])
        return self.flush(self.init_state(voices), pad_sequence(units, batch_first=True), lengths)

    def _read(self, state: DecoderState, units: Tensor, lengths: Tensor) -> DecoderState:
        """The state with these units as well."""
        self._check(units, lengths)
        said = tuple(
            torch.cat([before, new[:length]])
            for before, new, length in zip(state.units, units, lengths.tolist(), strict=True)
        )
        return replace(state, units=said)

    def _check(self, units: Tensor, lengths: Tensor) -> None:
        counts = torch.arange(units.shape[1], device=units.device)[None] < lengths[:, None]
        wrong = units[counts & ((units < 0) | (units >= self.quantise.vocabulary))]
        if len(wrong):
            raise InputError(
                f"unit {int(wrong[0])} is not one of this codec's {self.quantise.vocabulary}",
                "decode units with the codec that wrote them",
            )

    def _sound(self, state: DecoderState, ready: list[int]) -> list[Tensor]:
        """The samples of each row's units from what is spoken to what is `ready`, a part after the other."""
        waves, most = [torch.zeros(0) for _ in ready], LENGTHS[-1] - VOCODER_LEFT - VOCODER_RIGHT
        while any(last > spoken for last, spoken in zip(ready, state.spoken, strict=True)):
            part = [min(last, spoken + most) for last, spoken in zip(ready, state.spoken, strict=True)]
            made = self._part(state, part)
            waves = [torch.cat(pair) for pair in zip(waves, made, strict=True)]
            state = replace(state, spoken=tuple(part))
        return waves

    @torch.no_grad()
    def _part(self, state: DecoderState, ready: list[int]) -> list[Tensor]:
        windows = [
            self._window(row, state.spoken[row], last, len(state.units[row]))
            for row, last in enumerate(ready)
            if last > state.spoken[row]
        ]
        waves = [torch.zeros(0) for _ in ready]
        if not windows:
            return waves
        frames = self._frames(state, windows)
        mel = pad_sequence(frames, batch_first=True, padding_value=SILENCE)  # (B, F, M)
        length = next(units * FRAMES_PER_UNIT for units in LENGTHS if units * FRAMES_PER_UNIT >= mel.shape[1])
        mel = nn.functional.pad(mel, (0, 0, 0, length - mel.shape[1]), value=SILENCE)
        sound = self.vocoder(mel.transpose(1, 2))
        for window, wave in zip(windows, sound, strict=True):
            before = min(VOCODER_LEFT, window.first - window.start)
            begin = before * self.unit_samples
            waves[window.row] = wave[begin : begin + (window.last - window.first) * self.unit_samples].clone()
        return waves

    def _window(self, row: int, first: int, last: int, length: int) -> _Window:
        start = max(0, first - VOCODER_LEFT - self.mel.left_units)
        return _Window(row, start, first, last, min(length, last + self.lookahead_units))

    def _frames(self, state: DecoderState, windows: list[_Window]) -> list[Tensor]:
        """Log-mel (F, M) of each window, from the vocoder's left context to its right one."""
        rows = [state.units[w.row][w.start : w.stop] for w in windows]
        units = pad_sequence(rows, batch_first=True)  # (B, U)
        valid = pad_sequence([torch.ones_like(row, dtype=torch.bool) for row in rows], batch_first=True)
        voices = state.voices[[w.row for w in windows]]
        mel, _ = self.mel(self.quantise.codes(units), voices, valid)
        frames = []
        for window, made in zip(windows, mel, strict=True):
            begin = max(0, window.first - VOCODER_LEFT) - window.start
            end = min(window.last + VOCODER_RIGHT, window.stop) - window.start
            after = (window.last + VOCODER_RIGHT - window.start - end) * FRAMES_PER_UNIT
            kept = made[begin * FRAMES_PER_UNIT : end * FRAMES_PER_UNIT]
            frames.append(nn.functional.pad(kept, (0, 0, 0, after), value=SILENCE))
        return frames
