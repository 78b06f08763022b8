"""Rows for tests of shards."""

from __future__ import annotations

from harken.data.rows import Instruction, Row, Turn


def make_row(name: str, *audio: str | None, instruction: str | None = None) -> Row:
    """A row with one user's turn for each recording."""
    return Row(
        id=name,
        group="g",
        split="train",
        task="empathy",
        stage="1-2",
        lang="en",
        source="mine",
        licence="CC0",
        shippable=True,
        turns=tuple(Turn("user", f"turn {i}", audio=one) for i, one in enumerate(audio)),
        instruction=Instruction("answer kindly", audio=instruction),
    )
