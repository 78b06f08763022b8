"""Annotated dialogues are read turn by turn, and bad rows are named."""

from __future__ import annotations

import gzip
import json

import pytest

from harken.data.dialogues import Utterance, read_dialogues
from harken.errors import DataError

ROW = {
    "id": "d1", "split": "train", "group": "g1",
    "turns": [
        {"turn": 1, "speaker": "A", "text": "I won.", "emotion": "happy", "cause_spans": ["I won", "b"]},
        {"turn": 2, "speaker": "B", "text": "Oh!"},
        {"turn": 4, "speaker": "A", "text": "Yes."},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ("d.jsonl", "d.jsonl.gz"))
def test_dialogues_are_read_plain_or_gzipped(tmp_path, name):
    path = tmp_path / name
    with gzip.open(path, "wt") if name.endswith("gz") else path.open("w") as file:
        file.write(json.dumps(ROW) + "\n" + json.dumps(ROW | {"id": "d2"}) + "\n")
    first, second = read_dialogues(path)
    assert (first.id, second.id, first.split, first.group) == ("d1", "d2", "train", "g1")
    assert first.turns[0] == Utterance(1, "A", "I won.", "happy", ("I won",))  # `b` is the background
    assert first.turns[1] == Utterance(2, "B", "Oh!", None, ())
    assert [turn.number for turn in first.before(4)] == [1, 2]
    assert first.before(1) == ()


@pytest.mark.parametrize(
    "bad",
    (
        "{",
        "[1, 2]",
        "null",
        json.dumps({"id": "d2", "split": "dev"}),
        json.dumps(ROW | {"turns": [{"turn": 1}]}),
        json.dumps(ROW | {"turns": ["I won."]}),
        json.dumps(ROW | {"turns": None}),
    ),
)
def test_a_bad_row_is_named(tmp_path, bad):
    (tmp_path / "d.jsonl").write_text(json.dumps(ROW) + "\n" + bad + "\n")
    with pytest.raises(DataError, match=r"d\.jsonl row 2"):
        read_dialogues(tmp_path / "d.jsonl")


def test_a_torn_file_is_named(tmp_path):
    whole = gzip.compress("".join(json.dumps(ROW | {"id": f"d{i}"}) + "\n" for i in range(500)).encode())
    for name, content in (("torn", whole[:-40]), ("plain", b"{}"), ("bent", whole[:30] + b"?" + whole[31:])):
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}\.jsonl\.gz: cannot be read") as error:
            read_dialogues(path)
        assert error.value.hint


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl does not exist"):
        read_dialogues(tmp_path / "none.jsonl")
