"""One shard after another, one step after another, in this process: the simplest engine, and the measure of
the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from harken.data.engines.base import Chain, Finished, open_station, stations


def run(numbers: Iterable[int], chain: Chain) -> Iterator[Finished]:
    """See `Engine`. Steps are opened once, before the first shard."""
    opened = [open_station(chain, place) for place in range(len(stations(chain)))]
    for number in numbers:
        item: Any = number
        for station in opened:
            item = station(item)
        yield item
