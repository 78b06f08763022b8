"""Planted replies: what is planted, how judges tell it apart, and whose rankings are shown."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from harken.data.steps.replies import in_language
from harken.errors import InputError
from harken.evaluation.judges.judging import Judging, judge
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.planted import (
    GENERIC,
    GENERICS,
    GOLD,
    OTHER_LANGUAGE,
    OTHER_TURN,
    QUALITIES,
    Separation,
    plant,
    separation,
    trusted,
)
from harken.llm.base import LLMError, Sampling
from harken.testing import Answer, FakeLLM

DIALOGUES = [(f"User: my cat number {n} ran away.", f"Poor cat {n}! Where did you look?") for n in range(40)]
RUBRIC = rubric("humdial-task3-text")
PLANTED = plant(DIALOGUES)
QUALITY = {(each.item.fields["conversation"], each.item.fields["reply"]): each.quality for each in PLANTED}


def quality(prompt: str) -> str:
    """What the reply in a prompt was planted as: fakes may know it."""
    found = re.search(r"<conversation>\n(.*)\n</conversation>\n<reply>\n(.*)\n</reply>", prompt)
    assert found
    return QUALITY[found[1], found[2]]


def scored(score: int) -> str:
    return json.dumps({"scores": {"textual_empathy_insight": score}})


def good(prompt: str, seed: int) -> Answer:
    return scored({GOLD: 5, GENERIC: 3, OTHER_TURN: 2, OTHER_LANGUAGE: 1}[quality(prompt)])


def constant(prompt: str, seed: int) -> Answer:
    return scored(4)


def at_random(prompt: str, seed: int) -> Answer:
    return scored(1 + sum(prompt.encode()) * 7919 % 5)


def judged(answer: FakeLLM) -> Judging:
    return judge(answer, RUBRIC, [each.item for each in PLANTED], Sampling())


def apart(answer: FakeLLM) -> Separation:
    return separation(PLANTED, judged(answer))


def test_each_dialogue_has_a_reply_of_every_quality() -> None:
    assert [each.quality for each in PLANTED[:4]] == list(QUALITIES)
    assert len(PLANTED) == 160 == len({each.item.id for each in PLANTED})
    for each in PLANTED:
        conversation, gold = DIALOGUES[each.dialogue]
        reply = each.item.fields["reply"]
        assert each.item.fields["conversation"] == conversation
        assert (reply == gold) == (each.quality == GOLD)
        assert in_language(reply, "zh" if each.quality == OTHER_LANGUAGE else "en")
        if each.quality == OTHER_TURN:
            assert reply in {other for _, other in DIALOGUES}
        if each.quality == GENERIC:
            assert reply in GENERICS["en"]


def test_chinese_dialogues_have_chinese_generics_and_english_wrong_ones() -> None:
    found = plant(
        [("用户：猫丢了。", "别急，先在楼下找找。"), ("用户：我升职了！", "太好了，怎么庆祝？")], "zh"
    )
    for each in found:
        assert in_language(each.item.fields["reply"], "en" if each.quality == OTHER_LANGUAGE else "zh")


def test_planting_follows_its_seed() -> None:
    assert plant(DIALOGUES, seed=3) == plant(DIALOGUES, seed=3) != plant(DIALOGUES, seed=4)


def test_planting_needs_another_reply_to_borrow() -> None:
    with pytest.raises(InputError, match="no other reply"):
        plant([("a", "same"), ("b", "same")])
    with pytest.raises(InputError, match="'fr'"):
        plant(DIALOGUES, "fr")


def test_a_good_judge_tells_all_qualities_apart_and_its_ranking_is_shown() -> None:
    found = apart(FakeLLM(good))
    assert len(found.auc) == 6
    assert all((auc.value, auc.low, auc.high) == (1.0, 1.0, 1.0) for auc in found.auc.values())
    trust = trusted(found)
    assert trust.shown
    assert trust.why == (
        "Judged rankings are shown: this judge tells gold replies from generic ones with an AUC of "
        "1.00 [1.00, 1.00] over 40 dialogues, and 0.75 is asked for."
    )


def test_a_constant_judge_is_at_chance_and_its_ranking_is_withheld() -> None:
    found = apart(FakeLLM(constant))
    assert all(auc.value == 0.5 for auc in found.auc.values())
    trust = trusted(found)
    assert not trust.shown
    assert trust.why == (
        "Judged rankings are withheld: this judge tells gold replies from generic ones with an AUC of "
        "0.50 [0.50, 0.50] over 40 dialogues, and 0.75 is asked for."
    )


def test_a_judge_that_draws_lots_is_near_chance_and_withheld() -> None:
    found = apart(FakeLLM(at_random))
    gold = found.auc[GOLD, GENERIC]
    assert abs(gold.value - 0.5) < 0.2
    assert gold.high - gold.low > 0.1 and not trusted(found).shown


def test_a_judge_that_is_down_has_told_nothing_apart() -> None:
    found = apart(FakeLLM(lambda *_: LLMError("down")))
    assert found.unscored == dict.fromkeys(QUALITIES, 40)
    trust = trusted(found)
    assert not trust.shown and "0.50 [0.50, 0.50]" in trust.why
    assert "with 160 of 160 replies unscored" in trust.why


def test_replies_without_a_verdict_count_half_and_are_told() -> None:
    def half_down(prompt: str, seed: int) -> Answer:
        lost = quality(prompt) == GENERIC and re.search(r"cat number \d*[02468] ", prompt)
        return "I cannot say." if lost else good(prompt, seed)

    found = apart(FakeLLM(half_down))
    assert found.auc[GOLD, GENERIC].value == pytest.approx(0.75)  # half of the pairs won, half not told apart
    assert found.auc[GOLD, OTHER_TURN].value == 1.0
    assert found.unscored == {GENERIC: 20}
    assert "20 of 160 replies unscored" in trusted(found).why


@pytest.mark.parametrize(("above", "shown"), [(20, True), (19, False)])
def test_the_limit_itself_is_enough(above: int, shown: bool) -> None:
    """`above` gold replies of 40 are scored above all generic ones, the others alike: AUC 0.5 + above/80."""
    calls = iter(range(1000))

    def answer(prompt: str, seed: int) -> Answer:
        if quality(prompt) == GOLD:
            return scored(5 if next(calls) < above else 3)
        return scored(3)

    trust = trusted(apart(FakeLLM(answer)))
    assert trust.shown is shown
    assert trusted(apart(FakeLLM(constant)), least=0.5).shown


def test_auc_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    lots = {each.item.id: int(random.integers(1, 6)) for each in PLANTED}
    order = iter(PLANTED)
    found = apart(FakeLLM(lambda *_: scored(lots[next(order).item.id])))
    for (better, worse), auc in found.auc.items():
        both = [each for each in PLANTED if each.quality in (better, worse)]
        labels = [each.quality == better for each in both]
        assert auc.value == pytest.approx(roc_auc_score(labels, [lots[each.item.id] for each in both]))
        assert auc.low < auc.value < auc.high
