"""The model says its reply while it is still writing it: Speak's steps, units to sound, chunk by chunk.

Between two tokens of the text Speak goes as far as the text lets it; the first chunk of sound is short, so
that it comes soon, and each next one longer, so that little is made twice. Every chunk knows how much of the
text has been said when it has been played. It can be left between any two steps.

Shapes: D core width, M units a step, V units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harken.dialogue.events import AudioChunk
from harken.model.speak import NOTHING, windows_at
from harken.model.spoken_text import SpokenText

if TYPE_CHECKING:
    from harken.dialogue.unit_sampling import UnitSampler
    from harken.model.layer_stack import StackState
    from harken.model.own_voice import OwnVoice
    from harken.model.spoken_text import Pronounce

FIRST_UNITS = 8
"""Units in the first chunk, besides those that the decoder holds back."""
LONGEST_UNITS = 64
LONGEST_STEPS_A_SYMBOL = 3
"""Speech that lasts longer than this has lost its way, and ends."""


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
        self.cut = False
        """Whether it was ended because it would not end by itself."""
        self._voice, self._sampler, self._embed = voice, sampler, embed
        self._text = SpokenText(pronounce, symbol_ids)
        self._styles = voice.styles(affect)
        self._hidden: list[Tensor] = []  # (D,) of each token that was read
        self._embedded: list[Tensor] = []
        self._token_ends: list[int] = []
        self._table = voice.speak.units()
        self._before = torch.full((1, 1, voice.speak.sizes.units_per_step), NOTHING)
        self._state: StackState | None = None
        self._decoder = voice.decoder.init_state([voice.speaker])
        self._pointers: list[int] = []  # after each step
        self._pointer = self._units = self._decoded = 0
        self._waiting: list[Tensor] = []  # units that were not given to the decoder yet
        self._chunk = FIRST_UNITS + voice.decoder.lookahead_units
        self._finished = False

    def read(self, token: int, shared: Tensor, written: int) -> None:
        """The core has read a token of the reply.

        Args: shared: (D,) what Think made of it. written: characters of the text up to its end.
        """
        self._embedded.append(self._embed([token])[0])
        self._hidden.append(shared)
        self._token_ends.append(written)

    @torch.no_grad()
    def speak(self, text: str, final: bool = False) -> Iterator[AudioChunk]:
        """Say more of the text: up to the first sound as much as can be said, then a step each time, so that
        writing goes on; with `final`, when nothing more will be written, all of it.
        """
        self._text.write(text, self._token_ends, final)
        steps = 0
        while self._can_go_on() and (final or not self.chunks or not steps):
            self._step()
            steps += 1
            if self._units - self._decoded >= self._chunk:
                yield from self._sound()
        if final:
            yield from self._sound(last=True)

    def _can_go_on(self) -> bool:
        """Whether what the next step reads is there."""
        if self._finished or not len(self._text) or not self._hidden:
            return False
        ahead = self._pointer + self._voice.speak.sizes.ahead < len(self._text)
        return self._text.finished or (ahead and self._token() < len(self._hidden))

    def _token(self) -> int:
        at = min(self._pointer, len(self._text) - 1)
        return self._text.tokens[at]

    def _step(self) -> None:
        speak, m = self._voice.speak, self._voice.speak.sizes.units_per_step
        token = min(self._token(), len(self._hidden) - 1)
        window = windows_at(torch.tensor(self._text.symbols), torch.tensor([self._pointer]), speak.sizes)
        inputs = speak.inputs(
            self._hidden[token][None, None],
            self._embedded[token][None, None],
            window[None],
            self._before,
            self._styles,
            self._table,
        )
        hidden, self._state = speak(inputs, self._state)
        left = len(self._text) - self._pointer
        may_end = self._text.finished and left <= speak.sizes.furthest
        units = speak.choose(hidden[:, 0], lambda logits: self._sampler.choose(logits, may_end), self._table)
        self._pointer += min(self._sampler.move(speak.move_logits(hidden[0, 0])), left)
        self._take(units[0], m)

    def _take(self, units: Tensor, m: int) -> None:
        """Keep what a step has said, up to the end."""
        ended = (units == self._voice.speak.vocabulary).nonzero()
        said = units[: int(ended[0])] if len(ended) else units
        self._waiting.append(said)
        self._units += len(said)
        self._pointers.append(self._pointer)
        self._before = units[None, None].masked_fill(
            units[None, None] == self._voice.speak.vocabulary, NOTHING
        )
        over = len(self._pointers) > LONGEST_STEPS_A_SYMBOL * len(self._text) + 2 * m
        self.cut = self.cut or (over and self._text.finished)
        self._finished = bool(len(ended)) or self.cut

    def _sound(self, last: bool = False) -> Iterator[AudioChunk]:
        """The next chunk."""
        units = torch.cat([torch.zeros(0, dtype=torch.long), *self._waiting])
        self._waiting, self._decoded = [], self._units
        (wave,), self._decoder = self._voice.decoder.step(
            self._decoder, units[None], torch.tensor([len(units)])
        )
        if last:
            wave = torch.cat([wave, self._voice.decoder.flush(self._decoder)[0]])
        self._chunk = min(2 * self._chunk, LONGEST_UNITS)
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
        step = int(end_ms / 1000 * self._voice.decoder.units_hz / self._voice.speak.sizes.units_per_step)
        pointer = self._pointers[min(step, len(self._pointers)) - 1] if step else 0
        ends = self._text.text_ends
        if pointer >= len(ends):
            return ends[-1]
        return max((end for end in ends[:pointer] if end < ends[pointer]), default=0)
