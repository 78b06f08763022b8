"""A reply being said step by step: how far in its text it has come, and its units so far.

Any number of utterances take a step together, in one pass through Speak. When a step is due, and what
becomes of the units, is left to `harken.dialogue.own_speech` (one reply, while it is written) and `say_all`
(many, of which the text is known).

Shapes: B utterances, D core width, M units a step, V units, W numbers that are read at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harken.model.speak import NOTHING, windows_at

if TYPE_CHECKING:
    from harken.dialogue.unit_sampling import UnitSampler
    from harken.model.layer_stack import StackState
    from harken.model.own_voice import OwnVoice
    from harken.model.speak import Speak, SpeakSizes, UnitVectors
    from harken.model.spoken_text import SpokenText

LONGEST_UNITS_A_SYMBOL, LEAST_UNITS = 3, 20
"""Speech that lasts longer than this has lost its way, and ends; a symbol takes about one unit."""
LONGEST_UNITS = 2000
"""About a minute and a half: what is longer is no spoken reply, and is cut."""


class Utterance:
    """One reply: what Think made of its tokens, where Speak stands, and what it has said."""

    def __init__(self, speak: Speak, text: SpokenText, sampler: UnitSampler) -> None:
        self.text = text
        self.units: list[int] = []
        self.pointers: list[int] = []
        """Parts of symbols that had been said after each unit."""
        self.finished = self.cut = False
        """`cut`: it was ended, because it would not end by itself or went on for too long."""
        self.sampler = sampler
        self._sizes: SpeakSizes = speak.sizes
        self._end = speak.vocabulary
        self._hidden: list[Tensor] = []  # (D,) of each token that was read
        self._embedded: list[Tensor] = []
        self._before = torch.full((self._sizes.units_per_step,), NOTHING)

    @property
    def pointer(self) -> int:
        """Parts of symbols that have been said."""
        return self.pointers[-1] if self.pointers else 0

    @property
    def may_end(self) -> bool:
        return self.text.finished and self._left() <= self._sizes.farthest

    def read(self, embedded: Tensor, shared: Tensor) -> None:
        """The core has read tokens: (T, D) their embeddings, and (T, D) what Think made of them."""
        self._embedded += embedded.unbind()
        self._hidden += shared.unbind()

    def can_go_on(self) -> bool:
        """Whether what the next step reads is there."""
        if self.finished or not len(self.text) or not self._hidden:
            return False
        return self.text.finished or (self._left() > 0 and self._token() < len(self._hidden))

    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the next step reads: (D,) of Think, (D,) of the token, (W,) read, (M,) units before."""
        token = min(self._token(), len(self._hidden) - 1)
        return self._hidden[token], self._embedded[token], self.window(), self._before

    def window(self) -> Tensor:
        """What is read around the pointer, (W,)."""
        return windows_at(torch.tensor(self.text.symbols), torch.tensor([self.pointer]), self._sizes)[0]

    def move(self, logits: Tensor) -> int:
        """Move the pointer on, given (A,) logits; gives by how many parts."""
        further = min(self.sampler.move(logits), max(0, self._left()))
        self.pointers.append(self.pointer + further)
        return further

    def take(self, units: Tensor) -> None:
        """Keep what a step has said, up to the end: (M,) units."""
        said = units.tolist()
        ended = self._end in said
        self.units += said[: said.index(self._end)] if ended else said
        self._before = units.masked_fill(units == self._end, NOTHING)
        lost = self.text.finished and len(self.units) > LONGEST_UNITS_A_SYMBOL * len(self.text) + LEAST_UNITS
        self.cut = not ended and (lost or len(self.units) >= LONGEST_UNITS)
        self.finished = ended or self.cut

    def _left(self) -> int:
        """Parts that the pointer may still pass: all that is read ahead of it has to be written."""
        symbols = len(self.text) - (0 if self.text.finished else self._sizes.ahead)
        return symbols * self._sizes.parts - self.pointer

    def _token(self) -> int:
        return self.text.tokens[min(self.pointer // self._sizes.parts, len(self.text) - 1)]


@torch.no_grad()
def take_step(
    speak: Speak,
    utterances: Sequence[Utterance],
    manners: Tensor,
    table: UnitVectors,
    state: StackState | None,
) -> StackState:
    """A step of every utterance; gives the state that has read it.

    Args: manners: as Speak takes them. table: what `speak.units()` gives. state: of these utterances, None at
    first.
    """
    hidden, text, windows, before = (
        torch.stack(part)[:, None] for part in zip(*(u.inputs() for u in utterances), strict=True)
    )
    inputs = speak.inputs(hidden, text, windows, before, manners, table)
    out, state = speak(inputs, state)
    for utterance, said in zip(
        utterances, speak.choose(out[:, 0], _Together(utterances), table), strict=True
    ):
        utterance.take(said)
    return state


class _Together:
    """Draws for several utterances; a `model.speak.Chooser`."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self._utterances = utterances

    def windows(self) -> Tensor:
        return torch.stack([utterance.window() for utterance in self._utterances])

    def move(self, logits: Tensor) -> Tensor:
        rows = zip(self._utterances, logits, strict=True)
        return torch.tensor([utterance.move(row) for utterance, row in rows])

    def unit(self, logits: Tensor) -> Tensor:
        rows = zip(self._utterances, logits.split(1), strict=True)
        return torch.cat([utterance.sampler.choose(row, utterance.may_end) for utterance, row in rows])


def say_all(voice: OwnVoice, utterances: Sequence[Utterance], manners: Tensor) -> list[Tensor]:
    """Say whole texts together: samples (N,) each, none where there is nothing to say.

    Args: manners: (B, manners), as `OwnVoice.manner` gives them.
    """
    state = None
    going = [row for row, utterance in enumerate(utterances) if utterance.can_go_on()]
    while going:
        state = take_step(voice.speak, [utterances[row] for row in going], manners[going], voice.table, state)
        stayed = [place for place, row in enumerate(going) if utterances[row].can_go_on()]
        if len(stayed) < len(going):
            state, going = state.rows(torch.tensor(stayed, dtype=torch.long)), [going[p] for p in stayed]
    return [_sound(voice, utterance) for utterance in utterances]


def _sound(voice: OwnVoice, utterance: Utterance) -> Tensor:
    """All of it, (N,). Each by itself: side by side, all would be made as long as the longest."""
    units = torch.tensor([utterance.units], dtype=torch.long)
    state = voice.decoder.init_state([voice.speaker])
    (wave,) = voice.decoder.flush(state, units, torch.tensor([units.shape[1]]))
    return wave
