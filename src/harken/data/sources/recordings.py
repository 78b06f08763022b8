"""A user's own recordings: a folder of audio files, a manifest of them (CSV or JSONL), or lhotse cuts.

In a folder, a `.txt` or `.lab` of the same name is the transcript. A manifest's columns are `COLUMNS`; any
other stops the reading at once, a value outside its set drops its row. A folder that holds a manifest
(`manifest.csv`, `manifest.jsonl`, `*cuts*.jsonl.gz`) is read by that.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from harken.data.rows import Row, Speaker, Turn
from harken.data.sources.base import (
    AGES,
    GENDERS,
    SPLITS,
    Item,
    Place,
    Source,
    Unread,
    Unusable,
    affect_of,
    items_to_rows,
    one_of,
    said,
)
from harken.data.sources.hub import HUB, File, list_files
from harken.data.sources.json_items import json_items
from harken.data.sources.lhotse_cuts import Segment, beside, rows_of_cuts
from harken.errors import DataError

AUDIO = (".wav", ".flac", ".ogg", ".mp3", ".opus")
TRANSCRIPTS = (".txt", ".lab")
MANIFESTS = ("manifest.csv", "manifest.jsonl", "manifest.jsonl.gz", "*cuts*.jsonl.gz")
COLUMNS = ("path", "audio", "text", "lang", "speaker", "gender", "age", "emotion", "split", "group")
"""`path` and `audio` are two names for the same, relative to the manifest; one of them is needed."""
LANGS = ("en", "zh")


def read(place: Place) -> Iterator[Row | Unread]:
    """A row a recording. Options: `lang`, `licence`, `audio`."""
    lang = place.options.get("lang")
    if lang not in (None, *LANGS):
        raise DataError(f"recordings in {lang!r} are not read", f"languages: {', '.join(LANGS)}")
    if place.path.startswith(HUB):
        raise DataError(f"{place.path}: recordings are read from this disk", "name a folder or a manifest")
    path = Path(place.path)
    manifests = [path] if path.is_file() else sorted(p for m in MANIFESTS for p in path.glob(m))
    if not manifests:
        files = list_files(place.path, *(f"**/*{suffix}" for suffix in AUDIO))
        return chain.from_iterable(
            items_to_rows(_found(file), lambda data: [_row(place, data)]) for file in files
        )
    if len(manifests) > 1:
        raise DataError(
            f"{path} holds {len(manifests)} manifests", f"name one of them, such as {manifests[0]}"
        )
    (manifest,) = list_files(str(manifests[0]))
    assert manifest.path is not None
    if manifest.name.endswith(".csv"):
        return items_to_rows(_csv(manifest.path), lambda data: [_row(place, data)])
    if manifest.name.endswith((".jsonl", ".jsonl.gz")):
        return _jsonl(place, manifest)
    raise DataError(f"{path}: is not a manifest", "name a .csv, .jsonl or .jsonl.gz, or a folder")


def _found(file: File) -> list[Item | Unread]:
    """One audio file and the transcript beside it."""
    assert file.path is not None
    data: dict[str, Any] = {"file": file.path, "key": file.name}
    for text in (file.path.with_suffix(suffix) for suffix in TRANSCRIPTS):
        if text.is_file():
            try:
                data["text"] = text.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                return [Unread(str(text), "cannot be read", str(error))]
            break
    return [Item(file.where, data)]


def _csv(path: Path) -> Iterator[Item | Unread]:
    """The rows of a CSV file. Raises DataError, before the first, where its columns are not ours."""
    lines = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        table = csv.reader(lines)
        header = [name.strip() for name in next(table, [])]
    except csv.Error as error:
        raise DataError(f"{path}: is not a CSV file: {error}", "save it as CSV in UTF-8") from None
    _check_columns(f"{path}", header)
    return _csv_items(path, lines, table, header)


def _csv_items(path: Path, lines: io.TextIOBase, table: Any, header: list[str]) -> Iterator[Item | Unread]:
    with lines:
        while True:
            where = f"{path} row {table.line_num + 1}"
            try:
                values = next(table)
            except StopIteration:
                return
            except csv.Error as error:
                yield Unread(where, "broken CSV", str(error))
                continue
            if not values:
                continue
            if len(values) != len(header):
                yield Unread(where, "broken CSV", f"{len(values)} values in {len(header)} columns")
            elif any("\udc80" <= letter <= "\udcff" for value in values for letter in value):
                yield Unread(where, "not UTF-8")
            else:
                yield Item(where, dict(zip(header, values, strict=True)) | {"manifest": path})


def _check_columns(where: str, names: list[str]) -> None:
    known = f"known: {', '.join(COLUMNS)}"
    for name in names:
        if name not in COLUMNS:
            raise DataError(f"{where} has a column {name!r}", known)
        if names.count(name) > 1:
            raise DataError(f"{where} has the column {name!r} twice", "keep one of them")
    if ("path" in names) == ("audio" in names):
        raise DataError(f"{where} needs a column path (or audio, not both)", known)


def _jsonl(place: Place, manifest: File) -> Iterator[Row | Unread]:
    """A manifest of ours or lhotse's, told apart by its first object."""
    items = json_items(manifest)
    begun = []
    for item in items:
        begun.append(item)
        if isinstance(item, Item):
            break
    first = begun[-1].data if begun and isinstance(begun[-1], Item) else {}
    items = chain(begun, items)
    if "supervisions" in first or "recording" in first or str(first.get("type", "")).endswith("Cut"):
        resolve = beside(manifest.path, place.options.get("audio"))
        return rows_of_cuts(items, resolve, lambda segment: _cut(place, segment))

    def make(data: dict[str, Any]) -> list[Row]:
        _check_columns(str(manifest.path), list(data))
        if wrong := [
            name for name, value in data.items() if value is not None and not isinstance(value, str)
        ]:
            raise Unusable("not of the source's form", f"{wrong[0]} is not text")
        return [_row(place, data | {"manifest": manifest.path})]

    if first:
        _check_columns(str(manifest.path), list(first))
    return items_to_rows(items, make)


