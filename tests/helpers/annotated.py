"""Annotated dialogues, as the sources of dialogue sets hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FELT = ("happy", "sad", "anger", "fear", "surprise", "disgust")


def dialogue(number: int, emotions: tuple[str | None, ...], split: str = "dev") -> dict[str, Any]:
    """A says something in each emotion, for a reason of the turn's own, and B answers."""
    turns = []
    for place, emotion in enumerate(emotions, 1):
        cause = f"the thing {number} number {place} came"
        causes = [] if emotion in ("neutral", None) else [cause]
        turns.append(
            {"turn": 2 * place - 1, "speaker": "A", "text": f"Today {cause}.", "emotion": emotion,
             "cause_turns": [2 * place - 1] * len(causes), "cause_spans": causes}
        )  # fmt: skip
        turns.append({"turn": 2 * place, "speaker": "B", "text": f"Answer {place}.", "emotion": None})
    return {"id": f"d{number}", "split": split, "group": f"g{number}", "lang": "en", "turns": turns}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
