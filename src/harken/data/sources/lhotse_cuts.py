"""Manifests that lhotse writes (`*_cuts_*.jsonl.gz`): each supervision of each cut, read line by line.

The form is that of lhotse 1.33 (`lhotse/cut/mono.py`, `lhotse/supervision.py`, `lhotse/audio/recording.py`).
It is read as plain JSON rather than through lhotse, so that one broken line costs one line. A supervision
that covers its recording is that file; of a longer recording its part is cut out into the source's `keep`
folder. What the texts mean is left to the sources.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harken.data.rows import Row, Speaker, Turn
from harken.data.sources.base import GENDERS, Item, Place, Unread, Unusable, items_to_rows

TOLERANCE_S = 0.05
"""A supervision that lacks no more than this of its recording is the whole of it."""
LANGUAGES = {"english": "en", "en": "en", "chinese": "zh", "mandarin": "zh", "zh": "zh"}


@dataclass(frozen=True)
class Segment:
    """One supervision: where it is in which file, and what is said there."""

    id: str
    recording: str  # the recording's id
    path: Path
    start_s: float
    seconds: float
    whole: bool
    channel: int
    text: str | None
    lang: str | None
    speaker: str | None
    gender: str | None
    custom: dict[str, Any]

    def turn(self, place: Place, text: str) -> Turn:
        """The user's turn in which `text` is said here. Raises Unusable where the recording is not there."""
        if not self.path.is_file():
            raise Unusable("no such file", self.path)
        audio = str(self.path) if self.whole else place.kept(self.id, ".flac", self._cut)
        gender = GENDERS.get((self.gender or "").lower())
        return Turn("user", text, audio, round(self.seconds, 3), speaker=Speaker(self.speaker, gender))

    def _cut(self) -> bytes:
        import soundfile

        cut = io.BytesIO()
        try:
            with soundfile.SoundFile(self.path) as file:
                file.seek(round(self.start_s * file.samplerate))
                frames = file.read(round(self.seconds * file.samplerate), dtype="int16", always_2d=True)
                if not len(frames):
                    raise Unusable("cannot be decoded", f"{self.path}: ends before {self.start_s} s")
                channel = min(self.channel, file.channels - 1)
                soundfile.write(cut, frames[:, channel], file.samplerate, format="FLAC")
        except soundfile.LibsndfileError as error:
            raise Unusable("cannot be decoded", f"{self.path}: {error}") from None
        return cut.getvalue()


def rows_of_cuts(
    items: Iterator[Item | Unread],
    resolve: Callable[[str], Path],
    make: Callable[[Segment], Row],
) -> Iterator[Row | Unread]:
    """What `make` makes of each supervision; `resolve` says where the recording at a manifest's path lies."""
    for item in items:
        if isinstance(item, Unread):
            yield item
            continue
        supervisions = item.data.get("supervisions") or [None]
        for number, supervision in enumerate(supervisions if isinstance(supervisions, list) else [None], 1):
            where = item.where if len(supervisions) == 1 else f"{item.where} supervision {number}"
            one = Item(where, {"cut": item.data, "supervision": supervision})
            yield from items_to_rows([one], lambda data: [make(segment(data, resolve))])


def segment(data: dict[str, Any], resolve: Callable[[str], Path]) -> Segment:
    """The segment of `{"cut", "supervision"}`. Raises Unusable for cuts that are not of one recording."""
    cut, supervision = data["cut"], data["supervision"]
    kind = cut.get("type", "MonoCut")
    if kind not in ("MonoCut", "MultiCut"):
        raise Unusable("not one recording", kind)
    if supervision is None:
        raise Unusable("empty text", "the cut has no supervision")
    recording = cut["recording"]
    (source, *_) = recording["sources"]
    if source["type"] != "file":
        raise Unusable("audio is not in a file", source["type"])
    start, seconds = cut["start"] + supervision["start"], float(supervision["duration"])
    if start < -TOLERANCE_S or seconds <= 0:
        raise Unusable("not of the source's form", f"starts at {start} s and is {seconds} s long")
    channel = supervision.get("channel", 0)
    return Segment(
        id=supervision["id"],
        recording=recording["id"],
        path=resolve(source["source"]),
        start_s=max(start, 0.0),
        seconds=seconds,
        whole=start <= TOLERANCE_S and start + seconds >= recording["duration"] - TOLERANCE_S,
        channel=channel if isinstance(channel, int) else channel[0],
        text=supervision.get("text"),
        lang=LANGUAGES.get((supervision.get("language") or "").lower()),
        speaker=supervision.get("speaker"),
        gender=supervision.get("gender"),
        custom=supervision.get("custom") or {},
    )


def beside(manifest: Path | None, audio: str | None) -> Callable[[str], Path]:
    """Finds recordings under the folder `audio`, by default the manifest's own; absolute paths stay."""
    folder = Path(audio) if audio else (manifest.parent if manifest else Path())
    return lambda path: (folder / path).absolute()
