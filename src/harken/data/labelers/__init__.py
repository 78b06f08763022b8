"""Models that hear how something was said: frozen, versioned, and never the model under training.

`base` says what a labeler is; a recipe names one by its config, and `open_labeler` opens that.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harken.data.labelers.base import Labeler
from harken.data.labelers.emotion2vec import Emotion2vec, Emotion2vecLabeler
from harken.data.labelers.readout import Readout, ReadoutLabeler

LabelerConfig = Annotated[Readout | Emotion2vec, Field(discriminator="kind")]
"""Any labeler's config; `kind` says which."""


def open_labeler(config: Readout | Emotion2vec) -> Labeler:
    """The labeler with its weights loaded.

    Raises DataError for weights that are still in training or are not those that the config pins,
    WeightsError where they cannot be had, and MissingExtra.
    """
    return ReadoutLabeler(config) if isinstance(config, Readout) else Emotion2vecLabeler(config)
