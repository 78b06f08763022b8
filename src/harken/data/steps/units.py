"""*units*: writes replies down as the discrete tokens of speech that a model learns to say.

With no codec named, rows pass and keep their audio. A codec's hash goes into every row that it wrote, because
units mean nothing to another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harken.audio.io import SAMPLE_RATE_HZ
from harken.data.rows import Row, Turn
from harken.data.steps.base import Dropped, Resources, Step, StepConfig
from harken.data.workspace import Workspace
from harken.errors import HarkenError, InputError
from harken.model.units.base import UnitEncoder
from harken.recipes import Frozen


class HarkenUnits(Frozen):
    """A recipe's own codec."""

    kind: Literal["harken"] = "harken"
    recipe: str = "mini"
    parts: Path | None = None
    """The folder of its trained parts; None takes those that ship."""

    def open(self) -> UnitEncoder:
        """Raises RecipeError where the parts have no codec."""
        from harken.checkpoint import shipped
        from harken.recipes import recipe
        from harken.unit_checkpoint import load_unit_encoder

        return load_unit_encoder(recipe(self.recipe), self.parts or shipped(self.recipe))


class CosyVoice2Units(Frozen):
    """CosyVoice2's, from a checkout."""

    kind: Literal["cosyvoice2"] = "cosyvoice2"
    at: str
    """The folder of a checkout of CosyVoice."""
    model: str = "pretrained_models/CosyVoice2-0.5B"
    """The model's folder, from the checkout."""

    def open(self) -> UnitEncoder:
        """Raises InputError and WeightsError where the checkout or its model cannot be loaded."""
        from harken.model.units.cosyvoice2 import CosyVoice2Encoder
        from harken.unit_checkpoint import hash_of
        from harken.voices.cosyvoice2 import checkout

        loaded = checkout(self.at, self.model).cosyvoice
        tokenizer = Path(self.at) / self.model / "speech_tokenizer_v2.onnx"
        if not tokenizer.is_file():
            raise InputError(f"{tokenizer} is not there", "fetch the whole of the model's folder")
        return CosyVoice2Encoder(loaded.frontend.speech_tokenizer_session, hash_of(tokenizer))


Codec = Annotated[HarkenUnits | CosyVoice2Units, Field(discriminator="kind")]


class Units(StepConfig):
    """Units of the assistant's spoken turns."""

    computes: ClassVar[bool] = True

    step: Literal["units"] = "units"
    codec: Codec | None = None
    """None leaves replies as audio."""

    def open(self, resources: Resources) -> Step:
        """Raises what opening the codec raises."""
        return UnitsStep(self, self.codec.open() if self.codec else None)


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
