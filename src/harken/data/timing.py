"""When each symbol is said, in speech that Kokoro has made before: what Speak needs to learn from a pack.

Kokoro decides how long each symbol lasts before it makes any sound, and decides the same again for the same
words, voice and style. So a pack's English clips become what `harken data render --replies` writes, at a
part of the price: each clip's file, and a row with its words timed. Clips whose length is not what Kokoro
would have made of their text are left out.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import IO, Any, Protocol

from rich.progress import track

from harken.data.render import make_folder, open_manifest, rows_standing
from harken.data.speech import Clip, clips
from harken.errors import DataError
from harken.processor import cores
from harken.voices import kokoro
from harken.voices.base import NEUTRAL, Style, TimedWord
from harken.voices.styles import REPLY_STYLES

END_SLACK_S = 0.15
_KOKORO = partial(kokoro.load, threads=1)
JOINT_S = (-0.05, 0.8)
"""Silence that may have been cut out between two sentences."""

Chunks = list[tuple[float, list[TimedWord]]]


class Timed(Protocol):
    """A voice that tells when it would say what."""

    def timings(self, text: str, style: Style = NEUTRAL) -> Chunks: ...


def time_pack(
    pack: Path,
    out: Path,
    open_voice: Callable[[str], Timed] = _KOKORO,
    show: bool = True,
    workers: int | None = None,
) -> tuple[int, int]:
    """Time the pack's English clips into `out`, going on where an earlier run stopped.

    Args: workers: clips in work at once; None takes a core each.

    Returns: clips that were timed by this run, and clips that were left out. Raises DataError for a pack that
    cannot be read, and where `out` cannot be written.
    """
    make_folder(out)
    there, manners = rows_standing(out), _manners(pack)
    todo = [clip for clip in clips(pack) if clip.lang == "en" and clip.id not in there]
    voice, timed, left_out = lru_cache(maxsize=None)(open_voice), 0, 0

    def words_of(clip: Clip) -> list[TimedWord]:
        return placed(voice(clip.voice).timings(clip.text, manners[clip.id][0]), clip.seconds)

    with open_manifest(out) as manifest, ThreadPoolExecutor(workers or cores()) as pool:
        try:
            found = pool.map(words_of, todo)
            for clip, words in track(
                zip(todo, found, strict=True), "timing", total=len(todo), disable=not show
            ):
                if words:
                    row = _row(clip) | manners[clip.id][1] | {"words": [asdict(word) for word in words]}
                    _write(out, manifest, clip, row)
                    timed += 1
                else:
                    left_out += 1
        finally:
            pool.shutdown(cancel_futures=True)
    return timed, left_out


def _write(out: Path, manifest: IO[str], clip: Clip, row: dict[str, Any]) -> None:
    data = clip.file_bytes()
    try:
        (out / f"{clip.id}.ogg").write_bytes(data)
        manifest.write(json.dumps(row, ensure_ascii=False) + "\n")
        manifest.flush()
    except OSError as error:
        hint = "free some room and run it again: it goes on"
        raise DataError(f"{out}: cannot be written: {error.strerror}", hint) from None


def placed(chunks: Chunks, seconds: float) -> list[TimedWord]:
    """Words with their times in a clip of so many seconds, in which the chunks follow one another, with some
    silence cut out between any two of them; no words where that cannot be.
    """
    cut_s, joints = sum(length for length, _ in chunks) - seconds, len(chunks) - 1
    each_s = cut_s / joints if joints > 0 else 0.0
    if not chunks or abs(cut_s - joints * each_s) > END_SLACK_S or not JOINT_S[0] <= each_s <= JOINT_S[1]:
        return []
    return list(_placed(chunks, each_s))


def _placed(chunks: Chunks, cut_s: float) -> Iterator[TimedWord]:
    begun_s = 0.0
    for length, words in chunks:
        for word in words:
            yield replace(word, ends_s=tuple(round(begun_s + end, 4) for end in word.ends_s))
        begun_s += length - cut_s


def _manners(pack: Path) -> dict[str, tuple[Style, dict[str, Any]]]:
    """Clip's id -> how it was spoken, and what a row says of that."""
    found: dict[str, tuple[Style, dict[str, Any]]] = {}
    path = pack / "manifest.jsonl.gz"
    try:
        with gzip.open(path, "rt") as lines:
            for row in map(json.loads, lines):
                user = Style(**row["user_style"])
                found[f"{row['id']}-user"] = user, {"role": "user"}
                reply = {"role": "reply", "style": row["reply_style"], "before": row["user_text"]}
                found[f"{row['id']}-reply"] = REPLY_STYLES[row["reply_style"]], reply
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: {error!r}", "name a speech pack whose rows have user_style and reply_style"
        ) from None
    return found


def _row(clip: Clip) -> dict[str, Any]:
    return {
        "id": clip.id, "source": clip.source, "split": clip.split, "group": clip.group, "lang": clip.lang,
        "text": clip.text, "emotion": clip.emotion, "voice": clip.voice, "seconds": clip.seconds,
    }  # fmt: skip
