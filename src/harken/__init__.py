"""Harken: emotionally intelligent spoken language models, from data construction to streaming replies.

>>> import harken
>>> for event in harken.load("mini").reply("question.wav"):
...     print(event)

What users import is loaded when it is first used, so that `import harken` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harken.api import Harken, Session, load
    from harken.dialogue.events import (
        Attribution,
        AudioChunk,
        Done,
        Event,
        Heard,
        Notice,
        Reflected,
        ReflectionDelta,
        TextDelta,
        TraceDelta,
    )
    from harken.errors import HarkenError

__version__ = "0.1.0"

_HOME = {
    **dict.fromkeys(("Harken", "Session", "load"), "harken.api"),
    **dict.fromkeys(
        (
            "Attribution",
            "AudioChunk",
            "Done",
            "Event",
            "Heard",
            "Notice",
            "Reflected",
            "ReflectionDelta",
            "TextDelta",
            "TraceDelta",
        ),
        "harken.dialogue.events",
    ),
    "HarkenError": "harken.errors",
}
__all__ = [
    "Attribution", "AudioChunk", "Done", "Event", "Harken", "HarkenError", "Heard", "Notice", "Reflected",
    "ReflectionDelta", "Session", "TextDelta", "TraceDelta", "__version__", "load",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'harken' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
