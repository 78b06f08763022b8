"""A conversation as the core has read it: explicit history, explicit state.

Past turns hold what was heard of the user (vectors) and what the user heard of the reply (text), never
traces. The core's state is kept across turns: after a turn it stands at the end of the user's words, and the
reply as heard is read together with the next turn. When the context is full the oldest turns go. How a turn
is rendered is `harken.dialogue.render`'s; writing replies is `harken.dialogue.reply`'s.

Shapes: T positions, D core width.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harken.dialogue.decoding import Opening
from harken.dialogue.render import AssistantTurn, Segment, Turn, UserTurn, render, render_turn
from harken.errors import InputError
from harken.model.core import CoreState

if TYPE_CHECKING:
    from harken.dialogue.events import AudioChunk
    from harken.model.spoken_lm import SpokenLM

CONTEXT_TOKENS = 4096
"""What a conversation may fill: some forty minutes of talk. More costs time at every step."""
KEPT_WHEN_FULL = 0.75
"""Share of the context that stays when the oldest turns go. What stays is read anew, so not at every turn."""
_SPACELESS = "\u3001-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_SPACELESS}]|[^\s{_SPACELESS}]+")
"""A word with its punctuation. Chinese and Japanese put no space between words: each character is one."""


@dataclass(frozen=True)
class Prefix:
    """A system prompt that was read once; any number of conversations begin from it."""

    system: str
    segments: list[Segment]
    state: CoreState

    @classmethod
    def read(cls, model: SpokenLM, system: str | None = None) -> Prefix:
        """Args: system: the prompt; None takes the recipe's.

        Raises: InputError where it alone is longer than the context; it is not read then.
        """
        system = model.recipe.system if system is None else system
        segments = render([], model.tokenizer, system, prompt=False)
        length, room = sum(map(len, segments)), _limit(model, CONTEXT_TOKENS) - _reserve(model)
        if length > room:
            raise InputError(
                f"the instructions are {length} tokens long, the model can read {max(room, 0)}",
                "shorten them",
            )
        return cls(system, segments, _read(model, segments, CoreState.empty()).state)


@dataclass
class _Entry:
    """A turn, how it is rendered, whether the state holds it, and how it was spoken."""

    turn: Turn
    segments: list[Segment]
    read: bool = False
    sound: list[AudioChunk] = field(default_factory=list)

    @property
    def length(self) -> int:
        return sum(map(len, self.segments))


class Conversation:
    """One dialogue with one model. Not for use by two threads at once."""

    def __init__(self, model: SpokenLM, prefix: Prefix | None = None, limit: int = CONTEXT_TOKENS) -> None:
        """Args:
        prefix: the system prompt, read; None reads the recipe's.
        limit: positions that prompt, turns, reply and trace may fill together, up to the core's own.
        """
        self.model = model
        self.prefix = prefix or Prefix.read(model)
        self._reserve = _reserve(model)
        self.limit = _limit(model, limit)
        """Positions in all."""
        self._entries: list[_Entry] = []
        self._reply: _Entry | None = None  # what the last reply left
        self._state = self.prefix.state
        self.asked = 0
        self.dropped = 0
        """Turns that had to go so far."""

    @property
    def turns(self) -> list[Turn]:
        """What the conversation remembers, oldest first."""
        return [entry.turn for entry in self._entries]

    @property
    def segments(self) -> list[Segment]:
        """What the core reads of all this: equal to `render(turns, …, prompt=False)`."""
        return [*self.prefix.segments, *(s for entry in self._entries for s in entry.segments)]

    def add(self, turn: Turn) -> None:
        """Put a turn into the history; it is read when it is needed."""
        self._entries.append(_Entry(turn, render_turn(turn, self.model.tokenizer)))

    def remember(self, turns: Sequence[Turn]) -> None:
        """Make the history these turns, oldest first; what was read of those at its beginning that stay is
        kept.
        """
        pairs = zip(self._entries, turns, strict=False)
        same = next((n for n, (entry, turn) in enumerate(pairs) if not _same(entry.turn, turn)), None)
        kept = min(len(self._entries), len(turns)) if same is None else same
        del self._entries[kept:]
        read = sum(entry.length for entry in self._entries if entry.read)
        self._state = self._state.rollback(self.prefix.state.length + read)
        for turn in turns[kept:]:
            self.add(turn)

    def begin_reply(self) -> None:
        """A reply begins: an interruption is of this one, whether it leaves anything or not."""
        self._reply = None

    def ask(self, turn: UserTurn) -> tuple[Opening, int]:
        """Add the user's turn and read up to where the answer begins.

        Returns: where to write from, and how many of the oldest turns had to go.
        Raises: InputError where the turn alone is longer than the context; nothing has changed then.
        """
        segments = render_turn(turn, self.model.tokenizer)
        room = self.limit - self._reserve - sum(map(len, self.prefix.segments))
        length = sum(map(len, segments))
        if length > room:
            raise InputError(
                f"the turn is {length} tokens long, the model can read {max(room, 0)}",
                "shorten the text or the recording",
            )
        self._entries.append(_Entry(turn, segments))
        dropped = self._make_room(room)
        try:
            opening = self._catch_up()
        except BaseException:
            self._entries.pop()
            raise
        self.asked += 1
        return opening, dropped

    def answer(self, text: str, sound: Sequence[AudioChunk] = ()) -> None:
        """Append the reply as heard; where nothing was, nothing is kept. `sound` is how it was spoken."""
        if text:
            self.add(AssistantTurn(text))
            self._reply = self._entries[-1]
            self._reply.sound = list(sound)

    def interrupted_at(self, played_ms: float) -> str:
        """The user stopped the last reply when that much of its sound had been played: keep what was heard.

        Returns: the words that were heard; the last one is whole. Empty where the reply left nothing.
        """
        last, self._reply = self._reply, None
        if last is None or not self._entries or self._entries[-1] is not last:
            return ""
        assert isinstance(last.turn, AssistantTurn), "a reply"
        heard = spoken_text(last.turn.text, last.sound, played_ms) if last.sound else last.turn.text
        self._entries.pop()
        self.answer(heard, last.sound)
        return heard

    def _make_room(self, room: int) -> int:
        """Drop the oldest turns where all do not fit; what begins the history is then a user's turn."""
        if sum(e.length for e in self._entries) <= room:
            return 0
        dropped = 0
        while len(self._entries) > 1 and (
            sum(e.length for e in self._entries) > KEPT_WHEN_FULL * room
            or isinstance(self._entries[0].turn, AssistantTurn)
        ):
            self._entries.pop(0)
            dropped += 1
        self.dropped += dropped
        self._state = self.prefix.state
        for entry in self._entries:
            entry.read = False
        return dropped

    def _catch_up(self) -> Opening:
        """Read in one go what was not read yet and the opening of an answer; keep the state before that."""
        unread = [entry for entry in self._entries if not entry.read]
        position = self._state.length + sum(entry.length for entry in unread)
        prompt = render([], self.model.tokenizer, "")[-1]
        opening = _read(self.model, [*(s for entry in unread for s in entry.segments), prompt], self._state)
        self._state = opening.state.rollback(position)
        for entry in unread:
            entry.read = True
        return opening


