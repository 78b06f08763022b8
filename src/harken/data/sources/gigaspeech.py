"""GigaSpeech: English audiobooks, podcasts and videos, as lhotse's cuts or as the hub has it.

lhotse's recipe gives one cut a recording with a supervision an utterance; the hub has, for each archive of
clips, a table of what is said in them. The texts are upper case with tags for punctuation: these become
ordinary writing. The set's own test part is not read.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harken.data.rows import Row, Speaker, Turn
from harken.data.sources.base import Item, Place, Source, Unread, Unusable, items_to_rows, said
from harken.data.sources.hub import HUB, File, list_files, members
from harken.data.sources.json_items import json_items
from harken.data.sources.lhotse_cuts import Segment, beside, rows_of_cuts
from harken.data.workspace import IN_TAR
from harken.errors import DataError

PARTS = ("XL", "L", "M", "S", "XS", "DEV")
PUNCTUATION = {"<COMMA>": ",", "<PERIOD>": ".", "<QUESTIONMARK>": "?", "<EXCLAMATIONPOINT>": "!"}


def read(place: Place) -> Iterator[Row | Unread]:
    """A row an utterance. Options: `part`, `audio`."""
    part = place.options.get("part", "").upper()
    if part not in ("", *PARTS):
        raise DataError(f"source 'gigaspeech' has no part {part!r}", f"parts: {', '.join(PARTS)}")
    if place.path.startswith(HUB) or next(Path(place.path).glob("**/*_metadata.csv"), None):
        return _hub(place, part.lower() or "*")
    manifests = list_files(place.path, f"gigaspeech_cuts_{part or '*'}.jsonl.gz")
    return (row for file in manifests if "TEST" not in file.name for row in _cuts(place, file))


def _cuts(place: Place, file: File) -> Iterator[Row | Unread]:
    split = "dev" if "DEV" in file.name else "train"

    def make(segment: Segment) -> Row:
        turn = segment.turn(place, said(written(segment.text or ""), "en"))
        return _row(place.source, segment.id, segment.recording, turn, split)

    resolve = beside(file.path, place.options.get("audio"))
    yield from rows_of_cuts(json_items(file), resolve, make)


def _hub(place: Place, part: str) -> Iterator[Row | Unread]:
    files = list_files(
        place.path,
        f"data/metadata/{part}_metadata*/*_metadata.csv",
        f"data/audio/{part}_files*/*_chunks_*.tar.gz",
    )
    tables = {PurePosixPath(f.name).name.removesuffix("_metadata.csv"): f for f in files if ".csv" in f.name}
    archives = [f for f in files if f.name.endswith(".tar.gz") and "/test_files" not in f"/{f.name}"]
    return (row for file in archives for row in _archive(place, file, tables))


def _archive(place: Place, file: File, tables: dict[str, File]) -> Iterator[Row | Unread]:
    chunk = PurePosixPath(file.name).name.removesuffix(".tar.gz")
    if chunk not in tables:
        yield Unread(file.where, "no transcript", f"there is no {chunk}_metadata.csv")
        return
    with tables[chunk].open() as table:
        about = {r.get("sid"): r for r in csv.DictReader(io.TextIOWrapper(table, "utf-8", "replace"))}
    split = "dev" if chunk.startswith("dev_") else "train"
    for member in members(file, lambda name: name.endswith(".wav")):
        if isinstance(member, Unread):
            yield member
        elif member[1] is not None:
            key = PurePosixPath(member[0]).stem
            item = Item(f"{file.where}{IN_TAR}{member[0]}", {"about": about.get(key), "audio": member[1]})
            yield from items_to_rows([item], lambda data, key=key: [_clip(place, key, split, **data)])  # type: ignore[misc]


def _clip(place: Place, key: str, split: str, about: dict[str, str] | None, audio: bytes) -> Row:
    if about is None:
        raise Unusable("no transcript", key)
    text = said(written(about["text_tn"]), "en")
    seconds = round(float(about["end_time"]) - float(about["begin_time"]), 3)
    speaker = None if about["speaker"] in ("", "N/A") else about["speaker"]
    reference = place.kept(key, ".wav", lambda: audio)
    turn = Turn("user", text, reference, seconds, speaker=Speaker(speaker))
    return _row(place.source, key, about["aid"], turn, split)


def _row(source: Source, key: str, recording: str, turn: Turn, split: str) -> Row:
    return source.row(key, [turn], "en", group=f"{source.name}-{recording}", split=split)


def written(text: str) -> str:
    """`AS I SAID <COMMA> NO <PERIOD>` -> `As I said, no.` Raises Unusable for music, noise and the like."""
    words: list[str] = []
    for word in text.split():
        if word in PUNCTUATION:
            words[-1:] = [words[-1] + PUNCTUATION[word]] if words else []
        elif word.startswith("<"):
            raise Unusable("no speech", word)
        else:
            words.append(re.sub(r"^i(?=$|')", "I", word.lower()))
    return re.sub(r"(?:^|(?<=[.?!] ))[a-z]", lambda first: first[0].upper(), " ".join(words))


SOURCE = Source(
    name="gigaspeech",
    about="English audiobooks, podcasts and videos with transcripts",
    licence="for non-commercial research and education by its terms of access",
    shippable=False,
    langs=("en",),
    form_of="lhotse 1.33 lhotse/recipes/gigaspeech.py (lhotse-speech/lhotse@3d8e927c39ed): "
    "gigaspeech_cuts_PART.jsonl.gz; hub speechcolab/gigaspeech: the archives and tables that its loading "
    "script gigaspeech.py names",
    url="https://huggingface.co/datasets/speechcolab/gigaspeech",
    read=read,
    options={
        "part": f"one part alone: {', '.join(PARTS)}",
        "audio": "the folder that a manifest's relative paths start from",
    },
)
