"""What the comparison of replies to sad and happy people refuses before it hears anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harken.data.speech import Clip
from harken.errors import DataError
from harken.evaluation.labelers import LabelledClip
from harken.evaluation.style import evaluate_style, sad_and_happy


def test_one_pair_is_too_few_and_is_said_first() -> None:
    names = {"happy": "03-01-03-01-01-01-01.wav", "sad": "03-01-04-01-01-01-01.wav"}
    pairs = sad_and_happy(
        [
            LabelledClip(
                Clip(
                    name, "Kids.", "en", "dev", "user", 1.0, "01", emotion, "01", "ravdess", Path(name), None
                ),
                emotion,
                "male",
            )
            for emotion, name in names.items()
        ]
    )
    nothing: Any = None  # no recording is there to be heard either
    with pytest.raises(DataError, match="1 pair of recordings is too few for an effect size"):
        evaluate_style(nothing, nothing, pairs)