def _row(place: Place, data: dict[str, Any]) -> Row:
    """A row of `{"file", "key", "text"?}` or of a manifest's columns."""
    given = {name: (data.get(name) or "").strip() for name in COLUMNS}
    key = data.get("key") or given["path"] or given["audio"]
    file = data["file"] if "file" in data else _beside(data["manifest"], key)
    lang = given["lang"] or place.options.get("lang")
    if lang is None:
        raise DataError(
            f"{place.path}: no language is given", "add a column lang, or the option lang=en or zh"
        )
    if lang not in LANGS:
        raise Unusable("other language", lang)
    turn = Turn(
        "user",
        said(given["text"], lang) if data.get("text") is not None else "",
        str(file),
        speaker=Speaker(
            given["speaker"] or None,
            one_of("gender", given["gender"], GENDERS),
            one_of("age", given["age"], AGES),
        ),
        affect=affect_of(given["emotion"], "human"),
    )
    group = given["group"] or given["speaker"] or key
    split = one_of("split", given["split"], SPLITS) or "train"
    return _source_row(place, key, turn, lang, group, split)


def _beside(manifest: Path, name: str) -> Path:
    """The file that a manifest names. Raises Unusable where it is not there."""
    if not name:
        raise Unusable("lacks a field", "path")
    try:
        file = (manifest.parent / name).absolute()
        if file.is_file() and os.access(file, os.R_OK):
            return file
    except (OSError, ValueError):
        raise Unusable("no such file", repr(name)) from None
    raise Unusable("no such file", file)


def _cut(place: Place, segment: Segment) -> Row:
    lang = segment.lang or place.options.get("lang")
    if lang is None:
        raise DataError(f"{place.path}: no language is given", "give the option lang=en or lang=zh")
    turn = segment.turn(place, "" if segment.text is None else said(segment.text, lang))
    return _source_row(place, segment.id, turn, lang, segment.speaker or segment.recording, "train")


def _source_row(place: Place, key: str, turn: Turn, lang: str, group: str, split: str) -> Row:
    source, licence = place.source, place.options.get("licence")
    return source.row(key, [turn], lang, group=f"{source.name}-{group}", split=split, licence=licence)


SOURCE = Source(
    name="recordings",
    about="a user's own recordings: a folder, a CSV or JSONL manifest, or lhotse cuts",
    licence="the user's own",
    shippable=True,
    langs=LANGS,
    form_of=f"Harken's own manifest ({', '.join(COLUMNS)}); lhotse 1.33 CutSet.to_file",
    url="https://lhotse.readthedocs.io/en/latest/cuts.html",
    read=read,
    options={
        "lang": "the language where no column says: en or zh",
        "licence": "what the rows' licence is to say",
        "audio": "the folder that the relative paths of lhotse cuts start from",
    },
)
