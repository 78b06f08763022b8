"""UltraChat: English queries to an assistant, from either of its two forms; queries alone.

`HuggingFaceH4/ultrachat_200k` has Parquet files with prompts (`test_sft` is our dev), `stingning/ultrachat`
JSON lines whose `data` are the turns. Answers are the teacher's to write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harken.data.rows import Row, Turn
from harken.data.sources.base import Item, Place, Source, Unread, items_to_rows, said
from harken.data.sources.hub import File, list_files
from harken.data.sources.json_items import json_items
from harken.data.sources.queries import check_speakable
from harken.errors import DataError, MissingExtra

_COLUMNS = ("prompt", "prompt_id")


def read(place: Place) -> Iterator[Row | Unread]:
    """A row a query."""
    files = list_files(
        place.path, "**/train_sft-*.parquet", "**/test_sft-*.parquet", "train_*.jsonl", "train_*.jsonl.gz"
    )
    return (row for file in files for row in _rows(place.source, file))


def _rows(source: Source, file: File) -> Iterator[Row | Unread]:
    split = "dev" if "test_sft" in file.name else "train"

    def make(data: dict[str, Any]) -> list[Row]:
        text = said(data["prompt"] if "prompt" in data else data["data"][0], "en")
        check_speakable(text, "en")
        key = str(data["prompt_id"] if "prompt" in data else data["id"])
        return [source.row(key, [Turn("user", text)], "en", split=split)]

    items = _parquet(file) if file.name.endswith(".parquet") else json_items(file)
    yield from items_to_rows(items, make)


def _parquet(file: File) -> Iterator[Item | Unread]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtra("reading Parquet", "data") from None
    number = 0
    with file.open() as stream:
        try:
            table = parquet.ParquetFile(stream)
            if lacking := [name for name in _COLUMNS if name not in table.schema_arrow.names]:
                raise DataError(
                    f"{file.where} has no column {lacking[0]!r}", f"its columns: {table.schema_arrow.names}"
                )
            for batch in table.iter_batches(batch_size=1024, columns=list(_COLUMNS)):
                for data in batch.to_pylist():
                    number += 1
                    yield Item(f"{file.where} row {number}", data)
        except (ArrowException, OSError) as error:
            yield Unread(f"{file.where} after row {number}", "file is broken", str(error).splitlines()[0])


SOURCE = Source(
    name="ultrachat",
    about="English queries to an assistant",
    licence="MIT",
    shippable=True,
    langs=("en",),
    form_of="hub HuggingFaceH4/ultrachat_200k@8049631 data/train_sft-*.parquet: prompt, prompt_id, messages; "
    "hub stingning/ultrachat@f220fe7 train_N.jsonl: id, data[]",
    url="https://huggingface.co/datasets/HuggingFaceH4/ultrachat_200k",
    read=read,
)
