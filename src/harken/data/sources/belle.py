"""BELLE train_3.5M_CN: Chinese queries to an assistant, of which those are taken that could be spoken.

Only the first human turn of each conversation is read: answers are the teacher's to write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harken.data.rows import Row, Turn
from harken.data.sources.base import Place, Source, Unread, Unusable, items_to_rows, said
from harken.data.sources.hub import list_files
from harken.data.sources.json_items import json_items
from harken.data.sources.queries import check_speakable


def read(place: Place) -> Iterator[Row | Unread]:
    """A row a query."""

    def make(data: dict[str, Any]) -> list[Row]:
        first = data["conversations"][0]
        if first["from"] != "human":
            raise Unusable("not of the source's form", f"begins with {first['from']!r}")
        text = said(first["value"], "zh")
        check_speakable(text, "zh")
        return [place.source.row(str(data["id"]), [Turn("user", text)], "zh")]

    files = list_files(place.path, "*.json", "*.jsonl", "*.jsonl.gz")
    return (row for file in files for row in items_to_rows(json_items(file), make))


SOURCE = Source(
    name="belle",
    about="Chinese queries to an assistant",
    licence="GPL-3.0, for research only by its card",
    shippable=False,
    langs=("zh",),
    form_of="hub BelleGroup/train_3.5M_CN@e3277973eb38 train_3.5M_CN.json: id, conversations[{from, value}]",
    url="https://huggingface.co/datasets/BelleGroup/train_3.5M_CN",
    read=read,
)
