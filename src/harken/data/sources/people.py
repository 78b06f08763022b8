"""People's emotional speech: RAVDESS, nEMO and Akishino's Mandarin, a manifest beside one tar a corpus.

Emotions are annotated, speakers' genders known. RAVDESS is English (two sentences), nEMO Polish: rows for
labelers, not for answers. Akishino's clips have no transcript (the text is "") and valences instead of
emotions, of which rows have no word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harken.data.rows import Row, Speaker, Turn
from harken.data.sources.base import (
    GENDERS,
    Place,
    Source,
    Unread,
    Unusable,
    affect_of,
    items_to_rows,
    one_of,
    said,
)
from harken.data.sources.hub import list_files
from harken.data.sources.json_items import json_items
from harken.data.workspace import IN_TAR
from harken.errors import DataError


def _reader(corpus: str) -> Callable[[Place], Iterator[Row | Unread]]:
    def read(place: Place) -> Iterator[Row | Unread]:
        (manifest,) = list_files(place.path, "manifest.jsonl.gz")
        assert manifest.path is not None, "open_source gives the hub to sources that are on it"
        tar = manifest.path.with_name(f"{corpus}.tar")
        if not tar.is_file():
            raise DataError(f"{tar}: no such file", "name the folder with the manifest and its tars")

        def make(data: dict[str, Any]) -> list[Row]:
            return [_row(place.source, tar, data)] if data["corpus"] == corpus else []

        return items_to_rows(json_items(manifest), make)

    return read


def _row(source: Source, tar: Path, data: dict[str, Any]) -> Row:
    lang, speaker = data["lang"], data.get("speaker")
    if data["split"] not in ("train", "dev"):
        raise Unusable("label outside the set", f"split {data['split']!r}")
    turn = Turn(
        "user",
        said(data["text"], lang) if "text" in data else "",
        f"{tar}{IN_TAR}{data['path']}",
        data["seconds"],
        speaker=Speaker(speaker, one_of("gender", data["gender"], GENDERS)),
        affect=affect_of(data.get("emotion"), "human"),
    )
    return source.row(data["path"], [turn], lang, group=speaker, split=data["split"])


def _source(name: str, about: str, licence: str, lang: str, url: str, shippable: bool) -> Source:
    return Source(
        name=name,
        about=about,
        licence=licence,
        shippable=shippable,
        langs=(lang,),
        form_of=f"manifest.jsonl.gz and {name}.tar of 2026-11, made of {url}",
        url=url,
        read=_reader(name),
    )


SOURCES = (
    _source("ravdess", "actors saying two sentences in 8 emotions", "CC-BY-NC-SA-4.0", "en",
            "https://zenodo.org/records/1188976", shippable=True),
    _source("nemo", "actors speaking Polish in 6 emotions", "CC-BY-NC-SA-4.0", "pl",
            "https://huggingface.co/datasets/amu-cai/nEMO", shippable=True),
    _source("akishino", "Mandarin in 3 valences", "Apache-2.0 (repository); origin undocumented", "zh",
            "unknown", shippable=False),
)  # fmt: skip
