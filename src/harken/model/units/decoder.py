"""Harken's own unit decoder: units -> mel frames -> waveform, piece by piece.

It is a stream: pieces and the whole agree to rounding.

Shapes: B rows, U units, F = 4 U frames, M mel bands, N = F * hop samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from harken.audio.vocoder_mel import SILENCE
from harken.errors import InputError
from harken.model.units.fsq import FiniteScalarQuantiser
from harken.model.units.hifigan import Hifigan
from harken.model.units.mel_decoder import FRAMES_PER_UNIT, MelDecoder
from harken.model.units.stream import Kept, Stream

PIECE_UNITS = 8
"""Units that are made into sound at a time: of each other length the vocoder would make its kernels anew."""
QUIET_UNITS = 8
"""Of silence before a row, which are not heard: nothing was learned of speech that begins out of nothing."""


@dataclass(frozen=True)
class _Row:
    """One row, which begins with QUIET_UNITS of silence."""

    voice: int
    waiting: Tensor
    """(U,) int64 units that do not fill a piece yet."""
    read: int = 0
    """Units that went through the layers, silence and what comes after the last one included."""
    kept: Kept | None = None


DecoderState = tuple[_Row, ...]


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
        self._after_silence: dict[int, _Row] = {}

    @property
    def units_hz(self) -> float:
        return self.sample_rate / (self.vocoder.hop * FRAMES_PER_UNIT)

    @property
    def vocabulary(self) -> tuple[int, ...]:
        return (self.quantise.vocabulary,)

    @property
    def lookahead_units(self) -> int:
        return -(-self.delay // self.unit_samples)

    @property
    def delay(self) -> int:
        """Samples by which sound is later than its units."""
        return self.mel.sizes.right_units * self.unit_samples + self.vocoder.delay

    @property
    def unit_samples(self) -> int:
        """Samples a unit."""
        return self.vocoder.hop * FRAMES_PER_UNIT

    def init_state(self, voices: list[str]) -> DecoderState:
        for voice in voices:
            if voice not in self.voices:
                raise InputError(f"there is no voice {voice!r}", f"voices: {', '.join(self.voices)}")
        return tuple(self._begun(self.voices.index(voice)) for voice in voices)

    def _begun(self, voice: int) -> _Row:
        """A row after silence; made once, so weights may not change after it."""
        if voice not in self._after_silence:
            silence = torch.full((QUIET_UNITS,), self.quiet)
            _, self._after_silence[voice] = self._sound(_Row(voice, silence))
        return self._after_silence[voice]

    def step(self, state: DecoderState, units: Tensor, lengths: Tensor) -> tuple[list[Tensor], DecoderState]:
        """As every decoder's; sound comes when there are PIECE_UNITS more."""
        made = [self._sound(row) for row in self._with(state, units, lengths)]
        return [wave for wave, _ in made], tuple(row for _, row in made)

    def flush(self, state: DecoderState, units: Tensor, lengths: Tensor) -> list[Tensor]:
        return [self._rest(row) for row in self._with(state, units, lengths)]

    def decode(self, units: list[Tensor], voices: list[str]) -> list[Tensor]:
        """Whole rows at once: (U,) units each -> samples (N,) each."""
        lengths = torch.tensor([len(row) for row in units])
        return self.flush(self.init_state(voices), pad_sequence(units, batch_first=True), lengths)

    def _with(self, state: DecoderState, units: Tensor, lengths: Tensor) -> list[_Row]:
        """The rows with these units as well."""
        self._check(units, lengths)
        return [
            replace(row, waiting=torch.cat([row.waiting, new[:length]]))
            for row, new, length in zip(state, units, lengths.tolist(), strict=True)
        ]

    def _check(self, units: Tensor, lengths: Tensor) -> None:
        counts = torch.arange(units.shape[1], device=units.device)[None] < lengths[:, None]
        wrong = units[counts & ((units < 0) | (units >= self.quantise.vocabulary))]
        if len(wrong):
            raise InputError(
                f"unit {int(wrong[0])} is not one of this codec's {self.quantise.vocabulary}",
                "decode units with the codec that wrote them",
            )

    def _rest(self, row: _Row) -> Tensor:
        """All sound of a row that is not out yet, (N,): what follows its last unit pushes it out."""
        units = row.read + len(row.waiting)
        left = (units - QUIET_UNITS) * self.unit_samples - self._out(row)
        if not left:
            return torch.zeros(0)
        pieces = -(-(len(row.waiting) + self.lookahead_units) // PIECE_UNITS)
        padded = nn.functional.pad(row.waiting, (0, pieces * PIECE_UNITS - len(row.waiting)))
        wave, _ = self._sound(replace(row, waiting=padded), units)
        return wave[:left]

    def _out(self, row: _Row) -> int:
        """Samples of a row that were given."""
        return max(0, (row.read - QUIET_UNITS) * self.unit_samples - self.delay)

    @torch.no_grad()
    def _sound(self, row: _Row, end: float = inf) -> tuple[Tensor, _Row]:
        """The sound of as many whole pieces as wait, (N,), and the row after it.

        Args: end: so many units it has in all, where no more come.
        """
        waves, before = [torch.zeros(0)], self._out(row)
        while len(row.waiting) >= PIECE_UNITS:
            stream = Stream(row.kept)
            waves.append(self.vocoder(self._frames(row, stream, end), stream))
            rest = row.waiting[PIECE_UNITS:]
            row = _Row(row.voice, rest, row.read + PIECE_UNITS, stream.kept())
        wave = torch.cat(waves)
        return wave[len(wave) - (self._out(row) - before) :], row

    def _frames(self, row: _Row, stream: Stream, end: float) -> Tensor:
        """Log-mel (M, F) of the next piece, which comes `right_units` late; silence behind the last unit."""
        numbers = torch.arange(row.read, row.read + PIECE_UNITS)
        codes = self.quantise.codes(row.waiting[None, :PIECE_UNITS])
        mel, _ = self.mel(codes, torch.tensor([row.voice]), (numbers < end)[None], stream)  # (1, F, M)
        over = numbers - self.mel.sizes.right_units >= end
        mel[0, over.repeat_interleave(FRAMES_PER_UNIT)] = SILENCE
        return mel[0].T
