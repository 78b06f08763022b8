"""The report on what speech keeps through units, of passes that are made up."""

from __future__ import annotations

from pathlib import Path

import pytest

from harken.data.speech import Clip
from harken.evaluation import codec
from harken.evaluation.codec import Heard, Passed, evaluate_codec
from harken.testing import FakeUnitDecoder


def clip(name: str) -> Clip:
    return Clip(name, "Hi you.", "en", "dev", "user", 1.0, "v", None, "g", "s", Path(f"{name}.ogg"), None)


def test_pitch_is_over_the_clips_that_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pitches = {"a": 0.5, "b": None, "c": 0.9, "d": None}

    def passed(encoder: object, decoder: object, of: Clip, *rest: object) -> Passed:
        return Passed(Heard("hi you", 3.0), Heard("hi", 2.0), pitches[of.id], 1.0, 0.1, False)

    monkeypatch.setattr(codec, "Moonshine", lambda: None)
    monkeypatch.setattr(codec, "pass_through", passed)
    sets = {"some": [clip(name) for name in "abc"], "none": [clip(name) for name in "bd"]}
    report = evaluate_codec(None, FakeUnitDecoder(), sets, "v")  # type: ignore[arg-type]
    figures = {(row["data"], row["system"], row["measure"]): row for row in report.rows}
    measured = figures["some", "through units", "pitch correlation"]
    assert measured["value"][0] == pytest.approx(0.7) and measured["n"] == 2  # type: ignore[index]
    assert ("none", "through units", "pitch correlation") not in figures
    assert figures["none", "through units", "word error rate (Moonshine)"]["value"][0] == 0.5  # type: ignore[index]
