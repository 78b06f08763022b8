"""Candidates of a multiple choice: the right one once, the others wrong; and answers in one's own words."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.affect.labels import EMOTIONS
from harken.evaluation.dialogue_sets.choices import cause_candidates, trajectory_candidates
from harken.evaluation.dialogue_sets.scoring import trajectory_score

labels = st.sampled_from([emotion for emotion in EMOTIONS if emotion != "other"])
trajectories = st.lists(labels, min_size=1, max_size=5).map(tuple)


@given(gold=trajectories, others=st.lists(trajectories, max_size=12), seed=st.integers(0, 99))
def test_the_gold_trajectory_is_among_four_distinct_ones_once(
    gold: tuple[str, ...], others: list[tuple[str, ...]], seed: int
) -> None:
    candidates = trajectory_candidates(gold, others, random.Random(seed))
    assert len(candidates) == len(set(candidates)) == 4 and candidates.count(gold) == 1
    assert {len(candidate) for candidate in candidates} == {len(gold)}
    fitting = {other for other in others if len(other) == len(gold) and other != gold}
    assert len(fitting & set(candidates)) == min(3, len(fitting))
    assert candidates == trajectory_candidates(gold, others, random.Random(seed))


spans = st.text(st.sampled_from("abc "), min_size=1, max_size=4).filter(str.strip)


@given(
    gold=st.lists(spans, min_size=1, max_size=3),
    near=st.lists(spans, max_size=6),
    far=st.lists(spans, max_size=12),
    seed=st.integers(0, 99),
)
def test_the_gold_cause_is_among_four_that_hold_none_of_each_others_words(
    gold: list[str], near: list[str], far: list[str], seed: int
) -> None:
    candidates = cause_candidates(gold, near, far, random.Random(seed))
    if candidates is None:
        return
    assert len(candidates) == 4 and candidates.count(gold[0]) == 1
    wrong = [text for text in candidates if text != gold[0]]
    plain = [" ".join(text.split()) for text in [*gold, *wrong]]
    for place, text in enumerate(plain[len(gold) :], len(gold)):
        assert not any(text in other or other in text for n, other in enumerate(plain) if n != place)
    assert set(wrong) <= {*near, *far}


def test_causes_of_the_same_dialogue_come_first_and_too_few_give_no_choice() -> None:
    near, far = ["she left", "it rained"], ["he won", "they sang", "we ate"]
    found = cause_candidates(["I fell"], near, far, random.Random(0))
    assert found is not None and set(near) < set(found) and len(set(found) & set(far)) == 1
    assert cause_candidates(["I fell"], near, ["I fell today"], random.Random(0)) is None


@pytest.mark.parametrize(
    ("gold", "answer", "edits"),
    [
        ("hsn", "hsn", 0),
        ("hsn", "hn", 1),
        ("hsn", "shn", 2),
        ("hsn", "", 3),
        ("hsn", "hsnn", 1),
        ("h", "sad", 3),
    ],
)
def test_trajectories_are_scored_by_match_and_edits(gold: str, answer: str, edits: int) -> None:
    score = trajectory_score(gold, answer)
    assert (score.exact, score.edits) == (edits == 0, edits)
    assert trajectory_score(answer, gold).edits == edits
