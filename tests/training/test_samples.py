"""Which turns of annotated dialogues are taught, and as what."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from harken.affect.labels import EMOTIONS
from harken.data.dialogues import read_dialogues
from harken.dialogue.render import AssistantTurn, UserTurn
from harken.errors import DataError
from harken.training.samples import listening_dialogues, listening_samples, text_samples, traces

RECCON = {
    "id": "r1", "split": "train", "group": "g1",
    "turns": [
        {"turn": 1, "speaker": "A", "text": "I won a prize at last.", "emotion": "happy",
         "cause_spans": ["I won a prize", "a prize", "b"]},
        {"turn": 2, "speaker": "B", "text": "That is so good to hear!", "emotion": "happy",
         "cause_spans": ["b"]},
        {"turn": 3, "speaker": "A", "text": "And then I lost it.", "emotion": "sad",
         "cause_spans": ["I lost it"]},
        {"turn": 4, "speaker": "B", "text": "Where was that now?", "emotion": "neutral"},
        {"turn": 5, "speaker": "B", "text": "Anyway.", "emotion": None},
    ],
}  # fmt: skip
LISTENING = [
    {"id": "l1", "split": "train", "turns": [
        {"speaker": "user", "text": "I am moving.", "emotion": "sad", "cause": "moving"},
        {"speaker": "assistant", "text": "You will be missed."},
        {"speaker": "user", "text": "Thanks.", "emotion": "neutral"},
        {"speaker": "assistant", "text": "Always."},
        {"speaker": "user", "text": "They cheered as I left!", "emotion": "happy", "cause": "They cheered"},
        {"speaker": "assistant", "text": "Cheered! How good."},
    ]},
    {"id": "l2", "split": "dev", "turns": [
        {"speaker": "user", "text": "I am moving.", "emotion": "happy", "cause": "I am moving"},
        {"speaker": "assistant", "text": "Hooray, moving!"},
    ]},
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    with gzip.open(tmp_path / "reccon.jsonl.gz", "wt") as file:
        file.write(json.dumps(RECCON) + "\n")
    return tmp_path


def random():
    return np.random.default_rng(0)


def test_each_turn_of_a_listening_dialogue_is_a_reply_and_a_trace():
    made = {(s.id, s.task): s for s in listening_samples(LISTENING)}
    assert len(made) == 8
    last = made["l1-t5", "reply"]
    assert (last.said, last.target, last.emotion) == (
        "They cheered as I left!",
        "Cheered! How good.",
        "happy",
    )
    assert last.history == (
        AssistantTurn("You will be missed."),
        UserTurn("Thanks."),
        AssistantTurn("Always."),
    )
    thought = made["l1-t5", "trace"]
    assert thought.target == 'The speaker feels happy because: "They cheered"'
    assert thought.gold == ("They cheered",)
    assert made["l1-t3", "trace"].target == "The speaker feels neutral."


def test_words_said_with_several_feelings_leave_the_feeling_open():
    open_ones = {s.id for s in listening_samples(LISTENING) if s.open}
    assert open_ones == {"l1-t1", "l2-t1"}


def test_samples_are_of_the_split_that_their_dialogue_names():
    assert {(s.id[:2], s.split) for s in listening_samples(LISTENING)} == {("l1", "train"), ("l2", "dev")}


def test_the_dialogues_that_come_with_harken_are_of_their_form():
    dialogues = listening_dialogues()
    assert len(dialogues) > 500
    assert len({dialogue["id"] for dialogue in dialogues}) == len(dialogues)
    splits = defaultdict(set)
    for dialogue in dialogues:
        splits[dialogue["turns"][0]["text"]].add(dialogue["split"])
    assert all(len(found) == 1 for found in splits.values()), "dialogues that begin alike are of one split"
    assert Counter(dialogue["split"] for dialogue in dialogues) == {"train": 1330, "dev": 62}
    for dialogue in dialogues:
        turns = dialogue["turns"]
        assert [turn["speaker"] for turn in turns] == ["user", "assistant"] * (len(turns) // 2), dialogue[
            "id"
        ]
        for place in range(0, len(turns), 2):
            turn, so_far = turns[place], [t["text"] for t in turns[: place + 1 : 2]]
            assert turn["emotion"] in EMOTIONS and turn["emotion"] != "other", dialogue["id"]
            if turn["emotion"] != "neutral":
                assert any(turn["cause"] in text for text in so_far), dialogue["id"]
            assert 2 <= len(turns[place + 1]["text"].split()) <= 30, dialogue["id"]


def test_a_trace_names_the_shortest_annotated_cause_and_skips_felt_turns_without_one(folder):
    made = {s.id: s for s in traces(read_dialogues(folder / "reccon.jsonl.gz"), random(), {})}
    assert made.keys() == {"r1-t1", "r1-t3", "r1-t4", "r1-t5"}
    assert made["r1-t1"].target == 'The speaker feels happy because: "a prize"'
    assert made["r1-t1"].gold == ("I won a prize", "a prize")
    assert made["r1-t4"].target == made["r1-t5"].target == "The speaker feels neutral."
    assert made["r1-t4"].history == (
        AssistantTurn("I won a prize at last."),
        UserTurn("That is so good to hear!"),
        AssistantTurn("And then I lost it."),
    )


def test_only_train_turns_of_a_common_emotion_are_thinned(folder):
    dialogues = read_dialogues(folder / "reccon.jsonl.gz")
    assert [s.emotion for s in traces(dialogues, random(), {"happy": 0, "neutral": 0})] == ["sad"]
    (folder / "dev.jsonl").write_text(json.dumps(RECCON | {"split": "dev"}))
    dev = read_dialogues(folder / "dev.jsonl")
    assert len(list(traces(dev, random(), {"happy": 0, "neutral": 0}))) == 4


def test_all_sets_together_are_the_same_every_time(folder):
    made = text_samples(folder)
    assert made == text_samples(folder)
    assert {s.task for s in made} == {"reply", "trace"}
    assert {s.id.split("-")[0] for s in made} == {"listening", "r1"}


def test_a_missing_set_is_named(folder):
    (folder / "reccon.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"reccon\.jsonl\.gz does not exist"):
        text_samples(folder)
