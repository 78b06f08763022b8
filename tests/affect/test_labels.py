"""The label set and its mappings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.affect.labels import (
    EMOTIONS,
    READOUT_CLASSES,
    heard_scores,
    to_emotion,
    to_readout_class,
    top_emotion,
)


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        ("Angry", "anger"),
        ("fearful", "fear"),
        ("happiness", "happy"),
        ("calm", "neutral"),
        ("no_emotion", "neutral"),
        ("  SURPRISED ", "surprise"),
        ("nostalgic", "other"),
        (None, "other"),
        ("", "other"),
    ],
)
def test_names_of_data_sets_map_onto_the_label_set(name: str | None, emotion: str) -> None:
    assert to_emotion(name) == emotion


@given(st.text())
def test_every_name_gets_a_label_and_labels_stay_themselves(name: str) -> None:
    assert to_emotion(name) in EMOTIONS
    assert to_emotion(to_emotion(name)) == to_emotion(name)


def test_the_readout_tells_calm_from_neutral_and_takes_no_unknown_label() -> None:
    assert to_readout_class("calm") == READOUT_CLASSES.index("calm")
    assert to_readout_class("neutral") == READOUT_CLASSES.index("neutral")
    assert to_readout_class("angry") == READOUT_CLASSES.index("anger")
    assert to_readout_class("other") is None
    assert to_readout_class("nostalgic") is None


def test_calm_is_heard_as_neutral_and_other_is_never_guessed() -> None:
    probabilities = [0.05] * len(READOUT_CLASSES)
    probabilities[READOUT_CLASSES.index("calm")] = 0.35
    probabilities[READOUT_CLASSES.index("neutral")] = 0.30
    scores = heard_scores(probabilities)
    assert tuple(scores) == EMOTIONS
    assert scores["neutral"] == pytest.approx(0.65)
    assert scores["other"] == 0.0
    assert top_emotion(scores) == "neutral"
    assert sum(scores.values()) == pytest.approx(sum(probabilities))


def test_scores_want_one_probability_a_class() -> None:
    with pytest.raises(ValueError, match="8 probabilities"):
        heard_scores([0.5, 0.5])
