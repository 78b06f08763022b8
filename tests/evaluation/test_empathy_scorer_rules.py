"""Replies spoilt by rule, with the grades that the rule implies: what the scorer of empathy learns from."""

from __future__ import annotations

import numpy as np

from harken.evaluation.empathy_scorer.graded import graded, packaged_scenes
from harken.evaluation.empathy_scorer.rules import BEST, GOLD, PHRASES, RULES, Scene
from harken.evaluation.planted import GENERICS

SCENE = Scene(
    "d1", "train", "I failed.", "User (sad): I failed.", "I failed.", "sad",
    gold="Failed, after all that work. Which part was it?",
    elsewhere="Twins, how lovely! What are they called?",
    otherwise=("Failed at last, so you are free of it! What now?",),
)  # fmt: skip


def spoilt(name: str, scene: Scene = SCENE) -> str | None:
    (rule,) = (rule for rule in RULES if rule.name == name)
    return rule.spoil(scene, np.random.default_rng(0))


def test_each_rule_spoils_in_its_own_way() -> None:
    opening, ending = "Failed, after all that work.", "Which part was it?"
    assert spoilt("cold") in PHRASES["cold"][1]
    said = spoilt("cold, after the opening")
    assert (
        said is not None
        and said.startswith(opening)
        and said.removeprefix(opening + " ") in PHRASES["cold"][1]
    )
    assert spoilt("off the point") == SCENE.elsewhere and spoilt("repeats the user") == SCENE.said
    assert spoilt("to another feeling") == SCENE.otherwise[0]
    assert spoilt("question alone") == ending and spoilt("opening alone") == opening
    assert spoilt("cut off") == "Failed, after all that"
    wordy = spoilt("wordy")
    assert wordy is not None and wordy.startswith(opening) and wordy.endswith(ending) and len(wordy) > 150
    glad = spoilt("wrong emotion")
    assert glad is not None and glad.endswith(ending) and ("wonderful" in glad or "Great news" in glad)


def test_a_rule_that_finds_nothing_to_spoil_makes_nothing() -> None:
    short = Scene("d2", "train", "Hi.", "User (neutral): Hi.", "Hi.", "bored", gold="Hello.", elsewhere="")
    for name in ("opening alone", "question alone", "cut off", "to another feeling", "wrong emotion"):
        assert spoilt(name, short) is None
    made = graded([short])
    assert {reply.rule for reply in made} >= {GOLD, "cold", "generic"}
    assert all(reply.reply for reply in made) and all(reply.reply != "Hello." for reply in made[1:])


def test_grades_are_on_the_scale_and_worse_all_through_than_after_the_opening() -> None:
    by_name = {rule.name: rule.grades for rule in RULES}
    assert all(1 <= grade <= 5 for grades in by_name.values() for grade in grades)
    assert all(min(grades) < 5 for grades in by_name.values())
    for name in PHRASES:
        after = by_name[f"{name}, after the opening"]
        assert all(whole < half < 5 for whole, half in zip(by_name[name], after, strict=True))
    ours = {phrase for _, phrases in PHRASES.values() for phrase in phrases}
    assert not ours & {phrase for phrases in GENERICS.values() for phrase in phrases}


def test_the_packaged_dialogues_keep_their_splits_and_borrow_within_them() -> None:
    found = packaged_scenes()
    gold = {scene.gold: scene.split for scene in found}
    assert {scene.split for scene in found} == {"train", "dev"}
    assert all(gold[scene.elsewhere] == scene.split for scene in found)
    assert not {s.group for s in found if s.split == "dev"} & {s.group for s in found if s.split == "train"}
    assert sum(bool(scene.otherwise) for scene in found) > 100
    again = graded(found[:40], 3, seed=1)
    assert again == graded(found[:40], 3, seed=1) and again != graded(found[:40], 3, seed=2)
    assert len(again) == 4 * 40 and sum(reply.grades == BEST for reply in again) == 40
    assert len({reply.id for reply in again}) == len(again)