def _limit(model: SpokenLM, most: int) -> int:
    """Positions in all: so many, up to the core's own."""
    return min(most, int(model.core.config.max_position_embeddings))


def _reserve(model: SpokenLM) -> int:
    """Positions that reply and trace may take."""
    return model.recipe.max_reply_tokens + model.recipe.max_trace_tokens + 32  # 32: the marks around them


def _same(one: Turn, other: Turn) -> bool:
    """Whether two turns read alike; heard vectors are told apart by which they are."""
    if isinstance(one, AssistantTurn) or isinstance(other, AssistantTurn):
        return one == other
    alike = one.content is other.content or (
        isinstance(one.content, str) and isinstance(other.content, str) and one.content == other.content
    )
    return alike and one.instruction == other.instruction


def spoken_text(text: str, sound: Sequence[AudioChunk], played_ms: float) -> str:
    """The words of `text` that had been spoken after `played_ms`; within a chunk, by its share of time."""
    end, before = 0, 0
    for chunk in sound:
        if chunk.end_ms <= played_ms:
            end = before = chunk.text_end
            continue
        share = max(0.0, played_ms - chunk.start_ms) / (chunk.end_ms - chunk.start_ms)
        end = before + int(share * (chunk.text_end - before))
        break
    if end >= len(text):
        return text
    return text[: max((word.end() for word in _WORD.finditer(text) if word.end() <= end), default=0)]


@torch.no_grad()
def _read(model: SpokenLM, segments: list[Segment], state: CoreState) -> Opening:
    found = model.read(embed_segments(model, segments)[None], state)
    return Opening(found.logits[0], found.state, found.shared[0])


def embed_segments(model: SpokenLM, segments: list[Segment]) -> Tensor:
    """Segments -> embeddings (T, D)."""
    rows = [model.embed(s) if isinstance(s, list) else s for s in segments if len(s)]
    return torch.cat([row.to(rows[0]) for row in rows])
