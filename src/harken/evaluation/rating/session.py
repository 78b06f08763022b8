"""One rater's way through the replies of one or more runs: what comes when, and what is rated already.

Replies are known by their place in the rater's own order, and by nothing else: who spoke them stays here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from harken.errors import InputError
from harken.evaluation.humdial.scores import D1, D2, D3
from harken.evaluation.rating.items import Item
from harken.evaluation.rating.sheet import Sheet

DIMENSIONS = (D1, D2, D3)
RATINGS = range(1, 6)
Who = Literal["user", "reply"]
WHO = get_args(Who)


@dataclass(frozen=True)
class Run:
    """What there is to rate of one run, and where its ratings are kept."""

    items: Sequence[Item]
    sheet: Sheet


class Session:
    """The replies in the order that the rater's name draws."""

    def __init__(self, runs: Sequence[Run], rater: str) -> None:
        self.rater = rater
        self._places = [(item, run.sheet) for run in runs for item in run.items]
        random.Random(rater).shuffle(self._places)

    @property
    def total(self) -> int:
        return len(self._places)

    def done(self) -> list[bool]:
        """Of each reply, whether all of it is rated."""
        return [len(self._ratings(number)) == len(DIMENSIONS) for number in range(self.total)]

    def item(self, number: int) -> dict[str, object]:
        """A reply and the dialogue before it, as the page takes it. Raises InputError where there is none."""
        item, _ = self._place(number)
        turns = [
            {"text": e.text, "reply": e.reply, "spoken": e.reply_sound is not None} for e in item.exchanges
        ]
        return {"language": item.language, "turns": turns, "ratings": self._ratings(number)}

    def sound(self, number: int, turn: int, who: str) -> Path:
        """A recording of a dialogue. Raises InputError for one there is not."""
        item, _ = self._place(number)
        if who in WHO and 0 <= turn < len(item.exchanges):
            exchange = item.exchanges[turn]
            path = exchange.sound if who == "user" else exchange.reply_sound
            if path is not None:
                return path
        raise InputError(f"there is no recording {turn} {who} of reply {number}")

    def rate(self, number: int, dimension: object, rating: object) -> None:
        """Keep a rating. Raises InputError for one that is none, and as `Sheet.rate`."""
        item, sheet = self._place(number)
        if dimension not in DIMENSIONS:
            raise InputError(f"{dimension!r} is not rated", f"dimensions: {', '.join(DIMENSIONS)}")
        if not isinstance(rating, int) or isinstance(rating, bool) or rating not in RATINGS:
            raise InputError(f"{rating!r} is no rating", "ratings are from 1 to 5")
        sheet.rate(item.id, str(dimension), rating)

    def _ratings(self, number: int) -> dict[str, float]:
        item, sheet = self._places[number]
        of_item = sheet.ratings.get(item.id, {})
        return {dimension: of_item[dimension] for dimension in DIMENSIONS if dimension in of_item}

    def _place(self, number: int) -> tuple[Item, Sheet]:
        if not 0 <= number < self.total:
            raise InputError(f"there is no reply {number}")
        return self._places[number]
