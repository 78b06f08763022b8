"""The IEAT and contrast steps: what teachers may do wrong, and what follows from what they do right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harken.data.rows import Affect, Cause, Row, Turn, content_id
from harken.data.steps import attribute, contrast, replies
from harken.data.steps.attribute import Attribute
from harken.data.steps.attribute_figures import ieat_figures
from harken.data.steps.base import Dropped, StepConfig
from harken.data.steps.contrast import Contrast
from harken.data.steps.injections import FEELINGS, QUOTES, injection, openings
from harken.data.steps.prompts import ATTRIBUTE
from harken.data.steps.respond import Respond
from harken.data.steps.teaching import CUT_OFF, LLM_ERROR, NEVER_CLOSES, NO_LANGUAGE
from harken.data.workspace import Workspace
from harken.llm.base import Completion, LLMError
from harken.testing import Answer, FakeLLM, FakeResources

EN = "They gave my desk to someone else while I was off sick."
ZH = "电脑突然黑屏，写了半年的论文全没了。"
GOOD = {
    "en": " they gave their desk to someone else while they were off sick.\n</think>\n\nThat must have hurt.",
    "zh": "电脑突然黑屏，写了半年的论文全没了。\n</think>\n\n半年的心血呀，太让人心疼了。",
}


def run(step: StepConfig, rows: Sequence[Row], llm: FakeLLM) -> tuple[list[Row], list[Dropped]]:
    results = list(step.open(FakeResources(llm))(rows, Workspace(Path("unused"))))
    kept = [result for result in results if isinstance(result, Row)]
    return kept, [result for result in results if isinstance(result, Dropped)]


def source_row(text: str, emotion: str = "sad", lang: str = "en", **fields: Any) -> Row:
    made = Row(
        id=content_id(text, emotion),
        group=f"g-{text}",
        split="train",
        task="source",
        stage="",
        lang=lang,
        source="tests",
        licence="CC0-1.0",
        shippable=True,
        turns=(Turn("user", text, affect=(Affect(emotion, "human"),)),),
    )
    return replace(made, **fields)


def plain(text: str, emotion: str = "sad", lang: str = "en") -> Row:
    """A row that draws an injection which opens no quotation."""
    turns = (Turn("user", text, affect=(Affect(emotion, "human"),)),)
    ids = (content_id(text, number) for number in range(100))
    key = next(key for key in ids if injection(emotion, lang, key)[-1] not in QUOTES)
    return source_row(text, emotion, lang, id=key, turns=turns)


@pytest.mark.parametrize(("lang", "text"), [("en", EN), ("zh", ZH)])
def test_a_trace_begins_with_the_injection_and_the_reply_is_the_target(lang: str, text: str) -> None:
    row = plain(text, lang=lang)
    llm = FakeLLM(lambda prompt, seed: GOOD[lang])
    (passed, made), dropped = run(Attribute(), [row], llm)
    assert passed == row and dropped == []
    opened = injection("sad", lang, row.id)
    assert llm.asked[0].endswith(f"<|im_start|>assistant\n<think>\n{opened}")
    assert made.injection == opened and (made.trace or "").startswith(opened)
    assert made.trace == opened + GOOD[lang].split("\n</think>")[0]
    assert made.target == GOOD[lang].rsplit("\n", 1)[1]
    assert (made.task, made.stage, made.parents) == ("empathy", "1-2", (row.id,))
    assert (made.split, made.group, made.lang, made.licence) == (row.split, row.group, lang, row.licence)
    assert made.teacher is not None and made.teacher.prompt_sha256 == ATTRIBUTE[lang].sha256
    assert made.last_user.cause, "the words that the trace names are its cause"
    assert all(cause.span in text for cause in made.last_user.cause)


def test_an_annotated_cause_is_kept() -> None:
    row = plain(EN)
    row = replace(row, turns=(replace(row.turns[0], cause=(Cause(0, "They gave my desk"),)),))
    made = run(Attribute(), [row], FakeLLM(lambda prompt, seed: GOOD["en"]))[0][1]
    assert made.last_user.cause == (Cause(0, "They gave my desk"),)


def test_a_persons_answer_is_kept_and_the_teacher_thinks_alone() -> None:
    answered = replace(plain(EN), target="A week off, and no desk!")
    bare = plain("My old bicycle is back in the shed.")
    thought = GOOD["en"].split("\n</think>")[0]

    def answer(prompt: str, seed: int) -> Answer:
        if "bicycle" not in prompt:
            return thought
        return " the bicycle is back in the shed.\n</think>\n\nWhat a find! Does it still ride?"

    llm = FakeLLM(answer)
    kept, dropped = run(Attribute(keep_human=True), [answered, bare], llm)
    assert dropped == []
    of_person, of_teacher = (row for row in kept if row.task == "empathy")
    assert of_person.target == answered.target and of_person.trace == f"{of_person.injection}{thought}"
    assert of_person.teacher is not None, "who wrote the trace"
    assert of_teacher.target == "What a find! Does it still ride?"
    assert len(llm.asked) == 2, "no reply is asked for where a person gave one"
    assert run(Attribute(), [answered], FakeLLM(lambda *_: GOOD["en"]))[0][1].target == "That must have hurt."


@pytest.mark.parametrize("stopped_at", ["\n</think>", "\n</think>\n\n", "\n<\\think>", ""])
def test_a_teacher_that_stops_at_the_end_of_its_thought_is_continued(stopped_at: str) -> None:
    thought = GOOD["en"].split("\n</think>")[0]

    def answer(prompt: str, seed: int) -> Answer:
        return "That must have hurt." if prompt.endswith("</think>\n\n") else thought + stopped_at

    llm = FakeLLM(answer)
    made = run(Attribute(), [plain(EN)], llm)[0][1]
    assert made.target == "That must have hurt."
    assert llm.asked[1] == f"{llm.asked[0]}{thought}\n</think>\n\n", "from where it stopped, and nothing else"
    assert len(llm.asked) == 2


def said(continuation: str, reply: str = "That must have hurt.") -> str:
    return f"{continuation}\n</think>\n\n{reply}"


DESK = " they gave their desk to someone else."
FAULTS: list[tuple[str, str, Answer]] = [
    ("en", LLM_ERROR, LLMError("429 from the server")),
    ("en", NEVER_CLOSES, Completion(DESK * 9, "length")),
    ("en", CUT_OFF, Completion(said(DESK, "That must"), "length")),
    ("en", attribute.CONTRADICTS, said(" they gave their desk away. In truth they are happy about it.")),
    ("zh", attribute.CONTRADICTS, said("电脑突然黑屏，论文全没了。其实对方很开心。", "真可惜。")),
    ("en", attribute.LEAKS, said(DESK, "The speaker sounds hurt, so be kind.")),
    ("en", attribute.LEAKS, said(DESK, "I see, your emotion is sadness here.")),
    ("zh", attribute.LEAKS, said("电脑突然黑屏，论文全没了。", "你的情绪是难过，我明白。")),
    ("en", attribute.NO_CAUSE, said(" it is.")),
    ("zh", attribute.NO_CAUSE, said("是的。", "真可惜。")),
    ("en", attribute.NOT_IN_THE_WORDS, said(" the football team lost another match in Spain.")),
    ("zh", attribute.NOT_IN_THE_WORDS, said("足球队昨天又输掉比赛。", "真可惜。")),
    ("en", attribute.AS_THE_SPEAKER, said(" they gave my desk to someone else while I was off sick.")),
    ("zh", attribute.AS_THE_SPEAKER, said("我的电脑突然黑屏，论文全没了。", "真可惜。")),
    ("en", replies.REFUSAL, said(DESK, "As an AI language model, I have no desk.")),
    ("en", replies.REFUSAL, said(DESK, "I'm sorry, I can't help you with that.")),
    ("zh", replies.REFUSAL, said("电脑突然黑屏，论文全没了。", "作为一个人工智能，我无法回答。")),
    ("en", replies.OTHER_LANGUAGE, said(DESK, "真可惜，你还好吗？")),
    ("zh", replies.OTHER_LANGUAGE, said("电脑突然黑屏，论文全没了。", "That is a shame.")),
    ("en", replies.OTHER_LANGUAGE, said(" they gave their desk 给别人 to someone else.")),
    ("en", replies.LOOP, said(" they gave their desk away." * 3)),
    ("en", replies.LOOP, said(DESK, "Oh that is bad. Oh that is bad. Oh that is bad.")),
    ("zh", replies.LOOP, said("电脑突然黑屏，论文全没了。电脑突然黑屏，论文全没了。", "真可惜。")),
    ("en", replies.EMPTY, said(DESK, "")),
    ("en", replies.TOO_LONG, said(DESK, " ".join(f"word{i}" for i in range(50)))),
    ("en", replies.NOT_SPEECH, said(DESK, "Try this:\n- call them\n- write to them")),
    ("en", replies.REPEATS_USER, said(DESK, "They gave my desk to someone else.")),
    ("en", replies.UNFIT, said(DESK, "How exciting, a new desk!")),
    ("zh", replies.UNFIT, said("电脑突然黑屏，论文全没了。", "太好了，恭喜你！")),
    ("en", replies.ECHO, said(DESK, "Oh no, out by Christmas, that is so hard on all of you.")),
]


@pytest.mark.parametrize(("lang", "reason", "answer"), FAULTS)
def test_what_is_at_fault_is_dropped_with_its_reason(lang: str, reason: str, answer: Answer) -> None:
    row = plain({"en": EN, "zh": ZH}[lang], lang=lang)

    def reply(prompt: str, seed: int) -> Answer:
        return "" if prompt.endswith("</think>\n\n") else answer

    llm = FakeLLM(reply)
    kept, dropped = run(Attribute(tries=2), [row], llm)
    assert kept == [row]
    assert [(drop.row, drop.step, drop.reason) for drop in dropped] == [(row, "attribute", reason)]
    once = reason == LLM_ERROR
    assert len([p for p in llm.asked if not p.endswith("</think>\n\n")]) == (1 if once else 2)


def test_a_faulty_answer_is_drawn_again_with_the_next_seed() -> None:
    def answer(prompt: str, seed: int) -> Answer:
        return GOOD["en"] if seed == 2 else said(" the football team lost another match.")

    (_, made), dropped = run(Attribute(), [plain(EN)], FakeLLM(answer))
    assert dropped == [] and made.teacher is not None and made.teacher.seed == 2
    assert run(Attribute(tries=2), [plain(EN)], FakeLLM(answer))[1][0].reason == attribute.NOT_IN_THE_WORDS


def test_rows_that_it_does_not_concern_pass() -> None:
    other = source_row(EN, "other")
    answered = source_row(ZH, lang="zh", turns=(Turn("user", ZH), Turn("assistant", "嗯。")))
    empathy = source_row(EN, task="empathy")
    llm = FakeLLM(lambda prompt, seed: GOOD["en"])
    assert run(Attribute(), [other, answered, empathy], llm) == ([other, answered, empathy], [])
    assert llm.asked == []


def test_a_row_in_another_language_is_dropped() -> None:
    kept, dropped = run(
        Attribute(), [source_row("Bonjour", lang="fr")], FakeLLM(lambda prompt, seed: GOOD["en"])
    )
    assert [drop.reason for drop in dropped] == [NO_LANGUAGE] and len(kept) == 1


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("emotion", FEELINGS["en"])
def test_every_emotion_has_several_open_injections(lang: str, emotion: str) -> None:
    drawn = {injection(emotion, lang, content_id(number)) for number in range(60)}
    assert drawn == set(openings(emotion, lang)) and len(drawn) >= 3
    assert not any(text.endswith((".", "。", "!", "！")) or "think>" in text for text in drawn)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_examples_open_their_thoughts_alike_for_all_rows_and_thinkers_need_none(lang: str) -> None:
    said = {"en": EN, "zh": ZH}[lang]
    rows = [source_row(said, lang=lang, emotion=emotion, id=emotion) for emotion in ("sad", "anger")]
    small, thinker = (FakeLLM(lambda prompt, seed: GOOD[lang], thinks=thinks) for thinks in (False, True))
    run(Attribute(), rows, small)
    run(Attribute(), rows, thinker)
    assert small.asked[0].split(said)[0] == small.asked[1].split(said)[0]
    assert sum(small.asked[0].count(opening) for opening in openings("happy", lang)) == 1
    assert "{" not in small.asked[0]
    assert thinker.asked[0].count("<think>") == 1


def test_the_step_is_deterministic_whatever_the_order_of_rows() -> None:
    rows = [plain(EN), plain(ZH, lang="zh"), plain("The bakery closed today and I loved it.")]
    llm = FakeLLM(lambda prompt, seed: GOOD["zh" if "只说中文" in prompt else "en"])
    first, again = run(Attribute(), rows, llm)[0], run(Attribute(), rows[::-1], llm)[0]
    assert set(first) == set(again)


def test_figures_count_what_was_kept_and_why_the_rest_was_not() -> None:
    rows = [plain(EN), plain(EN + " Again."), plain(ZH, lang="zh"), plain("The bakery closed today.")]
    llm = FakeLLM(lambda prompt, seed: GOOD["zh" if "只说中文" in prompt else "en"])
    kept, dropped = run(Attribute(), rows, llm)
    figures = ieat_figures(kept, dropped)
    assert (figures["kept"], figures["dropped"], figures["reasons"]) == (
        3,
        1,
        {attribute.NOT_IN_THE_WORDS: 1},
    )
    assert figures["begins_and_supported"] == 1.0
    assert figures["distinct_per_100"] == pytest.approx(100 * 2 / 3)
    made_up = [replace(row, trace="The weather is fine.") for row in kept if row.task == "empathy"]
    assert ieat_figures(made_up, [])["begins_and_supported"] == 0.0
    assert ieat_figures([], [])["dropped_share"] == 0.0


OPEN = "I am going to the station with my brother."


def by_feeling(prompt: str, seed: int) -> Answer:
    """Answers to each emotion in other words."""
    opened = prompt.rsplit("<think>\n", 1)[1]
    label = next(label for label in FEELINGS["en"] if opened in openings(label, "en"))
    close = QUOTES.get(opened[-1], "")
    return said(
        f" they are going to the station with their brother.{close}", f"So it is {label} that you go with."
    )


def empathy_rows(llm: FakeLLM, *texts: str) -> list[Row]:
    return [row for row in run(Attribute(), [plain(text) for text in texts], llm)[0] if row.task == "empathy"]


def test_contrast_rows_have_the_same_words_other_emotions_and_no_audio() -> None:
    llm = FakeLLM(by_feeling)
    (parent,) = empathy_rows(llm, OPEN)
    parent = replace(parent, turns=(replace(parent.turns[0], audio="a.ogg", seconds=2.0, units=(1,)),))
    kept, dropped = run(Contrast(share=1.0, copies=3), [parent], llm)
    assert kept[0] == parent and dropped == []
    copies = kept[1:]
    assert len(copies) == 3 and len({row.id for row in kept}) == 4
    assert len({row.last_user.emotion for row in kept}) == 4 and len({row.target for row in kept}) == 4
    for row in copies:
        said_turn = row.last_user
        assert row.task == "contrast" and row.stage == "1-2" and row.parents == (parent.id,)
        assert said_turn.text == OPEN and said_turn.affect[0].source == "rule"
        assert (said_turn.audio, said_turn.seconds, said_turn.units) == (None, None, ())
        assert (row.trace or "").startswith(row.injection or "!") and row.split == parent.split
    assert run(Contrast(share=1.0, copies=3), [parent], llm)[0] == kept


def test_contrast_drops_copies_that_are_answered_alike() -> None:
    (parent,) = empathy_rows(FakeLLM(by_feeling), OPEN)

    def alike(prompt: str, seed: int) -> Answer:
        return by_feeling(prompt, seed).rsplit("\n", 1)[0] + "\nSay hello to your brother."  # type: ignore[union-attr]

    kept, dropped = run(Contrast(share=1.0, copies=3), [parent], FakeLLM(alike))
    assert len(kept) == 2 and [drop.reason for drop in dropped] == [contrast.SAME_ANSWER] * 2


@pytest.mark.parametrize(
    ("lang", "text", "fits"),
    [
        ("en", OPEN, True),
        ("en", "I am so glad you came along.", False),
        ("en", "My dog died.", False),
        ("en", "We are moving!", False),
        ("en", "Yes.", False),
        ("en", " ".join(["station"] * 13), False),
        ("zh", "我弟弟下午三点到车站。", True),
        ("zh", "我好难过呀我想回家。", False),
        ("zh", "他把我的钱包偷走了。", False),
    ],
)
def test_contrast_takes_only_words_that_leave_the_emotion_open(lang: str, text: str, fits: bool) -> None:
    assert contrast.leaves_open(text, lang) is fits


def test_contrast_takes_a_share() -> None:
    rows = [replace(source_row(OPEN), task="empathy", id=content_id(number)) for number in range(200)]
    step = Contrast(share=0.3).open(FakeResources(FakeLLM(by_feeling)))
    assert 40 <= sum(step._is_chosen(row) for row in rows) <= 80


@pytest.mark.parametrize("step", [Respond(), Attribute()])
def test_ids_follow_the_weights_that_answered(step: StepConfig) -> None:
    def ids(**llm: str) -> list[str]:
        answers = FakeLLM(lambda prompt, seed: GOOD["en"] if "<think>" in prompt else "Whose idea was that?")
        made = run(step, [plain(EN)], replace(answers, **llm))[0]
        return [row.id for row in made if row.task != "source"]

    first = ids(revision="a")
    assert len(first) == 1 and ids(revision="a") == first
    assert ids(revision="b") != first and ids(revision="a", name="another") != first
