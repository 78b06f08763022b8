"""*label*: hears how recorded users' turns were said, where nobody has said so yet.

What people annotated, and what a voice acted by rule, stays as it is. Every reading carries the labeler's
name and revision; one below the stated confidence abstains (`other`, its scores kept). Recordings that cannot
be heard drop their rows here, before a language model spends time on them. Which labelers there are is
`harken.data.labelers`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from harken.audio.io import Recording
from harken.data.labelers import LabelerConfig, open_labeler
from harken.data.labelers.base import Labeler, Reading, in_segments
from harken.data.labelers.readout import Readout
from harken.data.rows import Affect, Row, Turn
from harken.data.steps.base import Dropped, Resources, Step, StepConfig
from harken.data.workspace import Workspace
from harken.errors import HarkenError


class Label(StepConfig):
    """Affect, and the speaker's gender, of users' turns that have audio."""

    computes: ClassVar[bool] = True

    step: Literal["label"] = "label"
    labeler: LabelerConfig = Readout()
    min_confidence: float = Field(default=0.5, ge=0, le=1)
    """Below it a reading is `other`: an abstention."""
    min_gender_confidence: float = Field(default=0.9, ge=0, le=1)
    """Below it an unknown gender stays unknown."""
    window_s: float | None = Field(default=None, ge=0.5, le=30)
    """Label every stretch of at most so many seconds too, cut at pauses; None labels whole turns only."""
    agreement: bool = False
    """Put the model's reading beside what people or rules said, so that the audit can compare them."""
    overwrite: bool = False
    """Put a new reading in the place of an earlier model's."""

    def open(self, resources: Resources) -> Step:
        return LabelStep(self, open_labeler(self.labeler))


@dataclass(frozen=True)
class LabelStep:
    """The step, with its labeler."""

    config: Label
    labeler: Labeler

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        for row in rows:
            try:
                turns = [self._labelled(turn, workspace) for turn in row.turns]
            except _Unheard as fault:
                yield Dropped(row, self.config.step, fault.reason, fault.detail)
            else:
                yield replace(row, turns=tuple(turns))

    def _labelled(self, turn: Turn, workspace: Workspace) -> Turn:
        if turn.role != "user" or turn.audio is None:
            return turn
        try:
            recording = workspace.recording(turn.audio)
        except HarkenError as error:
            raise _Unheard("audio cannot be heard", error.message) from None
        turn = replace(turn, seconds=turn.seconds or round(recording.seconds, 3))
        return self._with_reading(turn, self._read(recording)) if self._is_wanted(turn) else turn

    def _is_wanted(self, turn: Turn) -> bool:
        """Does a reading add anything to what the turn has?"""
        model = any(a.source == "model" for a in turn.affect)
        others = any(a.source != "model" for a in turn.affect)
        news = self.config.overwrite or not model
        more = self.config.agreement or self.config.window_s is not None or not others
        return turn.speaker.gender is None or (news and more)

    def _read(self, recording: Recording) -> Reading:
        window_s = self.config.window_s
        readings = (
            self.labeler.label([recording])
            if window_s is None
            else in_segments(self.labeler, [recording], window_s)
        )
        if isinstance(reading := readings[0], HarkenError):
            raise _Unheard("labeler failed", reading.message)
        return reading

    def _with_reading(self, turn: Turn, reading: Reading) -> Turn:
        given = tuple(a for a in turn.affect if a.source != "model")
        if any(a.source == "model" for a in turn.affect) and not self.config.overwrite:
            affect = turn.affect
        else:
            whole = (self._affect(reading.scores, reading),) if self.config.agreement or not given else ()
            parts = (self._affect(s.scores, reading, s.t0, s.t1) for s in reading.segments)
            affect = (*given, *whole, *parts)
        speaker = turn.speaker
        sure = (reading.gender_confidence or 0.0) >= self.config.min_gender_confidence
        if speaker.gender is None and sure:
            speaker = replace(speaker, gender=reading.gender)
        if speaker.age is None:
            speaker = replace(speaker, age=reading.age)
        return replace(turn, affect=affect, speaker=speaker)

    def _affect(
        self, scores: dict[str, float], reading: Reading, t0: float | None = None, t1: float | None = None
    ) -> Affect:
        label, confidence = max(scores.items(), key=lambda item: item[1])
        return Affect(
            label if confidence >= self.config.min_confidence else "other",
            "model",
            confidence,
            tuple(sorted(scores.items())),
            reading.vad if t0 is None else None,
            f"{self.labeler.name}@{self.labeler.revision}",
            t0,
            t1,
        )


class _Unheard(Exception):
    """A recording that gives no reading, and why."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail
