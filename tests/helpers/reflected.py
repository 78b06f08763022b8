"""The step reflect on rows of a dialogue, with a teacher that answers as a test says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harken.data.rows import Affect, Row, Turn, content_id
from harken.data.steps.base import Dropped
from harken.data.steps.reflect import Reflect
from harken.data.workspace import Workspace
from harken.testing import FakeLLM, FakeResources


def reflected(rows: Sequence[Row], answer: Any, **settings: Any) -> tuple[list[Row], list[Dropped], FakeLLM]:
    """The rows that pass or are made, those that are dropped, and who was asked."""
    llm = FakeLLM(answer)
    results = list(Reflect(**settings).open(FakeResources(llm))(rows, Workspace(Path("unused"))))
    made = [result for result in results if isinstance(result, Row)]
    return made, [result for result in results if isinstance(result, Dropped)], llm


def replied(said: str, reply: str | None, emotion: str = "sad", **fields: Any) -> Row:
    """What somebody said, and what was replied."""
    turn = Turn("user", said, affect=(Affect(emotion, "human"),))
    made = Row(
        content_id(said, emotion), f"g-{said}", "train", "source", "", "en", "tests", "CC0-1.0", True,
        (turn,), target=reply,
    )  # fmt: skip
    return replace(made, **fields)
