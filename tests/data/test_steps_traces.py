"""Rules on words: what contradicts, what leaks, what rests on what was said, and what cannot be spoken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.data.rows import Affect, Cause, Row, Turn
from harken.data.steps import replies, traces

TEXTS = st.text(alphabet="ab 我你火车.!?\"“”'’\n", max_size=40)


def row(text: str, lang: str = "en", cause: str | None = None, history: str | None = None) -> Row:
    said = Turn(
        "user", text, affect=(Affect("sad", "human"),), cause=(Cause(0, cause),) if cause is not None else ()
    )
    before = (Turn("user", history), Turn("assistant", "I see.")) if history else ()
    return Row("id", "g", "train", "empathy", "1-2", lang, "tests", "CC0", True, (*before, said))


@pytest.mark.parametrize(
    ("lang", "emotion", "continuation", "contradicts"),
    [
        ("en", "sad", " they are happy that it is over.", True),
        ("en", "sad", " the speaker sounds angry about the desk.", True),
        ("en", "sad", " they are not happy with the desk.", False),
        ("en", "sad", " they don't feel angry, they feel sad.", False),
        ("en", "sad", " an angry man took their desk.", False),
        ("en", "sad", ' they said, "they are happy now".', False),
        ("en", "surprise", " they are happy and surprised that she came.", False),
        ("en", "neutral", " they're worried about the bus.", True),
        ("en", "fear", " they’re worried about the bus.", False),
        ("zh", "sad", "其实对方很开心。", True),
        ("zh", "sad", "对方并不开心。", False),
        ("zh", "sad", "对方很难过，也没有生气。", False),
        ("zh", "sad", "对方说：“她们很开心。”", False),
        ("zh", "anger", "他们觉得害怕。", True),
        ("zh", "anger", "电脑突然黑屏，真让人害怕。", False),
    ],
)
def test_another_emotion_said_of_the_speaker_contradicts(
    lang: str, emotion: str, continuation: str, contradicts: bool
) -> None:
    assert traces.contradicts(continuation, emotion, lang) is contradicts


@pytest.mark.parametrize(
    ("reply", "leaks"),
    [
        ("The speaker needs help.", True),
        ("That is hard.</think>", True),
        ("They feel this way because of me.", True),
        ("Your emotional state is sadness.", True),
        ("说话的人很难过。", True),
        ("听起来对方很难过。", True),
        ("You sound sad, come here.", False),
        ("I think that was wrong of them.", False),
        ("对方也有错，别都怪自己。", False),
    ],
)
def test_replies_that_give_the_injection_away(reply: str, leaks: bool) -> None:
    assert traces.leaks(reply, "The speaker sounds sad. They feel this way because") is leaks


def test_the_injections_own_words_in_a_reply_leak() -> None:
    opened = "From how it is said, the speaker feels sad. That is because"
    assert traces.leaks("Well, from how it is said you must be low.", opened)
    assert traces.leaks("从语气里能听出你不开心。", "从语气里能听出对方难过，让对方这样的是这件事：")


@pytest.mark.parametrize(
    ("lang", "text", "annotated", "cause", "supported"),
    [
        ("en", "They gave my desk to someone else.", None, " they gave their desk away.", True),
        ("en", "They gave my desk to someone else.", None, " the team lost a match.", False),
        (
            "en",
            "They gave my desk to someone.",
            None,
            " desk, a long tale of wolves, rivers, kings, queens, moons.",
            False,
        ),
        ("en", "I missed it again, the bus left.", "the bus left", " the bus had left without them.", True),
        ("en", "Oh well.", "moved to another town", " a move to another town came.", True),
        ("zh", "写了半年的论文全没了。", None, "半年的论文没有了。", True),
        ("zh", "写了半年的论文全没了。", None, "足球队输掉比赛。", False),
    ],
)
def test_a_cause_rests_on_the_annotation_or_the_words(
    lang: str, text: str, annotated: str | None, cause: str, supported: bool
) -> None:
    item = replace(row(text, lang, annotated), injection="Sad, because", trace="Sad, because" + cause)
    assert traces.supported(item) is supported


def test_only_the_first_sentence_counts_as_the_named_cause() -> None:
    item = row("They gave my desk to someone else.")
    trace = "Sad, because it is Monday morning again. They gave their desk to someone."
    assert not traces.supported(replace(item, injection="Sad, because", trace=trace))


def test_a_quotation_is_the_named_cause_to_its_end() -> None:
    trace = 'Sad, for this: "Oh no! They gave my desk away." I should be kind.'
    assert traces.named_cause(trace, 'Sad, for this: "') == "Oh no! They gave my desk away."
    assert traces.named_cause("难过，因为说：“哎呀！电脑黑屏。”所以", "难过，因为说：“") == "哎呀！电脑黑屏。"
    assert traces.named_cause("Sad, because it is. More.", "Sad, because") == "it is."


@pytest.mark.parametrize(
    ("lang", "text", "cause", "span"),
    [
        ("en", "Well, they gave my desk away!", "they gave their desk away.", "they gave my desk away"),
        ("en", "I'm losing my job, I fear.", "they are losing their job.", "I'm losing my job"),
        (
            "zh",
            "他在饭桌上把我的日记念了出来。",
            "他在饭桌上把对方的日记念了出来。",
            "他在饭桌上把我的日记念了出来",
        ),
    ],
)
def test_causes_are_the_users_own_words(lang: str, text: str, cause: str, span: str) -> None:
    assert traces.causes_in(row(text, lang).turns, cause, lang) == (Cause(0, span),)


def test_causes_are_looked_for_in_every_turn_of_the_user() -> None:
    turns = row("The bus left early.", history="The dog ate my shoes.").turns
    found = traces.causes_in(turns, "the dog ate their shoes, so the bus left early.", "en")
    assert found == (Cause(2, "The bus left early"), Cause(0, "The dog ate my shoes"))


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_causes_are_spans_of_the_turn_whatever_the_text(text: str, cause: str) -> None:
    for lang in ("en", "zh"):
        for found in traces.causes_in((Turn("user", text),), cause, lang):
            assert found.span in text and len(traces.content_words(found.span, lang)) >= 2
        traces.contradicts(cause, "sad", lang)
        assert not replies.repeats(text, "")


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_longest_run_is_the_longest(ours: list[str], theirs: list[str]) -> None:
    start, there, length = replies.longest_run(ours, theirs)
    assert ours[start : start + length] == theirs[there : there + length]
    runs = {tuple(theirs[i:j]) for i in range(len(theirs)) for j in range(i + 1, len(theirs) + 1)}
    longest = max(
        (j - i for i in range(len(ours)) for j in range(i + 1, len(ours) + 1) if tuple(ours[i:j]) in runs),
        default=0,
    )
    assert length == longest


@pytest.mark.parametrize(
    ("text", "lang", "is_in"),
    [
        ("Fine.", "en", True),
        ("Fine 好.", "en", False),
        ("!!!", "en", False),
        ("我用 iPhone 打给你。", "zh", True),
        ("Fine, 好。", "zh", False),
        ("", "zh", False),
    ],
)
def test_languages_are_told_apart(text: str, lang: str, is_in: bool) -> None:
    assert replies.in_language(text, lang) is is_in


@pytest.mark.parametrize("reply", ["Oh no!", "Really? Tell me more.", "I'm sorry, but I'm glad you called."])
def test_short_kind_answers_can_be_spoken(reply: str) -> None:
    assert replies.fault(reply, "en", "My train is late again.", 45) is None


def test_a_few_words_in_common_with_an_example_are_no_echo() -> None:
    examples = ["太好了，恭喜你！你最想先学做哪一种面包？"]
    assert replies.fault("太好了，恭喜你！", "zh", "我考上了！", 45, examples) is None
    assert replies.fault("恭喜你！你最想先学做哪一种？", "zh", "我考上了！", 45, examples) == replies.ECHO


@pytest.mark.parametrize(
    ("lang", "emotion", "reply", "unfit"),
    [
        ("en", "sad", "That's so exciting! Have you made it yet?", True),
        ("en", "anger", "That is a nice idea.", True),
        ("en", "happy", "Oh no, that hurts.", True),
        ("en", "happy", "How lovely, congratulations!", False),
        ("en", "surprise", "How exciting!", False),
        ("en", "sad", "That must have hurt.", False),
        ("zh", "fear", "真是个好主意！", True),
        ("zh", "happy", "真让人心疼。", True),
        ("zh", "happy", "恭喜你！", False),
    ],
)
def test_gladness_and_pity_in_the_wrong_place(lang: str, emotion: str, reply: str, unfit: bool) -> None:
    assert replies.unfit(reply, emotion, lang) is unfit


def test_a_reply_made_of_pieces_of_the_users_words_repeats_them() -> None:
    said = "There's hair in the bed, and the man downstairs wants extra for clean sheets!"
    assert replies.repeats("The man downstairs wants extra? There's hair in the bed?", said)
    assert not replies.repeats("Extra for clean sheets? With that hair you should get your money back.", said)
