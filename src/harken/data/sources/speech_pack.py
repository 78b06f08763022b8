"""A speech pack: turns of dialogues spoken by synthetic voices, a manifest beside uncompressed tars.

Its emotions were acted by rule and say so. A row is the user's turn with its sound; the reply's words are the
target. Groups are those of the text dialogues the pack was made from, whose licences it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harken.data.rows import Cause, Row, Speaker, Turn
from harken.data.sources.base import GENDERS, Place, Source, Unread, Unusable, affect_of, items_to_rows, said
from harken.data.sources.dialogues import LICENCES
from harken.data.sources.hub import list_files
from harken.data.sources.json_items import json_items
from harken.data.workspace import IN_TAR


def read(place: Place) -> Iterator[Row | Unread]:
    """A row a turn of a user."""
    (manifest,) = list_files(place.path, "manifest.jsonl.gz")
    assert manifest.path is not None, "open_source gives the hub to sources that are on it"
    folder = manifest.path.parent
    return items_to_rows(json_items(manifest), lambda data: [_row(place.source, folder, data)])


def _row(source: Source, folder: Path, data: dict[str, Any]) -> Row:
    tar, voice, lang = folder / data["tar"], data["user_voice"], data["lang"]
    if not tar.is_file():
        raise Unusable("no such file", tar)
    if data["split"] not in ("train", "dev"):
        raise Unusable("label outside the set", f"split {data['split']!r}")
    text = said(data["user_text"], lang)
    turn = Turn(
        "user",
        text,
        f"{tar}{IN_TAR}{data['id']}-user.ogg",
        data["user_seconds"],
        speaker=Speaker(voice, GENDERS.get(voice[1:2])),
        affect=affect_of(data["user_emotion"], "rule"),
        cause=tuple(Cause(0, span) for span in data.get("cause") or () if span in text),
    )
    made_from = (data["dialogue"] or data["source"]).partition("-")[0]
    return source.row(
        data["id"],
        [turn],
        lang,
        group=data["group"],
        split=data["split"],
        target=data["reply_text"] or None,
        licence=LICENCES.get(made_from),
    )


SOURCE = Source(
    name="speech",
    about="dialogue turns spoken by Kokoro-82M, their emotions acted by rule",
    licence="CC-BY-NC-SA-4.0",
    shippable=True,
    langs=("en", "zh"),
    form_of="a speech pack of 2026-11: manifest.jsonl.gz and speech-NN.tar (harken.data.speech)",
    url="https://huggingface.co/hexgrad/Kokoro-82M",
    read=read,
)
