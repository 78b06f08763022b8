"""From logits to text, piece by piece: the inner loop of a reply and of a trace.

A piece goes out as soon as it can no longer change: never half a character, never the beginning of what may
turn out to be a stop mark. What the pieces become (events, speech) is `harken.dialogue.reply`'s.

Shapes: T positions, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from harken.dialogue.sampling import Sampler

if TYPE_CHECKING:
    from harken.dialogue.together import Together
    from harken.model.core import CoreState
    from harken.model.spoken_lm import Read, SpokenLM

STOP_TOKENS = ("<|im_end|>", "<|endoftext|>", "<|im_start|>")
_UNFINISHED = "\ufffd"
"""What decoding gives for a character whose bytes are not all there."""
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", '."', '!"', '?"')


class Opening(NamedTuple):
    """Where writing can begin: what the core expects next, and what it has read."""

    logits: Tensor  # (V,)
    state: CoreState
    shared: Tensor  # (T, D) after Think, of what was read last


class TextStream:
    """Tokens in, text out, without white space at either end."""

    def __init__(self, tokenizer: Any, stop: str | None = None) -> None:
        """Args: stop: text that ends the stream and is not part of it."""
        self.ids: list[int] = []
        self.stopped = False
        self._tokenizer = tokenizer
        self._stop = stop
        self._sent = ""

    @property
    def text(self) -> str:
        """All that has gone out."""
        return self._sent

    def push(self, token: int) -> str:
        """The text that this token settles; often empty."""
        self.ids.append(token)
        text = self._decoded()
        if self._stop and self._stop in text:
            self.stopped = True
            return self._send(text[: text.index(self._stop)])
        return self._send(text[: len(text) - _overlap(text, self._stop or "")])

    def end(self) -> str:
        """What was held back, when nothing more comes."""
        return "" if self.stopped else self._send(self._decoded())

    def _decoded(self) -> str:
        text: str = self._tokenizer.decode(
            self.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text.lstrip().rstrip(_UNFINISHED)

    def _send(self, settled: str) -> str:
        settled = settled.rstrip()
        if len(settled) <= len(self._sent):
            return ""
        new, self._sent = settled[len(self._sent) :], settled
        return new


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


class Lean(NamedTuple):
    """Positions that are attended to as if each were there `weight` times."""

    start: int
    end: int
    weight: float

    def key_bias(self, length: int) -> Tensor:
        """What that adds to the attention logits of so many positions, (length,)."""
        bias = torch.zeros(length)
        bias[self.start : self.end] = math.log(self.weight)
        return bias


class Writing:
    """A text that is being written, from `opening` to a stop token, the stream's stop text, or `most` tokens.

    At least one token is written, and none that marks a reflection. Iterated, it gives the settled text piece
    by piece; taken step by step, the core may read something else in between.
    """

    def __init__(
        self,
        model: SpokenLM,
        opening: Opening,
        sampler: Sampler,
        stream: TextStream,
        most: int,
        to_sentence_end: bool = False,
        on_read: Callable[[int, Tensor], None] | None = None,
        together: Together | None = None,
    ) -> None:
        """Args:
        to_sentence_end: a text that nears `most` ends with its sentence.
        on_read: is told each token that was read, and what Think made of it, (D,).
        together: with whom its tokens are read; then it has to be closed, and nothing else may be read in
            between.
        """
        self.logits, self.state, _ = opening
        self.lean: Lean | None = None
        """What is attended to more than the rest."""
        self.left = most
        """Tokens that may still come."""
        self.finished = most < 1
        self._model, self._sampler, self._stream, self._most = model, sampler, stream, most
        self._to_sentence_end, self._on_read, self._together = to_sentence_end, on_read, together
        self._stops = stop_ids(model.tokenizer)
        self._marks = (model.marks.opening, model.marks.closing) if model.marks else ()
        self._unread: int | None = None

    def __iter__(self) -> Iterator[str]:
        while not self.finished:
            if delta := self.step():
                yield delta

    def step(self) -> str:
        """Write a token; gives the text that it settles, which is often none."""
        self.catch_up()
        first = self.left == self._most
        not_first = _not_first(self._model.tokenizer, self._stops) if first else ()
        token = self._sampler.choose(self.logits, self._stream.ids, (*not_first, *self._marks))
        if token in self._stops:
            return self._end()
        enough = self._to_sentence_end and self._most - self.left >= 0.75 * self._most
        self.left -= 1
        delta = self._stream.push(token)
        full = enough and self._stream.text.endswith(_SENTENCE_ENDS)
        if self._stream.stopped or full or self.left == 0:
            return delta + self._end()
        self._unread = token
        if self._together:
            self._together.wait(self, token, self.state)
        return delta

    def catch_up(self) -> None:
        """Read the token that was written last."""
        if self._unread is None:
            return
        token, self._unread = self._unread, None
        if self._together:
            self.logits, self.state, shared = _opening(self._together.read(self))
        else:
            self.logits, self.state, shared = read(self._model, [token], self.state, self.lean)
        if self._on_read:
            self._on_read(token, shared[-1])

    def close(self) -> None:
        """Nothing more is written."""
        if self._together:
            self._together.leave(self)

    def _end(self) -> str:
        self.finished = True
        return self._stream.end()


@torch.no_grad()
def read(model: SpokenLM, ids: list[int], state: CoreState, lean: Lean | None = None) -> Opening:
    """Read token ids after `state`."""
    embedded = model.embed(ids)[None]
    key_bias = lean.key_bias(state.length + len(ids)) if lean else None
    return _opening(model.read(embedded, state, key_bias))


def _opening(found: Read) -> Opening:
    """Of the one row that was read."""
    return Opening(found.logits[0], found.state, found.shared[0])


def stop_ids(tokenizer: Any) -> set[int]:
    """The tokens that end a turn."""
    spelled = (tokenizer.encode(token, add_special_tokens=False) for token in STOP_TOKENS)
    return {ids[0] for ids in spelled if len(ids) == 1} | ({tokenizer.eos_token_id} - {None})


def _not_first(tokenizer: Any, stops: set[int]) -> set[int]:
    """What no text begins with: its own end, or a think block, which the loop alone opens."""
    return stops | {tokenizer.encode("<think>", add_special_tokens=False)[0]}
