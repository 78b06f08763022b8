"""Rows of a built data set become conversations: what is heard of them, what is asked, what is thought."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="shards need pyarrow (extra data)")

import pyarrow.parquet as pq

from harken.data.arrow import SCHEMA_KEY
from harken.data.rows import Affect, Cause, Instruction, Question, Row, Speaker, Turn
from harken.data.shards import rows_path, write_shard
from harken.data.workspace import Workspace
from harken.dialogue.render import AssistantTurn, UserTurn
from harken.errors import DataError
from harken.training.affect_rows import affect_rows, row_clips, rows_folder, talks, told_traces
from harken.training.states import CachedClip

SAD, HAPPY = (Affect("sad", "human"),), (Affect("happy", "rule"),)


def row(key: str = "1", **fields: object) -> Row:
    turns = (
        Turn("user", "He left.", "work:he-left.ogg", 1.0, speaker=Speaker("af_sky"), affect=SAD),
        Turn("assistant", "When?"),
        Turn(
            "user", "And came back!", None, affect=HAPPY, cause=(Cause(2, "came back"), Cause(0, "He left."))
        ),
    )
    made = Row(key, "g", "train", "empathy", "1-2", "en", "tests", "CC0-1.0", True, turns)
    return replace(made, trace="They sound happy to me.", target="Hurray!", **fields)


@pytest.fixture
def written(tmp_path):
    """written(rows) -> the folder of a data set that holds them."""

    def write(*rows: Row):
        workspace = Workspace(tmp_path / "work")
        for name in ("he-left", "how"):
            workspace.save(name, 0.1 * np.sin(np.arange(8000, dtype=np.float32)), 16000)
        assert write_shard(tmp_path / "set", 0, rows, workspace) == []
        return tmp_path / "set"

    return write


def cached(clip) -> CachedClip:
    return CachedClip(
        clip.id,
        clip.text,
        clip.role,
        clip.voice,
        clip.split,
        clip.source,
        clip.emotion,
        0.5,
        0,
        25,
        False,
        (0.0,),
    )


def read(folder):
    rows = affect_rows(folder, ("en",))
    return talks(rows, {clip.id: cached(clip) for clip in row_clips(rows, folder)})


def test_a_row_is_the_conversation_up_to_the_users_last_turn(written):
    spoken = (*row().turns, Turn("assistant", "Hurray!"))
    (talk,) = read(written(row(turns=spoken)))
    first, reply, last = talk.turns
    assert (first.text, first.emotion, first.clip.voice) == ("He left.", "sad", "af_sky")
    assert reply == AssistantTurn("When?")
    assert (last.text, last.clip) == ("And came back!", None), "what nobody has spoken stays in writing"
    assert (talk.target, talk.emotion, talk.asked) == ("Hurray!", "happy", None)
    assert talk.metadata == "How it sounds: (1) [0.0-1.0 s: sad] (2) [whole turn: happy]"


def test_the_thought_is_the_emotion_and_the_words_that_it_rests_on(written):
    assert read(written(row()))[0].trace == 'The speaker feels happy because: "He left."'
    unfounded = row(turns=(Turn("user", "He left.", affect=SAD),))
    assert read(written(unfounded))[0].trace == "The speaker feels sad."
    assert read(written(row(task="trajectory")))[0].trace == "They sound happy to me."


def test_what_rows_tell_of_spoken_turns_is_a_trace_of_their_words(written):
    said = Turn("user", "I am off.", "work:how.ogg", 1.0, affect=HAPPY, cause=(Cause(2, "off"),))
    talks = read(
        written(
            row("1", turns=(*row().turns[:2], said)),
            row("2"),  # nobody has spoken its last turn
            row("3", task="reasoning", turns=(said,)),
            row("4", split="dev", turns=(replace(said, text="Off I am."),)),
        )
    )
    (sample,) = told_traces(talks).values()
    assert list(told_traces(talks)) == ["I am off."] and (sample.id, sample.task) == ("1", "trace")
    assert sample.history == (UserTurn("He left."), AssistantTurn("When?"))
    assert (sample.emotion, sample.gold) == ("happy", ("off",))
    assert sample.target == 'The speaker feels happy because: "off"'


def test_an_instruction_is_heard_where_it_was_spoken(written):
    asked = Instruction("How do I feel?", "work:how.ogg", "am_echo", 1.0)
    (talk,) = read(written(row(task="trajectory", instruction=asked)))
    assert (talk.asked.text, talk.asked.clip.role, talk.asked.clip.voice) == (
        "How do I feel?",
        "instruction",
        "am_echo",
    )


def test_recordings_are_taken_once_and_can_be_read(written):
    folder = written(row(), row("2"))
    (clip,) = row_clips(affect_rows(folder, ("en",)), folder)
    assert clip.emotion == "sad" and clip.samples().shape == (8000,)


def test_only_rows_of_the_stage_in_a_language_of_the_recipe_are_learned_from(written):
    plain = row("2", qa=Question("Why?", "CE", "simple"), instruction=Instruction("Why?"))
    twin = row("3", qa=Question("Why?", "CE", "simple"), instruction=Instruction("Why?\n[sad]"))
    folder = written(row(), plain, twin, row("4", stage="1-1"), row("5", lang="zh"), row("6", stage=""))
    assert [talk.id for talk in read(folder)] == ["1", "2"]


def test_a_data_set_is_the_folder_or_its_rows(tmp_path):
    assert rows_folder(tmp_path) == tmp_path
    (tmp_path / "rows").mkdir()
    assert rows_folder(tmp_path) == tmp_path / "rows"


def test_a_folder_that_cannot_be_learned_from_is_named(written, tmp_path):
    with pytest.raises(DataError, match="holds no rows"):
        affect_rows(tmp_path, ("en",))
    folder = written(row(split="dev"))
    with pytest.raises(DataError, match=r"no row of stage 1-2 and split train in en") as refused:
        affect_rows(folder, ("en",))
    assert "harken data build" in refused.value.hint


def test_recordings_that_are_not_there_are_named(written):
    folder = written(row())
    (folder / "audio-00000.tar").unlink()
    with pytest.raises(DataError, match=r"audio-00000\.tar"):
        row_clips(affect_rows(folder, ("en",)), folder)


def test_rows_of_another_schema_are_refused(written):
    path = rows_path(written(row()), 0)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, SCHEMA_KEY: b"99"}), path)
    with pytest.raises(DataError, match="schema version 99"):
        affect_rows(path.parent, ("en",))
