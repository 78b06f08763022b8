"""The dialogues that come with the package keep the split that they name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harken.data.rows import Row
from harken.data.sources import open_source
from harken.data.sources.base import Unread
from harken.training.samples import listening_dialogues


def told(**more: Any) -> dict[str, Any]:
    turns = [
        {"speaker": "user", "text": "I got it.", "emotion": "happy", "cause": "got it"},
        {"speaker": "assistant", "text": "Well done."},
    ]
    return {"id": "s-1", "lang": "en", "topic": "work", "turns": turns} | more


def read(path: Path, dialogue: dict[str, Any]) -> Iterator[Row | Unread]:
    path.write_text(json.dumps(dialogue) + "\n")
    return open_source("listening", path)


def test_the_listening_dialogues_are_split_as_they_are_for_training() -> None:
    rows = [row for row in open_source("listening") if isinstance(row, Row)]
    splits = {dialogue["id"]: dialogue["split"] for dialogue in listening_dialogues()}
    assert {row.group: row.split for row in rows} == splits and set(splits.values()) == {"train", "dev"}


@pytest.mark.parametrize(
    ("more", "split"), [({}, "train"), ({"split": "train"}, "train"), ({"split": "dev"}, "dev")]
)
def test_a_dialogue_is_train_unless_it_says_dev(tmp_path: Path, more: dict[str, Any], split: str) -> None:
    (row,) = read(tmp_path / "x.jsonl", told(**more))
    assert isinstance(row, Row) and row.split == split


def test_another_split_is_unread(tmp_path: Path) -> None:
    (unread,) = read(tmp_path / "x.jsonl", told(split="test"))
    assert isinstance(unread, Unread) and unread.reason == "label outside the set"
