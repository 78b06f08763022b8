"""Steps that stand in for a language model, a labeler and a voice: each waits a fixed time a row, then
changes the row as the real one would. What a build adds to that time is its overhead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from harken.data.rows import Affect, Row, Teacher, content_id, derive, with_last_user
from harken.data.steps.base import Dropped, Resources, Step, StepConfig
from harken.data.workspace import Workspace

DROP_ONE_IN = 50
"""The fake labeler drops so many rows, by their ids, as real ones do."""


class Delayed(StepConfig):
    """A step that takes its time."""

    ms_per_row: float = 0.0

    def open(self, resources: Resources) -> Step:
        return _Step(self.ms_per_row / 1000, self.change)

    def change(self, row: Row) -> Row | Dropped:
        """What becomes of a row."""
        raise AssertionError(f"{type(self).__name__} changes nothing")


class FakeAnswers(Delayed):
    """Source rows -> rows of task `respond`, with a target."""

    step: Literal["fake-answers"] = "fake-answers"

    def change(self, row: Row) -> Row | Dropped:
        teacher = Teacher("fake", "1", content_id(self.step), "{}", 0)
        target = f"I hear you, and I would ask more about this: {row.last_user.text}"
        return derive(row, self.maker, task="respond", stage="1-1", target=target, teacher=teacher)


class FakeLabels(Delayed):
    """An emotion for each row, and now and then a row that is dropped. Computes, as real labelers do."""

    computes: ClassVar[bool] = True
    step: Literal["fake-labels"] = "fake-labels"

    def change(self, row: Row) -> Row | Dropped:
        drawn = int(row.id, 16)
        if drawn % DROP_ONE_IN == 0:
            return Dropped(row, self.step, "not heard")
        label = ("happy", "sad", "anger", "neutral")[drawn % 4]
        return with_last_user(row, affect=(Affect(label, "model", 0.8, model="fake"),))


class FakeSpeech(Delayed):
    """How long each row's turn would be. Computes, as real voices do; writes no audio."""

    computes: ClassVar[bool] = True
    step: Literal["fake-speech"] = "fake-speech"

    def change(self, row: Row) -> Row | Dropped:
        return with_last_user(row, seconds=round(len(row.last_user.text) / 15, 2))


@dataclass(frozen=True)
class _Step:
    """An opened fake."""

    delay_s: float
    change: Callable[[Row], Row | Dropped]

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        time.sleep(self.delay_s * len(rows))
        return map(self.change, rows)


def steps(ms_per_row: Sequence[float], workers: int = 1) -> tuple[Delayed, Delayed, Delayed]:
    """The three fakes, with their delays and so many workers each."""
    answers, labels, speech = ms_per_row
    return (
        FakeAnswers(ms_per_row=answers, workers=workers),
        FakeLabels(ms_per_row=labels, workers=workers),
        FakeSpeech(ms_per_row=speech, workers=workers),
    )
