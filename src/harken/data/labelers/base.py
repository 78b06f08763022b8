"""What a labeler is: recordings in, readings out, each with how sure it is and from which weights.

A labeler is frozen: its revision is a hash of its weights and goes into every row that it labels, a config
may pin it, and weights that lie in a training's output are refused: a model must not label its own lessons.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harken.affect.labels import top_emotion
from harken.audio.io import SAMPLE_RATE_HZ, SHORTEST_S, Recording
from harken.audio.windows import windows
from harken.data.rows import Vad
from harken.errors import DataError, HarkenError


@dataclass(frozen=True)
class Segment:
    """How the part from `t0` to `t1`, in seconds, sounds."""

    t0: float
    t1: float
    scores: dict[str, float]

    @property
    def label(self) -> str:
        return top_emotion(self.scores)


@dataclass(frozen=True)
class Reading:
    """What a labeler makes of one recording. What it does not tell is None or empty."""

    scores: dict[str, float]
    """A probability for each of `harken.affect.labels.EMOTIONS`; `other` is what it abstains with."""
    gender: str | None = None
    gender_confidence: float | None = None
    age: str | None = None
    vad: Vad | None = None
    segments: tuple[Segment, ...] = ()

    @property
    def label(self) -> str:
        return top_emotion(self.scores)

    @property
    def confidence(self) -> float:
        return self.scores[self.label]


class Labeler(Protocol):
    """A model that hears affect."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str:
        """A hash of the weights."""
        ...

    def label(self, recordings: Sequence[Recording]) -> list[Reading | HarkenError]:
        """One reading a recording, in order; one that cannot be read has its error in its place.

        A reading does not depend on what else is in the list.
        """
        ...


def in_segments(
    labeler: Labeler, recordings: Sequence[Recording], window_s: float
) -> list[Reading | HarkenError]:
    """As `label`, with a segment for every window of at most `window_s`, cut at pauses; a last one of less
    than half of that is heard with the one before.

    A window that cannot be read (it is silent, say) leaves a gap.
    """
    readings: list[Reading | HarkenError] = []
    for recording, reading in zip(recordings, labeler.label(recordings), strict=True):
        if isinstance(reading, HarkenError):
            readings.append(reading)
            continue
        cut = [w for w in _windows(recording.samples, window_s) if _lasts(w)]
        parts = [Recording(recording.samples[w], SAMPLE_RATE_HZ, recording.name) for w in cut]
        heard = zip(cut, labeler.label(parts), strict=True)
        segments = [
            Segment(round(w.start / SAMPLE_RATE_HZ, 3), round(w.stop / SAMPLE_RATE_HZ, 3), part.scores)
            for w, part in heard
            if isinstance(part, Reading)
        ]
        readings.append(replace(reading, segments=tuple(segments)))
    return readings


def _windows(samples: NDArray[np.float32], window_s: float) -> list[slice]:
    cut = windows(samples, window_s)
    if len(cut) > 1 and cut[-1].stop - cut[-1].start < window_s / 2 * SAMPLE_RATE_HZ:
        cut[-2:] = [slice(cut[-2].start, cut[-1].stop)]
    return cut


def sha256_of(*files: Path) -> str:
    """One hash over the contents of `files`, in order."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def check_frozen(folder: Path) -> None:
    """Raises DataError where `folder` lies in what `harken train` writes into."""
    folder = folder.resolve()
    for place in (folder, folder.parent):
        marks = ("checkpoint-*", "*/checkpoint-*", "readout/pooled-*.f32")
        if found := next((f for mark in marks for f in place.glob(mark)), None):
            raise DataError(
                f"{folder} belongs to a training ({found}): a labeler is never the model under training",
                "copy the finished weights into a folder of their own and name that",
            )


def check_pin(what: str, revision: str, pinned: str | None) -> None:
    """Raises DataError unless the revision begins with what the config pins, where it pins one."""
    if pinned is not None and not (pinned and revision.startswith(pinned)):
        raise DataError(
            f"{what} has revision {revision[:12]}, the recipe pins {pinned[:12]}",
            "name the weights that the recipe was written for, or pin these",
        )


def rounded(scores: dict[str, float]) -> dict[str, float]:
    """Scores as rows keep them: to four places, so that they read the same wherever they were made."""
    return {label: round(float(score), 4) for label, score in scores.items()}


def _lasts(window: slice) -> bool:
    return int(window.stop - window.start) >= SHORTEST_S * SAMPLE_RATE_HZ
