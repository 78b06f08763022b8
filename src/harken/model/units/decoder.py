"""Harken's own unit decoder: units -> mel frames -> waveform, piece by piece.

The mel frames of a piece are made from the units around it, as far back and ahead as they depend on them, and
the vocoder keeps what it needs of those before: pieces and the whole agree to rounding.

Shapes: B rows, U units, F = 4 U frames, M mel bands, N = F * hop samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from harken.audio.vocoder_mel import SILENCE
from harken.errors import InputError
from harken.model.units.fsq import FiniteScalarQuantiser
from harken.model.units.hifigan import Hifigan, Kept
from harken.model.units.mel_decoder import FRAMES_PER_UNIT, MelDecoder

PIECE_UNITS = 8
"""Units of mel that the vocoder takes at a time: of each other length it would make its kernels anew."""
QUIET_UNITS = 8
"""Of silence before a row, which are not heard: nothing was learned of speech that begins out of nothing."""


@dataclass(frozen=True)
class _Row:
    """One row: what was said so far, and the silence before it."""

    voice: int
    units: Tensor  # (U,) int64, all so far
    vocoder: Kept | None
    read: int
    """Units whose frames the vocoder has read."""


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
        self._quiet: dict[int, _Row] = {}

    @property
    def units_hz(self) -> float:
        return self.sample_rate / (self.vocoder.hop * FRAMES_PER_UNIT)

    @property
    def vocabulary(self) -> tuple[int, ...]:
        return (self.quantise.vocabulary,)

    @property
    def lookahead_units(self) -> int:
        return self.mel.sizes.right_units + -(-self.vocoder.delay // self.unit_samples)

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
        """A row of silence, which the vocoder has read."""
        if voice not in self._quiet:
            silence = torch.full((QUIET_UNITS + self.mel.sizes.right_units,), self.quiet)
            _, self._quiet[voice] = self._sound(_Row(voice, silence, None, 0), QUIET_UNITS)
        return replace(self._quiet[voice], units=torch.full((QUIET_UNITS,), self.quiet))

    def step(self, state: DecoderState, units: Tensor, lengths: Tensor) -> tuple[list[Tensor], DecoderState]:
        """As every decoder's; sound comes a PIECE_UNITS at a time."""
        rows = self._with(state, units, lengths)
        made = [self._sound(row, len(row.units) - self.mel.sizes.right_units - row.read) for row in rows]
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
            replace(row, units=torch.cat([row.units, new[:length]]))
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
        """All sound of a row that is not out yet, (N,): silence behind it pushes it out of the vocoder."""
        left = (len(row.units) - QUIET_UNITS) * self.unit_samples - self._out(row)
        if not left:
            return torch.zeros(0)
        last = len(row.units) + -(-self.vocoder.delay // self.unit_samples)
        pieces = -(-(last - row.read) // PIECE_UNITS)
        wave, _ = self._sound(row, pieces * PIECE_UNITS)
        return wave[:left]

    def _out(self, row: _Row) -> int:
        """Samples of a row that were given."""
        return max(0, (row.read - QUIET_UNITS) * self.unit_samples - self.vocoder.delay)

    @torch.no_grad()
    def _sound(self, row: _Row, units: int) -> tuple[Tensor, _Row]:
        """The sound of as many whole pieces as the next `units` fill, (N,), and the row after it."""
        pieces = max(0, units // PIECE_UNITS)
        if not pieces:
            return torch.zeros(0), row
        waves, kept = list[Tensor](), row.vocoder
        for mel in self._frames(row, row.read + pieces * PIECE_UNITS).T.chunk(pieces, dim=1):
            wave, kept = self.vocoder(mel, kept)
            waves.append(wave)
        after = replace(row, vocoder=kept, read=row.read + pieces * PIECE_UNITS)
        new = self._out(after) - self._out(row)
        return torch.cat(waves)[-new:] if new else torch.zeros(0), after

    def _frames(self, row: _Row, last: int) -> Tensor:
        """Log-mel (F, M) of the units that were not read, up to `last`; silence behind the last unit."""
        start = max(0, row.read - self.mel.left_units)
        units = row.units[start : last + self.mel.sizes.right_units]
        codes, valid = self.quantise.codes(units[None]), torch.ones(1, len(units), dtype=torch.bool)
        mel, _ = self.mel(codes, torch.tensor([row.voice]), valid)
        frames = mel[0, (row.read - start) * FRAMES_PER_UNIT : (last - start) * FRAMES_PER_UNIT]
        missing = (last - row.read) * FRAMES_PER_UNIT - len(frames)
        return nn.functional.pad(frames, (0, 0, 0, missing), value=SILENCE)
