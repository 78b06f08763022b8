"""Asking judges that are good, careless, down or biased: what is scored, what is reported, what it took."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harken.errors import InputError, RecipeError
from harken.evaluation.judges import judging, verdicts
from harken.evaluation.judges.judging import Item, Judging, judge
from harken.evaluation.judges.probes import FILLER, Candidates, length_bias, order_bias
from harken.evaluation.judges.rubrics import Dimension, Rubric, rubric
from harken.evaluation.judges.verdicts import Verdict
from harken.llm.base import Completion, LLMError, Sampling
from harken.llm.cache import CachedLLM
from harken.testing import Answer, FakeLLM

EMPATHY = rubric("humdial-task3-text")
PAIRWISE = rubric("pairwise")
D1 = "textual_empathy_insight"
SAMPLING = Sampling(max_tokens=64, temperature=0.6, seed=100)


def item(id: str, reply: str) -> Item:
    return Item(id, {"conversation": "User: my cat died.", "reply": reply})


ITEMS = [item("b", "That is so sad."), item("a", "Okay."), item("c", "What a loss. Tell me about her.")]


def between(prompt: str, tag: str) -> str:
    found = re.search(rf"<{tag}>\n(.*?)\n</{tag}>", prompt, re.DOTALL)
    assert found
    return found[1]


def scored(**scores: int) -> str:
    return json.dumps({"comment": "", "reasons": {}, "scores": scores})


def by_reply(score: Callable[[str, int], int]) -> FakeLLM:
    return FakeLLM(lambda prompt, seed: scored(**{D1: score(between(prompt, "reply"), seed)}))


def outcomes(found: Judging) -> list[str]:
    """The fault of each judgement, or what it scored."""
    return [
        str(j.outcome.scores[D1]) if isinstance(j.outcome, Verdict) else j.outcome.reason
        for j in found.judgements
    ]


def test_items_are_judged_in_order_and_keep_their_ids() -> None:
    llm = by_reply(lambda reply, _: min(5, len(reply.split())))
    found = judge(llm, EMPATHY, ITEMS, SAMPLING)
    assert [between(prompt, "reply") for prompt in llm.asked] == [i.fields["reply"] for i in ITEMS]
    assert [(j.id, j.repeat, j.tries, j.seed) for j in found.judgements] == [
        ("b", 0, 1, 100), ("a", 0, 1, 100), ("c", 0, 1, 100),
    ]  # fmt: skip
    assert found.means(D1) == {"b": 4.0, "a": 1.0, "c": 5.0} == found.means()
    assert (found.judge, found.rubric, found.unscored) == ("fake@1", EMPATHY.label, ())
    assert llm.asked[0].startswith("<|im_start|>user\n") and llm.asked[0].endswith("<|im_start|>assistant\n")


def test_an_unreadable_verdict_is_asked_for_again_with_another_seed() -> None:
    def answer(prompt: str, seed: int) -> Answer:
        return "Four, I think." if "Okay." in prompt and seed < 102 else scored(**{D1: 4})

    llm = FakeLLM(answer)
    found = judge(llm, EMPATHY, ITEMS, SAMPLING, tries=3)
    assert [(j.tries, j.seed) for j in found.judgements] == [(1, 100), (3, 102), (1, 100)]
    assert outcomes(found) == ["4", "4", "4"] and len(llm.asked) == 5


def test_what_stays_unreadable_is_reported_and_neither_scored_nor_left_out() -> None:
    llm = FakeLLM(lambda prompt, _: scored(**{D1: 9 if "Okay." in prompt else 2}))
    found = judge(llm, EMPATHY, ITEMS, SAMPLING, tries=4)
    assert outcomes(found) == ["2", verdicts.OFF_SCALE, "2"]
    assert [(j.id, j.tries) for j in found.unscored] == [("a", 4)]
    assert found.faults == {verdicts.OFF_SCALE: 1}
    assert found.means() == {"b": 2.0, "c": 2.0} and found.scores()["a"] == []


def test_a_judge_that_is_down_for_an_item_is_not_asked_again_and_the_rest_goes_on() -> None:
    def answer(prompt: str, seed: int) -> Answer:
        return LLMError("fake: connection refused") if "Okay." in prompt else scored(**{D1: 3})

    llm = FakeLLM(answer)
    found = judge(llm, EMPATHY, ITEMS, SAMPLING, tries=3)
    assert outcomes(found) == ["3", judging.NO_ANSWER, "3"] and len(llm.asked) == 3
    (fault,) = (j.outcome for j in found.unscored)
    assert fault == verdicts.Fault(judging.NO_ANSWER, "fake: connection refused")


def test_a_judge_that_is_down_for_all_gives_no_score_at_all() -> None:
    found = judge(FakeLLM(lambda *_: LLMError("down")), EMPATHY, ITEMS, SAMPLING, repeats=2)
    assert found.means() == {} and found.faults == {judging.NO_ANSWER: 6}
    assert found.usage.failed == 6 and found.usage.prompt_tokens == 0


def test_a_verdict_that_was_cut_off_says_so_and_a_whole_one_counts() -> None:
    def answer(prompt: str, seed: int) -> Answer:
        text = scored(**{D1: 5})
        return Completion(text[:-9] if "Okay." in prompt else text, "length")

    assert outcomes(judge(FakeLLM(answer), EMPATHY, ITEMS, SAMPLING)) == ["5", judging.CUT_OFF, "5"]


def test_prose_around_verdicts_is_counted() -> None:
    llm = FakeLLM(lambda prompt, _: ("Sure! " if "Okay." in prompt else "") + scored(**{D1: 1}))
    found = judge(llm, EMPATHY, ITEMS, SAMPLING)
    assert found.in_prose == 1 and not found.unscored


def test_repeats_and_tries_never_share_a_seed() -> None:
    seeds: list[int] = []

    def answer(prompt: str, seed: int) -> Answer:
        seeds.append(seed)
        return "?"

    judge(FakeLLM(answer), EMPATHY, ITEMS[:1], SAMPLING, tries=2, repeats=3)
    assert seeds == [100, 101, 102, 103, 104, 105]


def test_repeats_of_an_item_stand_together_and_are_averaged() -> None:
    found = judge(by_reply(lambda _, seed: 1 + seed % 5), EMPATHY, ITEMS[:2], SAMPLING, tries=1, repeats=3)
    assert [(j.id, j.repeat) for j in found.judgements] == [
        ("b", 0), ("b", 1), ("b", 2), ("a", 0), ("a", 1), ("a", 2),
    ]  # fmt: skip
    assert found.scores() == {"b": [1.0, 2.0, 3.0], "a": [1.0, 2.0, 3.0]}
    assert found.means() == {"b": 2.0, "a": 2.0}


def test_the_mean_of_dimensions_and_each_of_them_can_be_had() -> None:
    found = judge(
        FakeLLM(lambda *_: scored(first=2, second=5)),
        PAIRWISE,
        [Item("x", dict.fromkeys(PAIRWISE.fields, ""))],
    )
    assert (found.means(), found.means("first"), found.means("second")) == (
        {"x": 3.5},
        {"x": 2.0},
        {"x": 5.0},
    )


def test_tokens_of_every_try_are_counted_and_those_from_a_cache_cost_nothing(tmp_path: Path) -> None:
    def answer(prompt: str, seed: int) -> Answer:
        text = "?" if seed == 100 and "Okay." in prompt else scored(**{D1: 3})
        return Completion(text, "stop", prompt_tokens=10, completion_tokens=2)

    llm = FakeLLM(answer)
    cached = CachedLLM(llm, tmp_path / "answers.sqlite")
    first, again = (judge(cached, EMPATHY, ITEMS, SAMPLING) for _ in range(2))
    cached.close()
    assert (first.usage.prompts, first.usage.cached, first.usage.failed) == (4, 0, 0)
    assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (40, 8)
    assert (again.usage.prompts, again.usage.cached, again.usage.prompt_tokens) == (4, 4, 0)
    assert again.judgements == first.judgements and len(llm.asked) == 4


def test_equal_items_are_paid_for_once() -> None:
    twins = [item("one", "Oh no."), item("two", "Oh no.")]
    llm = FakeLLM(lambda *_: Completion(scored(**{D1: 3}), "stop", 10, 2))
    usage = judge(llm, EMPATHY, twins, SAMPLING).usage
    assert (usage.prompts, usage.cached, usage.prompt_tokens) == (2, 1, 10)


def test_what_cannot_be_judged_is_refused_before_anything_is_asked() -> None:
    llm = FakeLLM(lambda *_: scored(**{D1: 3}))
    with pytest.raises(RecipeError, match="hears"):
        judge(llm, rubric("humdial-task3-voice"), ITEMS)
    with pytest.raises(InputError, match="two items have the id 'b'"):
        judge(llm, EMPATHY, [*ITEMS, ITEMS[0]])
    with pytest.raises(InputError, match=r"item d: .*'reply'"):
        judge(llm, EMPATHY, [*ITEMS, Item("d", {"conversation": ""})])
    with pytest.raises(InputError, match="at least 1"):
        judge(llm, EMPATHY, ITEMS, repeats=0)
    assert llm.asked == []


LISTS = [
    Candidates(str(n), {"conversation": "User: hello."}, (f"Good reply {n}.", f"Poor reply {n}."))
    for n in range(12)
]


def pairwise_judge(bonus_of_first: int) -> FakeLLM:
    def answer(prompt: str, seed: int) -> Answer:
        first, second = (3 if "Good" in between(prompt, place) else 2 for place in ("first", "second"))
        return scored(first=first + bonus_of_first, second=second)

    return FakeLLM(answer)


def test_a_judge_without_order_bias_is_found_to_have_none() -> None:
    found = order_bias(pairwise_judge(0), PAIRWISE, LISTS, SAMPLING)
    assert found.gain_of_earlier and found.same_order
    assert found.gain_of_earlier.value == 0.0 and found.same_order.value == 1.0
    assert (found.n, found.unscored) == (12, 0)


def test_a_judge_that_prefers_what_stands_first_is_found_out() -> None:
    found = order_bias(pairwise_judge(2), PAIRWISE, LISTS, SAMPLING)
    assert found.gain_of_earlier and found.same_order
    # each reply gains 2 where it is first and nothing where it is second
    assert found.gain_of_earlier.value == 2.0 and found.same_order.value == 0.0


def test_in_a_list_of_three_the_outer_replies_move_and_the_middle_one_does_not() -> None:
    places = ("one", "two", "three")
    fives = (1, 2, 3, 4, 5)
    listed = Rubric(
        name="listed", comment="-", version="0",
        prompt="{answer_form}" + "".join(f"<{place}>\n{{{place}}}\n</{place}>" for place in places),
        dimensions=tuple(Dimension(name=place, values=fives) for place in places),
    )  # fmt: skip

    def answer(prompt: str, seed: int) -> Answer:
        first = 5 if between(prompt, "one") == "A" else 3
        return scored(one=first, two=1, three=2)

    found = order_bias(FakeLLM(answer), listed, [Candidates("x", {}, ("A", "B", "C"))], SAMPLING)
    # A gains 5 - 2 where it is first, C gains 3 - 2; A and C alone of the three pairs change their order
    assert found.gain_of_earlier and found.gain_of_earlier.value == 2.0
    assert found.same_order and found.same_order.value == pytest.approx(2 / 3)


def test_lists_without_a_verdict_both_ways_are_counted() -> None:
    def answer(prompt: str, seed: int) -> Answer:
        down = "Poor reply 3." in between(prompt, "first")
        return LLMError("down") if down else scored(first=3, second=3)

    found = order_bias(FakeLLM(answer), PAIRWISE, LISTS, SAMPLING)
    assert (found.n, found.unscored) == (11, 1)
    silent = order_bias(FakeLLM(lambda *_: "no"), PAIRWISE, LISTS, SAMPLING)
    assert (silent.gain_of_earlier, silent.same_order, silent.unscored) == (None, None, 12)


def test_order_needs_a_rubric_with_places_and_lists_that_fill_them() -> None:
    with pytest.raises(InputError, match="no list of replies"):
        order_bias(pairwise_judge(0), EMPATHY, LISTS)
    with pytest.raises(InputError, match=r"list x: .* takes 2 replies"):
        order_bias(pairwise_judge(0), PAIRWISE, [Candidates("x", {"conversation": ""}, ("one",))])


REPLIES = [item(str(n), "well " * (1 + n)) for n in range(10)]


def test_a_judge_that_counts_words_has_length_bias() -> None:
    counting = by_reply(lambda reply, _: min(5, 1 + len(reply.split()) // 4))
    found = length_bias(counting, EMPATHY, REPLIES, SAMPLING)
    assert found.with_length and found.with_length.value > 0.9
    assert found.gain_of_padding and found.gain_of_padding.low > 1.0


def test_a_judge_that_looks_past_length_has_none() -> None:
    blind = by_reply(lambda reply, _: 1 + len(reply.removesuffix(FILLER["en"]).strip()) % 5)
    found = length_bias(blind, EMPATHY, REPLIES, SAMPLING)
    assert found.gain_of_padding and found.gain_of_padding.value == 0.0
    assert (found.n, found.unscored) == (10, 0)


def test_the_length_bias_of_a_constant_judge_is_undefined_and_padding_gains_nothing() -> None:
    found = length_bias(by_reply(lambda *_: 4), EMPATHY, REPLIES, SAMPLING)
    assert found.with_length is None
    assert found.gain_of_padding and found.gain_of_padding.value == 0.0


def test_padding_is_in_the_language_of_the_replies() -> None:
    llm = by_reply(lambda *_: 4)
    length_bias(llm, EMPATHY, [item("x", "真难过。")], SAMPLING, lang="zh")
    assert between(llm.asked[1], "reply") == "真难过。" + FILLER["zh"]
    with pytest.raises(InputError, match="no filler in 'fr'"):
        length_bias(llm, EMPATHY, REPLIES, lang="fr")
    unscored = length_bias(FakeLLM(lambda *_: "no"), EMPATHY, REPLIES, SAMPLING)
    assert (unscored.gain_of_padding, unscored.unscored) == (None, 10)
