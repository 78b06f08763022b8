"""LibriHeavy: Libri-Light's audiobooks with the books' own text, as lhotse cuts.

The manifests may be streamed from the hub; the recordings are a user's copy of Libri-Light, named by the
option `audio`, to which the manifests' `download/librilight` is mapped. Of the two texts of a cut the book's
is taken. The set's test parts are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harken.data.rows import Row
from harken.data.sources.base import Place, Source, Unread, said
from harken.data.sources.hub import HUB, File, list_files
from harken.data.sources.json_items import json_items
from harken.data.sources.lhotse_cuts import Segment, rows_of_cuts
from harken.errors import DataError

PARTS = ("small", "medium", "large", "dev")
THEIR_AUDIO = "download/librilight/"
"""Where the manifests say that Libri-Light is."""


def read(place: Place) -> Iterator[Row | Unread]:
    """A row a cut. Options: `part`, `audio`."""
    part = place.options.get("part", "")
    if part not in ("", *PARTS):
        raise DataError(f"source 'libriheavy' has no part {part!r}", f"parts: {', '.join(PARTS)}")
    audio = place.options.get("audio")
    if audio is None and place.path.startswith(HUB):
        raise DataError(
            "source 'libriheavy' has its audio in Libri-Light", "name your copy of it by the option audio"
        )
    folder = Path(audio) if audio else Path(place.path).parent
    if audio is None and Path(place.path).is_dir():
        folder = Path(place.path)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "name your copy of Libri-Light by the option audio")
    names = [f"libriheavy_cuts_{name}.jsonl.gz" for name in ([part] if part else PARTS)]
    return (row for file in list_files(place.path, *names) for row in _cuts(place, file, folder))


def _cuts(place: Place, file: File, folder: Path) -> Iterator[Row | Unread]:
    split = "dev" if "_dev" in file.name else "train"

    def make(segment: Segment) -> Row:
        texts = segment.custom.get("texts") or [segment.text]
        turn = segment.turn(place, said(texts[0], "en"))
        group = f"{place.source.name}-{segment.speaker or segment.recording}"
        return place.source.row(segment.id, [turn], "en", group=group, split=split)

    def resolve(path: str) -> Path:
        return (folder / path.removeprefix(THEIR_AUDIO)).absolute()

    yield from rows_of_cuts(json_items(file), resolve, make)


SOURCE = Source(
    name="libriheavy",
    about="English audiobooks with their punctuated text",
    licence="Apache-2.0 (texts and cuts); recordings in the public domain (LibriVox)",
    shippable=True,
    langs=("en",),
    form_of="k2-fsa/libriheavy@2564dfca6879 README.md; hub pkufool/libriheavy@df5cdf9: "
    "libriheavy_cuts_PART.jsonl.gz",
    url="https://huggingface.co/datasets/pkufool/libriheavy",
    read=read,
    options={
        "part": f"one part alone: {', '.join(PARTS)}",
        "audio": "the folder of Libri-Light: it has small/, medium/ and large/",
    },
)
