"""*units*: writes replies down as the discrete tokens of speech that a model learns to say.

With no codec named, rows pass and keep their audio. A codec's hash goes into every row that it wrote, because
units mean nothing to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from harken.audio.io import SAMPLE_RATE_HZ
from harken.data.rows import Row, Turn
from harken.data.steps.base import Dropped, Resources, Step, StepConfig
from harken.data.workspace import Workspace
from harken.errors import HarkenError, RecipeError
from harken.model.units.base import UnitEncoder

CODECS: dict[str, Callable[[], UnitEncoder]] = {}
"""Name -> what opens the codec."""


class Units(StepConfig):
    """Units of the assistant's spoken turns."""

    computes: ClassVar[bool] = True

    step: Literal["units"] = "units"
    codec: str | None = None
    """One of `CODECS`; None leaves replies as audio."""

    def open(self, resources: Resources) -> Step:
        """Raises RecipeError for a codec that there is not."""
        if self.codec is None:
            return UnitsStep(self, None)
        if self.codec not in CODECS:
            known = f"one of: {', '.join(CODECS)}" if CODECS else "none: leave it out"
            raise RecipeError(f"there is no unit codec {self.codec!r}", f"choose {known}")
        return UnitsStep(self, CODECS[self.codec]())


@dataclass(frozen=True)
class UnitsStep:
    """The step, with its codec."""

    config: Units
    codec: UnitEncoder | None

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        for row in rows:
            if self.codec is None or not any(_is_spoken_reply(turn) for turn in row.turns):
                yield row
                continue
            try:
                turns = [self._written(self.codec, turn, workspace) for turn in row.turns]
            except HarkenError as error:
                yield Dropped(row, self.config.step, "reply cannot be written as units", error.message)
            else:
                yield replace(row, turns=tuple(turns), codec_sha256=self.codec.codec_sha256)

    def _written(self, codec: UnitEncoder, turn: Turn, workspace: Workspace) -> Turn:
        if not _is_spoken_reply(turn) or turn.audio is None:
            return turn
        units = codec.encode(workspace.recording(turn.audio).samples, SAMPLE_RATE_HZ)  # (T, K)
        return replace(turn, units=tuple(int(unit) for unit in units.reshape(-1)))


def _is_spoken_reply(turn: Turn) -> bool:
    return turn.role == "assistant" and turn.audio is not None
