"""Replies as Speak learns to say them: units, and when each symbol of the text is said, without the sound.

Made once from rendered replies (`harken data render --replies`) and kept as JSON lines, a reply each, its
units packed: an hour is some 200 kB, so that a hundred hours fit where the sound would not. Making them is
resumable.

Shapes: U units, P symbols.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from harken.audio.silence import audible_s
from harken.data.speech import Clip
from harken.errors import DataError
from harken.model.units.encoder import HarkenUnitEncoder
from harken.training.states import complete_rows

LEAD_S, TAIL_S = 0.02, 0.15
"""Silence that stays before the first sound and after the last."""
BEFORE_UNITS = 8
"""Of silence, put before a reply while it is read and left out again: the codec knows no speech that begins
out of nothing."""
_SAMPLE_RATE_HZ = 24_000


@dataclass(frozen=True)
class SpokenReply:
    """One reply."""

    id: str
    split: str
    before: str | None
    text: str
    voice: str
    style: str | None
    """Of `REPLY_STYLES`; None where it was spoken as a user's turn."""
    words: tuple[tuple[int, int, str], ...]
    """Of each word: its characters from and to, and its symbols."""
    ends: tuple[float, ...]
    """When each symbol ends, in units, over all words: (P,)."""
    units: str
    """Packed; see `unit_array`."""

    def unit_array(self) -> NDArray[np.int64]:
        """(U,)."""
        return np.frombuffer(base64.b64decode(self.units), "<u2").astype(np.int64)


def read_replies(path: Path, codec_sha256: str) -> list[SpokenReply]:
    """The replies in a file. Raises DataError where they are of another codec, or the file is not there."""
    if not path.exists():
        raise DataError(f"{path}: no such file", "render replies: harken data render --replies")
    rows = complete_rows(path)
    if rows and rows[0]["codec_sha256"] != codec_sha256:
        raise DataError(
            f"{path} holds units of the codec {rows[0]['codec_sha256'][:8]}, not of {codec_sha256[:8]}",
            "write them anew with this codec, or take the codec that wrote them",
        )
    return [_reply(row) for row in rows[1:]]


def write_replies(path: Path, clips: Sequence[Clip], encoder: HarkenUnitEncoder) -> Iterator[SpokenReply]:
    """Write down the clips that are not there yet; gives each as it is done.

    Args: clips: rendered replies; those without timed words are left out.

    Raises: DataError where the file is another codec's.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            path.write_text(
                json.dumps({"codec_sha256": encoder.codec_sha256, "units_hz": encoder.units_hz}) + "\n"
            )
        there = {reply.id for reply in read_replies(path, encoder.codec_sha256)}
        with path.open("a") as file:
            for clip in clips:
                if clip.id in there or not clip.words:
                    continue
                reply = spoken_reply(clip, encoder)
                file.write(json.dumps(asdict(reply), ensure_ascii=False) + "\n")
                file.flush()
                yield reply


def spoken_reply(clip: Clip, encoder: HarkenUnitEncoder) -> SpokenReply:
    """A rendered reply as units, from its first sound to its last."""
    samples, begin_s = heard_part(clip.samples(_SAMPLE_RATE_HZ))
    before = np.zeros(round(BEFORE_UNITS * _SAMPLE_RATE_HZ / encoder.units_hz), np.float32)
    read = encoder.encode(np.concatenate([before, samples]), _SAMPLE_RATE_HZ, clip.voice)
    units = read[BEFORE_UNITS:, 0]
    assert encoder.vocabulary[0] <= 1 << 16, "two bytes a unit"
    return SpokenReply(
        id=clip.id,
        split=clip.split,
        before=clip.before,
        text=clip.text,
        voice=clip.voice,
        style=clip.style,
        words=tuple((word.start, word.end, word.symbols) for word in clip.words),
        ends=tuple(
            round(max(0.0, end - begin_s) * encoder.units_hz, 2) for word in clip.words for end in word.ends_s
        ),
        units=base64.b64encode(units.astype("<u2").tobytes()).decode(),
    )


def heard_part(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """(N,) samples at 24 kHz without silence at either end, but for a little, and how many seconds were cut
    from the start: what is learned from silence is to be late.
    """
    found = audible_s(samples, _SAMPLE_RATE_HZ)
    if found is None:
        return samples, 0.0
    begin, end = (round(_SAMPLE_RATE_HZ * s) for s in (max(0.0, found[0] - LEAD_S), found[1] + TAIL_S))
    return samples[begin:end], begin / _SAMPLE_RATE_HZ


def _reply(row: dict[str, Any]) -> SpokenReply:
    words = tuple((start, end, symbols) for start, end, symbols in row["words"])
    return SpokenReply(**row | {"words": words, "ends": tuple(row["ends"])})
