"""Emilia: people's speech from videos and podcasts, WebDataset tars by language, from disk or streamed.

In each `LANG-B000000.tar` every clip is `KEY.mp3` and `KEY.json` with its text, speaker and language. Of a
tar on this disk clips are named where they lie; streamed ones are kept. The half of the set that is called
Emilia-YODAS has a licence of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from harken.data.rows import Row, Speaker, Turn
from harken.data.sources.base import Item, Place, Source, Unread, Unusable, items_to_rows, said
from harken.data.sources.hub import File, list_files, members
from harken.data.workspace import IN_TAR
from harken.errors import DataError

YODAS_LICENCE = "CC-BY-4.0"
LANGS = ("en", "zh")


def read(place: Place) -> Iterator[Row | Unread]:
    """A row a clip. Options: `lang`."""
    lang = place.options.get("lang")
    if lang not in (None, *LANGS):
        raise DataError(f"source 'emilia' is not read in {lang!r}", f"languages: {', '.join(LANGS)}")
    files = list_files(place.path, *(f"**/{code.upper()}-B*.tar" for code in ([lang] if lang else LANGS)))
    return (row for file in files for row in _archive(place, file))


def _archive(place: Place, file: File) -> Iterator[Row | Unread]:
    """The clips of one tar: the two members of a key follow each other, in either order."""
    halves: dict[str, dict[str, tuple[str, bytes | None]]] = {}
    local = file.path is not None
    for member in members(file, lambda name: name.endswith(".json") or not local):
        if isinstance(member, Unread):
            yield member
            continue
        name, content = member
        path = PurePosixPath(name)
        clip = halves.setdefault(path.stem, {})
        clip[path.suffix] = name, content
        if ".json" in clip and ".mp3" in clip:
            yield from _clip(place, file, *halves.pop(path.stem).values())
    for key, clip in halves.items():
        yield Unread(f"{file.where}{IN_TAR}{key}", "no transcript" if ".mp3" in clip else "no such file")


def _clip(place: Place, file: File, *parts: tuple[str, bytes | None]) -> Iterator[Row | Unread]:
    (described, text), (audio, content) = sorted(parts)  # .json before .mp3
    where = f"{file.where}{IN_TAR}{described}"
    try:
        data = json.loads(text or b"")
    except ValueError as error:
        yield Unread(where, "broken JSON", str(error))
        return

    def reference(key: str) -> str:
        return f"{file.path}{IN_TAR}{audio}" if content is None else place.kept(key, ".mp3", lambda: content)

    licence = YODAS_LICENCE if "YODAS" in file.where else None
    yield from items_to_rows([Item(where, data)], lambda data: [_row(place.source, data, reference, licence)])


def _row(source: Source, data: dict[str, Any], reference: Callable[[str], str], licence: str | None) -> Row:
    key, lang, speaker = data["id"], data["language"], data["speaker"]
    if lang not in LANGS:
        raise Unusable("other language", lang)
    text = said(data["text"], lang)
    turn = Turn("user", text, reference(key), float(data["duration"]), speaker=Speaker(speaker))
    return source.row(key, [turn], lang, group=f"{source.name}-{speaker}", licence=licence)


SOURCE = Source(
    name="emilia",
    about="people talking in videos and podcasts, English and Chinese, transcribed by machine",
    licence="CC-BY-NC-4.0",
    shippable=True,
    langs=LANGS,
    form_of="hub amphion/Emilia-Dataset@bcaad00d13e7 (DE/DE-B000000.tar: KEY.mp3, KEY.json); fields as in "
    "lhotse 1.33 lhotse/recipes/emilia.py",
    url="https://huggingface.co/datasets/amphion/Emilia-Dataset",
    read=read,
    options={"lang": "one language alone: en or zh"},
)
