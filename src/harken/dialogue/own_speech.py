"""The model says its reply while it is still writing it: Speak's steps, units to sound, chunk by chunk.

Up to the first sound Speak goes as far as the text lets it; then it says more with each token than a token
takes to be heard, so that sound keeps ahead of playing and writing goes on. The first chunk is longer than
the others, so that it lasts until the next is there. Every chunk knows how much of the text has been said
when it has been played. It can be left between any two steps.

Shapes: T tokens, D core width, V width of the readout's vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harken.dialogue.events import AudioChunk
from harken.dialogue.utterance import Utterance, take_step
from harken.model.spoken_text import SpokenText

if TYPE_CHECKING:
    from harken.dialogue.unit_sampling import UnitSampler
    from harken.model.layer_stack import StackState
    from harken.model.own_voice import OwnVoice
    from harken.model.spoken_text import Pronounce

CHUNKS = (10, 8)
"""Units in each chunk of sound; the last number goes on. With what the decoder holds back they fill whole
pieces of its. The first leaves time to make the next where that takes a third longer than it is heard; a
shorter one would be heard sooner, and then run out."""
UNITS_A_TOKEN = 10
"""Said with each token that is written; a token takes about six to be heard."""


class OwnSpeech:
    """One reply in the model's own voice."""

    def __init__(
        self,
        voice: OwnVoice,
        pronounce: Pronounce,
        symbol_ids: dict[str, int],
        sampler: UnitSampler,
        embed: Callable[[list[int]], Tensor],
        affect: Tensor | None,
    ) -> None:
        """Args:
        embed: token ids -> embeddings (T, D).
        affect: (V,) what was heard, which the style answers.
        """
        self.chunks: list[AudioChunk] = []
        self._voice, self._embed = voice, embed
        self._text = SpokenText(pronounce, symbol_ids)
        self._utterance = Utterance(voice.speak, self._text, sampler)
        self._manner = voice.manner(affect)
        self._token_ends: list[int] = []
        self._state: StackState | None = None
        self._decoder = voice.decoder.init_state([voice.speaker])
        self._decoded = 0  # units that the decoder was given

    @property
    def cut(self) -> bool:
        """Whether it was ended because it would not end by itself, or went on for too long."""
        return self._utterance.cut

    def read(self, token: int, shared: Tensor, written: int) -> None:
        """The core has read a token of the reply.

        Args: shared: (D,) what Think made of it. written: characters of the text up to its end.
        """
        self._utterance.read(self._embed([token]), shared[None])
        self._token_ends.append(written)

    @torch.no_grad()
    def speak(self, text: str, final: bool = False) -> Iterator[AudioChunk]:
        """Say more of the text: up to the first sound as much as can be said, then UNITS_A_TOKEN each time,
        so that writing goes on; with `final`, when nothing more will be written, all of it.
        """
        self._text.write(text, self._token_ends, final)
        most = len(self._utterance.units) + UNITS_A_TOKEN
        while self._utterance.can_go_on() and (final or not self.chunks or len(self._utterance.units) < most):
            self._state = take_step(
                self._voice.speak, [self._utterance], self._manner, self._voice.table, self._state
            )
            if len(self._utterance.units) - self._decoded >= self._due():
                yield from self._sound()
        if final:
            yield from self._sound(last=True)

    def _due(self) -> int:
        """Units that make the next chunk; the first needs those as well that the decoder holds back."""
        held_back = 0 if self.chunks else self._voice.decoder.lookahead_units
        return CHUNKS[min(len(self.chunks), len(CHUNKS) - 1)] + held_back

    def _sound(self, last: bool = False) -> Iterator[AudioChunk]:
        """The next chunk."""
        units = torch.tensor(self._utterance.units[self._decoded :], dtype=torch.long)
        self._decoded += len(units)
        decoder, count = self._voice.decoder, torch.tensor([len(units)])
        if last:
            (wave,) = decoder.flush(self._decoder, units[None], count)
        else:
            (wave,), self._decoder = decoder.step(self._decoder, units[None], count)
        if len(wave):
            yield self._as_chunk(wave, last)

    def _as_chunk(self, wave: Tensor, last: bool) -> AudioChunk:
        rate = self._voice.decoder.sample_rate
        start_ms = self.chunks[-1].end_ms if self.chunks else 0.0
        end_ms = start_ms + 1000 * len(wave) / rate
        said = self._text.text_ends[-1] if last and not self.cut else self._said_by(end_ms)
        chunk = AudioChunk(wave.numpy(), rate, start_ms, end_ms, said)
        self.chunks.append(chunk)
        return chunk

    def _said_by(self, end_ms: float) -> int:
        """Characters of the words that have been said whole when so much of the sound has been played."""
        units, pointers = int(end_ms / 1000 * self._voice.decoder.units_hz), self._utterance.pointers
        symbols = pointers[min(units, len(pointers)) - 1] // self._voice.speak.sizes.parts if units else 0
        ends = self._text.text_ends
        if symbols >= len(ends):
            return ends[-1]
        return max((end for end in ends[:symbols] if end < ends[symbols]), default=0)
