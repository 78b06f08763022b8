"""The label set: what Harken says was heard, what the readout tells apart, and what data sets call these.

The readout tells `calm` from `neutral`, because people act them apart; in what was *heard* calm counts as
neutral. `other` is an abstention (no speech, a label we do not know), never a guess, so the readout has no
such class.
"""

from __future__ import annotations

from collections.abc import Sequence

EMOTIONS = ("anger", "disgust", "fear", "happy", "neutral", "sad", "surprise", "other")
"""Everywhere outside the readout: in rows, in `heard`, in attributions."""

READOUT_CLASSES = ("anger", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""What the readout's logits stand for, in order."""

GENDERS = ("female", "male")
"""What the readout's gender logits stand for, in order."""

_ALSO_CALLED = {
    "anger": ("angry", "ang", "annoyed", "frustrated", "frustration", "mad", "rage"),
    "disgust": ("disgusted", "dis"),
    "fear": ("fearful", "fea", "afraid", "anxiety", "anxious", "scared", "worried"),
    "happy": ("happiness", "hap", "joy", "joyful", "excited", "excitement", "cheerful"),
    "neutral": ("neu", "calm", "no emotion", "none"),
    "sad": ("sadness", "depressed", "depression", "grief", "sorrow"),
    "surprise": ("surprised", "sur", "pleasant surprise", "astonished", "astonishment"),
    "other": ("unknown", "xxx", "oth"),
}
_EMOTION_OF = {
    name: emotion
    for emotion, others in _ALSO_CALLED.items()
    for name in (emotion, *others)
}  # fmt: skip


def to_emotion(name: str | None) -> str:
    """What a data set calls an emotion -> one of `EMOTIONS`, in any case; `other` if unknown."""
    return _EMOTION_OF.get(_plain(name), "other")


def to_readout_class(name: str | None) -> int | None:
    """What a data set calls an emotion -> its index in `READOUT_CLASSES`, or None: not for the readout."""
    plain = _plain(name)
    label = "calm" if plain == "calm" else to_emotion(plain)
    return READOUT_CLASSES.index(label) if label in READOUT_CLASSES else None


def heard_scores(probabilities: Sequence[float]) -> dict[str, float]:
    """The readout's probabilities, in the order of `READOUT_CLASSES` -> a score for each of `EMOTIONS`.

    Calm is added to neutral; `other` is 0. Raises ValueError where there is not one probability a class.
    """
    if len(probabilities) != len(READOUT_CLASSES):
        raise ValueError(f"{len(READOUT_CLASSES)} probabilities are wanted, not {len(probabilities)}")
    scores = dict.fromkeys(EMOTIONS, 0.0)
    for name, probability in zip(READOUT_CLASSES, probabilities, strict=True):
        scores[to_emotion(name)] += float(probability)
    return scores


def top_emotion(scores: dict[str, float]) -> str:
    """The emotion with the highest score; between equals, the first of `EMOTIONS`."""
    return max(EMOTIONS, key=lambda emotion: scores.get(emotion, 0.0))


def _plain(name: str | None) -> str:
    return " ".join((name or "").lower().replace("_", " ").replace("-", " ").split())
