"""Some of the replies: so many hours of them, and the same each time; and what a run is told apart by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harken.checkpoint import UPDATE
from harken.errors import DataError
from harken.recipes import mini
from harken.training import joint_stage, speech_stages
from harken.training.affect_stage import needed
from harken.training.speech_stages import some, speak_origin, thinks, train_speak_stage
from harken.training.speech_units import SpokenReply
from harken.training.stage_parts import Run
from harken.training.world import ALONE
from harken.unit_checkpoint import UNITS

PARTS = needed(mini())
REPLY = SpokenReply("1", "dev", "Hello?", "Oh.", "ben", None, ((0, 3, "oh."),), (1.0, 2.0, 3.0), "")


def said(lengths: list[int]) -> list[Any]:
    return [SimpleNamespace(units=torch.zeros(length, 2)) for length in lengths]


def test_replies_are_drawn_until_there_are_enough_units() -> None:
    replies = said([5, 10, 15, 20])
    chosen = some(replies, 30.0, seed=0)
    units = [2 * len(replies[n].units) for n in chosen]
    assert 30 <= sum(units) < 30 + 2 * max(len(replies[n].units) for n in chosen)
    assert chosen == sorted(chosen) == some(replies, 30.0, seed=0)
    assert any(some(replies, 30.0, seed=seed) != chosen for seed in range(1, 5))


def test_all_are_learned_where_there_are_no_more() -> None:
    assert some(said([5, 10]), 1e9, seed=0) == [0, 1]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A call of a stage, with parts that an earlier one left."""
    for file in (tmp_path / "trained" / UPDATE, *(tmp_path / "joint" / "begun" / name for name in PARTS)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"a")
    (tmp_path / "trained" / UNITS).write_text(json.dumps({"codec_sha256": "a", "voices": {"anna": 5.0}}))
    return Run(mini(), tmp_path, tmp_path, None, ALONE)


def brief(run: Run) -> Run:
    return replace(run, recipe=run.recipe.model_copy(update={"system": "Be brief."}))


def test_speak_is_learned_on_a_core_a_prompt_and_a_codec(run: Run) -> None:
    named = {speak_origin(run), speak_origin(brief(run))}
    for name in (UPDATE, UNITS):
        (run.trained / name).write_bytes(b"b")
        named.add(speak_origin(run))
    assert len(named) == 4


def test_what_was_thought_of_replies_is_of_these_alone(run: Run) -> None:
    replies = [REPLY, replace(REPLY, id="2")]
    others = [[REPLY], replies[::-1], [replace(REPLY, text="Ah.")], [replace(REPLY, before="Hm?")]]
    assert thinks(run, replies) == thinks(run, list(replies))
    assert len({thinks(run, some) for some in (replies, *others)} | {thinks(brief(run), replies)}) == 6
    heard = {joint_stage.thinks(run, ["c"], some) for some in (replies, *others)}
    heard |= {joint_stage.thinks(run, ["d"], replies), joint_stage.thinks(brief(run), ["c"], replies)}
    for name in PARTS:
        (run.out / "joint" / "begun" / name).write_bytes(b"b")
        heard.add(joint_stage.thinks(run, ["c"], replies))
    assert len(heard) == 7 + len(PARTS)


def test_without_a_dev_reply_in_the_codecs_voice_nothing_is_begun(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = [replace(REPLY, split="train"), REPLY]
    monkeypatch.setattr(speech_stages, "replies_in_units", lambda run: (replies, 21.5))
    with pytest.raises(DataError, match="no reply of split dev is in a voice of the codec"):
        train_speak_stage(run)
