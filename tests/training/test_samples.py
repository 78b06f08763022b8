"""Which turns of annotated dialogues are taught, and as what."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from harken.data.dialogues import read_dialogues
from harken.dialogue.render import REPEAT, AssistantTurn, UserTurn
from harken.errors import DataError
from harken.training import samples
from harken.training.samples import (
    dialogue_replies,
    instruction,
    styletalk_replies,
    text_samples,
    tidy,
    traces,
)

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
ESCONV = {
    "id": "e1", "split": "dev", "group": "g2",
    "turns": [
        {"turn": 1, "speaker": "seeker", "text": "i lost my job"},
        {"turn": 2, "speaker": "supporter", "text": "how do i  help you today", "strategy": "Questions"},
        {"turn": 3, "speaker": "seeker", "text": "i do not know"},
        {"turn": 4, "speaker": "supporter", "text": "I once lost mine too.", "strategy": "Self-disclosure"},
        {"turn": 5, "speaker": "seeker", "text": "ok"},
        {"turn": 6, "speaker": "supporter", "text": "PLEASE STOP SHOUTING", "strategy": "Questions"},
        {"turn": 7, "speaker": "seeker", "text": "sorry"},
        {"turn": 8, "speaker": "supporter", "text": "No problem.", "strategy": "Questions"},
        {"turn": 9, "speaker": "seeker", "text": "bye"},
        {"turn": 10, "speaker": "supporter", "text": "word " * 40, "strategy": "Questions"},
    ],
}  # fmt: skip
STYLETALK = [
    {
        "id": "s1",
        "split": "train",
        "context": "A : Hi. B : Hello there.",
        "text": "I failed.",
        "reply": "Oh no.",
    },
    {"id": "s2", "split": "train", "context": "A : Hi.", "text": "So?", "reply": "Well."},
    {"id": "s3", "split": "dev", "context": "", "text": "Hey.", "reply": "Hey, you."},
]


@pytest.fixture
def folder(tmp_path):
    for name, rows in {"reccon": [RECCON], "esconv": [ESCONV], "styletalk": STYLETALK}.items():
        with gzip.open(tmp_path / f"{name}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path


@pytest.fixture
def with_history(monkeypatch):
    monkeypatch.setattr(samples, "WITH_HISTORY", 1.0)


def random():
    return np.random.default_rng(0)


def test_styletalk_takes_whoever_did_not_speak_last_as_the_user(folder, with_history):
    first, second, third = styletalk_replies(folder / "styletalk.jsonl.gz", random())
    assert first.history == (UserTurn("Hi."), AssistantTurn("Hello there."))
    assert (first.said, first.target, first.task) == ("I failed.", "Oh no.", "reply")
    assert second.history == (AssistantTurn("Hi."),)
    assert (third.history, third.split) == ((), "dev")


def test_supporters_are_taught_as_listeners_who_speak_briefly(folder, with_history):
    taught = list(dialogue_replies(read_dialogues(folder / "esconv.jsonl.gz"), "seeker", random(), share=1.0))
    assert [(s.id, s.said, s.target) for s in taught] == [
        ("e1-t1", "i lost my job", "How do I help you today.")
    ]


def test_anyones_next_turn_may_be_a_reply_but_not_ones_own(folder, with_history):
    taught = list(dialogue_replies(read_dialogues(folder / "reccon.jsonl.gz"), None, random(), share=1.0))
    assert [s.id for s in taught] == ["r1-t1", "r1-t2", "r1-t3"]
    assert taught[2].history == (
        UserTurn("I won a prize at last."),
        AssistantTurn("That is so good to hear!"),
    )
    assert not list(dialogue_replies(read_dialogues(folder / "reccon.jsonl.gz"), None, random(), share=0.0))


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
    made = text_samples(folder, seed=1)
    assert made == text_samples(folder, seed=1)
    assert {s.task for s in made} == {"reply", "trace"}
    assert {s.id for s in made} >= {"s1", "s2", "s3"}


def test_a_missing_set_is_named(folder):
    (folder / "styletalk.jsonl.gz").unlink()
    with pytest.raises(DataError, match=r"styletalk\.jsonl\.gz does not exist"):
        text_samples(folder)


@pytest.mark.parametrize(
    ("typed", "spoken"),
    [("i think  i can", "I think I can."), ("Is it?", "Is it?"), ("it's\nin", "It's in."), ("wow!", "Wow!")],
)
def test_typed_replies_become_speakable(typed, spoken):
    assert tidy(typed) == spoken


def test_only_repeating_carries_an_instruction():
    assert instruction("repeat") == REPEAT
    assert instruction("reply") is None
