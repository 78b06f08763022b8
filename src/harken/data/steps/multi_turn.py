"""Regroups a share of the empathy rows into dialogues of 2, 3 and 4 user's turns (the paper's 2.2).

The rows of a dialogue follow one another: what was said, what was answered, and so on; the last row's answer
is the target. Its first and last emotions differ, so that there is a change to hear. All its rows are of one
speaker (or of nobody yet, to be spoken by one voice), one language, one source and one split.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from harken.data.rows import Row, Speaker, Turn, content_id, derive
from harken.data.steps.base import Resources, StepConfig
from harken.data.workspace import Workspace


class MultiTurn(StepConfig):
    """Empathy rows -> longer dialogues made of a share of them, and the rest."""

    step: Literal["multi_turn"] = "multi_turn"
    share: float = 0.4
    """Of the empathy rows of a shard, at most; fewer where their emotions do not differ enough."""
    turns: tuple[int, ...] = (2, 3, 4)

    def open(self, resources: Resources) -> MultiTurnStep:
        return MultiTurnStep(self)


@dataclass(frozen=True)
class MultiTurnStep:
    """The opened step."""

    config: MultiTurn

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row]:
        empathy = [row for row in rows if row.task == "empathy"]
        dice = random.Random(content_id(self.config.maker, sorted(row.id for row in empathy)))
        pools: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        for row in sorted(empathy, key=lambda row: content_id(self.config.maker, row.id)):
            if _fits(row, max(self.config.turns)):
                pools[_one_voice(row)].append(row)
        left, used, joined = int(self.config.share * len(empathy) + 0.5), set[str](), list[Row]()
        for key in sorted(pools, key=content_id):
            for chain in self._chains(pools[key], left, dice):
                left -= len(chain)
                used |= {row.id for row in chain}
                joined.append(join(chain, self.config.maker))
        yield from (row for row in rows if row.id not in used)
        yield from joined

    def _chains(self, pool: list[Row], most: int, dice: random.Random) -> Iterator[list[Row]]:
        """Dialogues of rows of `pool`, of `most` rows together."""
        while pool and most >= min(self.config.turns):
            first = pool.pop(0)
            for length in dice.sample(self.config.turns, len(self.config.turns)):
                chain = _chain(first, pool, length)
                if chain and len(chain) <= most:
                    used = {row.id for row in chain}
                    pool[:] = [row for row in pool if row.id not in used]
                    most -= len(chain)
                    yield chain
                    break


def join(chain: Sequence[Row], maker: str) -> Row:
    """Rows as one dialogue: turns and answers in order; trace, target and teacher are the last row's."""
    last = chain[-1]
    speaker = last.last_user.speaker
    if speaker.id is None:
        speaker = replace(speaker, id=f"joined-{content_id([row.id for row in chain])}")
    turns: list[Turn] = []
    for row in chain:
        offset = len(turns)
        for turn in row.turns:
            moved = tuple(replace(cause, turn=cause.turn + offset) for cause in turn.cause)
            turn = replace(turn, cause=moved)
            turns.append(replace(turn, speaker=speaker) if turn.role == "user" else turn)
        if row is not last:
            turns.append(Turn("assistant", row.target or ""))
    return derive(last, maker, parents=tuple(chain), turns=tuple(turns))


def users(row: Row) -> list[Turn]:
    """The user's turns."""
    return [turn for turn in row.turns if turn.role == "user"]


def _fits(row: Row, longest: int) -> bool:
    """Can it be part of a longer dialogue: emotions known, in the voice of one speaker or of nobody yet?"""
    turns = users(row)
    speakers = {turn.speaker for turn in turns}
    spoken_by_whom = all(turn.speaker.id or not turn.audio for turn in turns)
    return (
        0 < len(turns) < longest
        and len(speakers) == 1
        and spoken_by_whom
        and all(turn.emotion for turn in turns)
        and row.turns[-1].role == "user"
        and bool(row.target)
    )


def _one_voice(row: Row) -> tuple[Any, ...]:
    """Rows with the same of this may be joined."""
    who: Speaker = row.last_user.speaker
    return row.split, row.lang, row.source, row.licence, row.shippable, who.id, who.gender, who.age


def _chain(first: Row, pool: Iterable[Row], length: int) -> list[Row] | None:
    """`first`, rows of other groups, and last one that ends in another emotion: `length` turns in all."""
    begins, room, groups = users(first)[0].emotion, length - len(users(first)), {first.group}
    last: Row | None = None
    between: list[Row] = []
    for row in pool:
        other = row.last_user.emotion != begins and row.group not in groups
        if last is None and other and len(users(row)) <= room:
            last, room, groups = row, room - len(users(row)), groups | {row.group}
    for row in pool:
        if last is not None and row.group not in groups and len(users(row)) <= room:
            between.append(row)
            room, groups = room - len(users(row)), groups | {row.group}
    return [first, *between, last] if last is not None and room == 0 else None
