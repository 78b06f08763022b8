"""WenetSpeech4TTS: Mandarin from videos and podcasts, in archives of `wavs/` and `txts/`, or unpacked.

A `txts/KEY.txt` has `KEY<tab>text` and, in its second line, times of words. Archives are read in their order
and streamed from the hub; their clips are kept, those whose text never came are removed again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from harken.data.rows import Row, Turn
from harken.data.sources.base import Item, Place, Source, Unread, Unusable, items_to_rows, said
from harken.data.sources.hub import HUB, File, list_files, members
from harken.data.workspace import IN_TAR
from harken.errors import DataError

PARTS = ("Premium", "Standard", "Basic")


def read(place: Place) -> Iterator[Row | Unread]:
    """A row a clip. Options: `part`."""
    part = place.options.get("part", "")
    if part not in ("", *PARTS):
        raise DataError(f"source 'wenetspeech4tts' has no part {part!r}", f"parts: {', '.join(PARTS)}")
    prefix = f"**/{part}/**" if part else "**"
    if place.path.startswith(HUB) or next(Path(place.path).glob("**/*.tar.gz"), None):
        archives = list_files(place.path, f"{prefix}/WenetSpeech4TTS_*.tar.gz")
        return (row for file in archives for row in _archive(place, file))
    texts = list_files(place.path, f"{prefix}/txts/*.txt")
    return (row for file in texts for row in _unpacked(place, file))


def _unpacked(place: Place, file: File) -> Iterator[Row | Unread]:
    assert file.path is not None
    wav = file.path.parent.parent / "wavs" / f"{file.path.stem}.wav"
    if not wav.is_file():
        yield Unread(file.where, "no such file", str(wav))
        return
    try:
        text = file.path.read_bytes()
    except OSError as error:
        yield Unread(file.where, "cannot be read", str(error.strerror))
        return
    yield from _clip(place, file.where, file.path.stem, str(wav), None, text)


def _archive(place: Place, file: File) -> Iterator[Row | Unread]:
    texts: dict[str, bytes] = {}
    audio: dict[str, str] = {}
    try:
        for member in members(file, lambda name: name.endswith((".wav", ".txt"))):
            if isinstance(member, Unread):
                yield member
                continue
            name, content = member
            key, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
            if suffix == ".wav" and content is not None:
                try:
                    audio[key] = place.kept(key, ".wav", partial(bytes, content))
                except Unusable as error:
                    yield Unread(f"{file.where}{IN_TAR}{key}", error.reason, error.detail)
            elif suffix == ".txt" and content is not None:
                texts[key] = content
            if key in texts and key in audio:
                where = f"{file.where}{IN_TAR}{key}"
                path = audio.pop(key)
                yield from _clip(place, where, key, path, Path(path), texts.pop(key))
    finally:
        for path in audio.values():
            Path(path).unlink(missing_ok=True)
    for key in (*texts, *audio):
        reason = "no such file" if key in texts else "no transcript"
        yield Unread(f"{file.where}{IN_TAR}{key}", reason)


def _clip(
    place: Place, where: str, key: str, audio: str, kept: Path | None, text: bytes
) -> Iterator[Row | Unread]:
    """The row of one clip; `kept` is removed where there is none."""
    for row in items_to_rows(
        [Item(where, {"text": text})], lambda data: [_row(place.source, key, audio, data["text"])]
    ):
        if isinstance(row, Unread) and kept:
            kept.unlink(missing_ok=True)
        yield row


def _row(source: Source, key: str, audio: str, text: bytes) -> Row:
    first = io.StringIO(text.decode()).readline()
    name, tab, words = first.partition("\t")
    if not tab or name.strip() != key:
        raise Unusable("not of the source's form", f"its text begins {first[:60]!r}")
    turn = Turn("user", said(words, "zh"), audio)
    video = "_".join(key.split("_")[:2])
    return source.row(key, [turn], "zh", group=f"{source.name}-{video}")


SOURCE = Source(
    name="wenetspeech4tts",
    about="Mandarin of videos and podcasts, cut for speech synthesis",
    licence="CC-BY-4.0, for non-commercial research by its terms of access",
    shippable=False,
    langs=("zh",),
    form_of="lhotse 1.33 lhotse/recipes/wenetspeech4tts.py (lhotse-speech/lhotse@75d1425a8d9b), the archives "
    "of hub Wenetspeech4TTS/WenetSpeech4TTS and what they unpack to",
    url="https://huggingface.co/datasets/Wenetspeech4TTS/WenetSpeech4TTS",
    read=read,
    options={"part": "one part alone: Premium, Standard or Basic"},
)
