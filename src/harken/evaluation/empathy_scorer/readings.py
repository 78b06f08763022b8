"""What a frozen core makes of a conversation and a reply to it, as numbers.

The core is the recipe's as it was pretrained, without the update that training gives it: the tuned one has
learned the good replies of the training dialogues, and would be judge in its own cause where it replies
itself. A user's turn is read as it was written, or as Listen heard it, whose vectors lie among the core's own
embeddings. Every reply is read twice: after the conversation, and after nothing.

Shapes: R replies read together, T tokens, D core width, V vocabulary, F = 5 D + 4 numbers of a reply.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harken.dialogue.render import AssistantTurn, Segment, Turn, UserTurn, render, trace
from harken.model.core import Core, CoreState

Readings = NDArray[np.float32]
AT_ONCE = 16
"""Replies that are read together, and conversations that are kept open at a time."""

_LINE = re.compile(r"^(?:User(?: \((?P<emotion>[^()\n]+)\))?|(?P<assistant>Assistant)): ", re.MULTILINE)


def turns_of(conversation: str) -> list[Turn]:
    """A conversation as judges read it, as turns; the user's emotion stands before what they said.

    What no line says who said is the user's.
    """
    marks = list(_LINE.finditer(conversation))
    head = conversation[: marks[0].start()] if marks else conversation
    turns: list[Turn] = [UserTurn(head.strip())] if head.strip() else []
    for number, mark in enumerate(marks):
        end = marks[number + 1].start() if number + 1 < len(marks) else len(conversation)
        text = conversation[mark.end() : end].removesuffix("\n")
        if mark["assistant"]:
            turns.append(AssistantTurn(text))
        else:
            turns.append(UserTurn(text, trace(mark["emotion"], None) if mark["emotion"] else None))
    return turns


@dataclass(frozen=True)
class _Opening:
    """The core where a reply begins."""

    state: CoreState
    hidden: Tensor  # (D,)


@dataclass(frozen=True)
class _Read:
    """One reply after one opening."""

    shared: Tensor  # (D,) mean over its tokens, after Think
    hidden: Tensor  # (D,) mean, after Write
    last: Tensor  # (D,) after Write, at the token that ends the turn
    expected: Tensor  # () mean log-probability of its tokens
    ended: Tensor  # () log-probability of ending there


class Reader:
    """Reads replies with one core."""

    def __init__(self, core: Core, tokenizer: Any, system: str) -> None:
        """Args: system: the system prompt."""
        self.core, self.tokenizer = core, tokenizer
        segments = render([], tokenizer, system, prompt=False)
        self._system = self._opening(segments, CoreState.empty()).state
        self._nothing = self._opening(self._segments([]), self._system)

    @property
    def fingerprint(self) -> str:
        """Tells cores and ways of reading apart, as far as that can be seen in one number."""
        return f"{self.numbers} {self._nothing.hidden.double().sum().item():.6f}"

    @property
    def numbers(self) -> int:
        """F."""
        return 5 * self.core.width + 4

    def read_texts(self, pairs: Sequence[tuple[str, str]]) -> Readings:
        """(conversation as judges read it, reply) -> (N, F)."""
        conversations = list(dict.fromkeys(conversation for conversation, _ in pairs))
        place = {conversation: number for number, conversation in enumerate(conversations)}
        return self.read(
            [turns_of(conversation) for conversation in conversations],
            [(place[conversation], reply) for conversation, reply in pairs],
        )

    @torch.no_grad()
    def read(self, conversations: Sequence[Sequence[Turn]], replies: Sequence[tuple[int, str]]) -> Readings:
        """(N, F) of replies.

        Args: replies: the number of the conversation that each answers, and its text.
        """
        ids = [self._ids(reply) for _, reply in replies]
        first = {reply: place for place, (_, reply) in enumerate(replies)}
        alone = self._all([(place, self._nothing) for place in first.values()], ids)
        found = np.zeros((len(replies), self.numbers), np.float32)
        by_conversation: dict[int, list[int]] = {}
        for place, (number, _) in enumerate(replies):
            by_conversation.setdefault(number, []).append(place)
        numbers = list(by_conversation)
        blocks = [numbers[start : start + AT_ONCE] for start in range(0, len(numbers), AT_ONCE)]
        for block in blocks:
            asked = []
            for number in block:
                opening = self._opening(self._segments(conversations[number]), self._system)
                asked += [(place, opening) for place in by_conversation[number]]
            for place, after in self._all(asked, ids).items():
                found[place] = _numbers(after, alone[first[replies[place][1]]]).float().numpy()
        return found

    def _segments(self, turns: Sequence[Turn]) -> list[Segment]:
        return render(turns, self.tokenizer, "")[1:]

    def _ids(self, reply: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(reply, add_special_tokens=False)
        return [*ids, int(self.tokenizer.eos_token_id)]

    @torch.no_grad()
    def _opening(self, segments: Sequence[Segment], state: CoreState) -> _Opening:
        rows = [self._embed(part) if isinstance(part, list) else part for part in segments if len(part)]
        output = self.core(torch.cat([row.to(rows[0]) for row in rows])[None], state)
        return _Opening(output.state, output.hidden[0, -1])

    def _embed(self, ids: list[int]) -> Tensor:
        embedded: Tensor = self.core.embed(torch.tensor(ids, dtype=torch.long))
        return embedded

    def _all(self, asked: Sequence[tuple[int, _Opening]], ids: Sequence[list[int]]) -> dict[int, _Read]:
        """Place -> what was read; replies of about one length are read together."""
        in_order = sorted(asked, key=lambda each: len(ids[each[0]]))
        found: dict[int, _Read] = {}
        for start in range(0, len(in_order), AT_ONCE):
            batch = in_order[start : start + AT_ONCE]
            places = [place for place, _ in batch]
            read = self._read([opening for _, opening in batch], [ids[place] for place in places])
            found.update(zip(places, read, strict=True))
        return found

    def _read(self, openings: Sequence[_Opening], replies: Sequence[list[int]]) -> list[_Read]:
        """Of R replies, each after its opening."""
        longest = max(map(len, replies))
        ids = torch.zeros(len(replies), longest, dtype=torch.long)
        valid = torch.zeros(len(replies), longest, dtype=torch.bool)
        for row, reply in enumerate(replies):
            ids[row, : len(reply)], valid[row, : len(reply)] = torch.tensor(reply), True
        state = CoreState.join([opening.state for opening in openings])
        output = self.core(self.core.embed(ids), state, valid)
        begun = torch.stack([opening.hidden for opening in openings])[:, None]  # (R, 1, D)
        before = torch.cat([begun, output.hidden[:, :-1]], 1)  # (R, T, D)
        logits = self.core.logits(before[valid]).float()  # (real tokens, V)
        log_probs = logits.gather(-1, ids[valid][:, None])[:, 0] - logits.logsumexp(-1)
        counts = valid.sum(1).tolist()
        return [
            _Read(
                output.shared[row, :count].mean(0),
                output.hidden[row, :count].mean(0),
                output.hidden[row, count - 1],
                of_reply.mean(),
                of_reply[-1],
            )
            for row, (count, of_reply) in enumerate(zip(counts, log_probs.split(counts), strict=True))
        ]


def _numbers(after: _Read, alone: _Read) -> Tensor:
    """(F,): the reply after the conversation, and what the conversation changed in it."""
    gained = after.expected - alone.expected
    vectors = [after.shared, after.hidden, after.shared - alone.shared, after.hidden - alone.hidden]
    scalars = torch.stack([after.expected, alone.expected, gained, after.ended])
    return torch.cat([*vectors, after.last, scalars])
