"""How an emotion sounds, by rule: for acting users' turns in training speech, and for answering people.

Acted emotion teaches a core to listen to manner, but is no measure of it: the affect readout is trained and
scored on people only (`harken.affect`).
"""

from __future__ import annotations

from harken.voices.base import NEUTRAL, Style

_USER = {
    "happy": Style(1.08, 1.30, 1.10),
    "surprise": Style(1.10, 1.40, 1.15),
    "anger": Style(1.12, 1.30, 1.50),
    "disgust": Style(0.95, 1.10, 1.00),
    "sad": Style(0.82, 0.70, 0.60),
    "fear": Style(1.15, 1.15, 0.70),
}

REPLY_STYLES = {
    "gentle": Style(0.88, 0.85, 0.85),
    "calm": Style(0.92, 0.90, 0.90),
    "bright": Style(1.06, 1.25, 1.10),
    "warm": NEUTRAL,
}
_ANSWERS = {
    "sad": "gentle",
    "fear": "gentle",
    "anger": "calm",
    "disgust": "calm",
    "happy": "bright",
    "surprise": "bright",
}


def user_style(emotion: str | None) -> Style:
    """How a user's turn with this annotated emotion is acted; neutral for none and for any other label."""
    return _USER.get(emotion or "", NEUTRAL)


def reply_style(heard_emotion: str | None) -> tuple[str, Style]:
    """Name and style of the answer: gentle to sadness and fear, calm to anger, bright to joy, else warm."""
    name = _ANSWERS.get(heard_emotion or "", "warm")
    return name, REPLY_STYLES[name]
