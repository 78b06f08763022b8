"""Sources: where the rows of a data set begin. `SOURCES` names them, `open_source` reads one.

What a source, a place and an unread item are is in `base`; each set has a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from harken.data.rows import Row, content_id
from harken.data.sources import (
    belle,
    dialogues,
    emilia,
    gigaspeech,
    libriheavy,
    packaged,
    people,
    recordings,
    speech_pack,
    ultrachat,
    wenetspeech4tts,
)
from harken.data.sources.base import Place, Source, Unread
from harken.data.sources.hub import HUB
from harken.errors import DataError

__all__ = ["SOURCES", "Source", "Unread", "open_source"]

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        source.name: source
        for source in (
            *packaged.SOURCES,
            recordings.SOURCE,
            *dialogues.SOURCES,
            speech_pack.SOURCE,
            *people.SOURCES,
            emilia.SOURCE,
            wenetspeech4tts.SOURCE,
            gigaspeech.SOURCE,
            libriheavy.SOURCE,
            belle.SOURCE,
            ultrachat.SOURCE,
        )
    }
)
ON_HUB = ("emilia", "wenetspeech4tts", "gigaspeech", "libriheavy", "belle", "ultrachat")
"""Sources that can be read as `hub://owner/name`."""


def open_source(
    name: str,
    path: str | Path = "",
    *,
    keep: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> Iterator[Row | Unread]:
    """The rows of source `name` at `path`, read as they are taken, with an Unread for whatever gave none.

    Args:
        path: a folder, a file, or `hub://owner/name`; "" for those that come with the package.
        keep: the folder for audio that is inside other files or on the hub; only sources that have such audio
            need it. It may be removed once the rows are built.
        options: what is asked of the source (`SOURCES[name].options`).

    Raises:
        DataError: at once, where there is no such source or option, or its files are not there; and while
            reading, where all of it is unusable (an unknown column, no language, the hub does not answer).
    """
    if name not in SOURCES:
        raise DataError(f"there is no source {name!r}", f"sources: {', '.join(SOURCES)}")
    source = SOURCES[name]
    for option in options or {}:
        if option not in source.options:
            known = ", ".join(source.options) or "it has none"
            raise DataError(f"source {name!r} has no option {option!r}", f"options: {known}")
    if str(path).startswith(HUB) and name not in ON_HUB:
        raise DataError(f"source {name!r} is not read from the hub", f"on the hub: {', '.join(ON_HUB)}")
    if not str(path) and source not in packaged.SOURCES:
        raise DataError(f"source {name!r} needs a place", "name the folder it lies in")
    return _each_once(source.read(Place(source, str(path), keep, dict(options or {}))), name)


def _each_once(rows: Iterable[Row | Unread], name: str) -> Iterator[Row | Unread]:
    """What a reader gives, without rows that were there before: by their recording, or else by their id."""
    seen: set[int] = set()
    for row in rows:
        if isinstance(row, Row):
            what = row.last_user.audio or row.id
            mark = int(content_id(what), 16)  # a number takes less room than its name
            if mark in seen:
                yield Unread(f"source {name}", "duplicate", what)
                continue
            seen.add(mark)
        yield row
