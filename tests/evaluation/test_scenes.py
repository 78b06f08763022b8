"""The stretches of annotated dialogues that are spoken: which are chosen, and what cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from annotated import dialogue, written

from harken.errors import DataError
from harken.evaluation.dialogue_sets.scenes import read_scenes


def scene_of(tmp_path: Path, *rows: dict[str, Any], name: str = "reccon") -> Any:
    return read_scenes(name, written(tmp_path / "one.jsonl", list(rows))).usable()[0]


def test_scenes_have_three_to_five_labelled_turns_of_one_speaker_two_with_an_emotion(annotated: Path) -> None:
    found = read_scenes("reccon", annotated)
    assert [scene.id for scene in found.usable()] == [f"reccon-d{n}" for n in range(4)]
    assert [scene.id for scene in found.scenes][4:] == ["reccon-d5"] and found.dialogues == {
        "dev": 5,
        "train": 1,
    }
    scene = found.usable()[1]
    assert scene.emotions == ("neutral", "sad", "anger") and scene.group == "g1"
    assert [turn.reply for turn in scene.turns] == ["Answer 1.", "Answer 2.", "Answer 3."]
    assert [(cause.turn, cause.text) for cause in scene.turns[2].causes] == [(3, "the thing 1 number 3 came")]


def test_the_stretch_is_taken_in_which_the_emotions_move_most(tmp_path: Path) -> None:
    moving = ("happy", "happy", "happy", "happy", "happy", "sad", "neutral", "anger")
    assert scene_of(tmp_path, dialogue(1, moving)).emotions == ("happy", "happy", "sad", "neutral", "anger")
    unlabelled = ("happy", "sad", "anger", None, "fear", "fear", "neutral", "fear")
    assert scene_of(tmp_path, dialogue(1, unlabelled)).emotions == ("happy", "sad", "anger")


def test_causes_outside_the_stretch_are_left_out(tmp_path: Path) -> None:
    row = dialogue(1, ("neutral", None, "sad", "happy", "neutral"))
    row["turns"][4] |= {"cause_turns": [1], "cause_spans": ["the thing 1 number 1 came"]}
    row["turns"][6] |= {"cause_turns": [6], "cause_spans": ["Answer 3"]}
    scene = scene_of(tmp_path, row)
    assert scene.turns[0].causes == ()
    assert [(cause.turn, cause.text) for cause in scene.turns[1].causes] == [(1, "Answer 3")]


def test_the_starter_dialogues_come_with_the_package() -> None:
    found = read_scenes("starter").usable()
    assert {scene.lang for scene in found} == {"en", "zh"}
    assert len({scene.id for scene in found}) == len(found)
    assert all(len(scene.turns) == 3 and scene.turns[-1].reply for scene in found)


def test_sources_that_cannot_be_used_are_named(annotated: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no source 'esconv'") as error:
        read_scenes("esconv", annotated)
    assert "xdailydialog" in error.value.hint
    with pytest.raises(DataError, match="needs a place"):
        read_scenes("reccon")
    bare = written(tmp_path / "bare.jsonl", [dialogue(1, (None, None, None))])
    with pytest.raises(DataError, match=r"no turn in .*bare\.jsonl has an emotion"):
        read_scenes("reccon", bare)
    few = written(tmp_path / "few.jsonl", [dialogue(1, ("sad", "happy")), dialogue(2, ("sad",) * 3, "train")])
    with pytest.raises(DataError, match="too few dialogues: none of 1 dev"):
        read_scenes("reccon", few)
    twice = written(tmp_path / "twice.jsonl", [dialogue(1, ("sad",) * 3)] * 2)
    with pytest.raises(DataError, match="row 2: id 'd1' occurs twice"):
        read_scenes("reccon", twice)
    for wrong in ({"id": "x", "lang": "en", "split": "dev"}, dialogue(1, ("sad",) * 3) | {"id": "../x"}):
        with pytest.raises(DataError, match=r"wrong\.jsonl row 1"):
            read_scenes("reccon", written(tmp_path / "wrong.jsonl", [wrong]))
