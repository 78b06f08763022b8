"""The respond step (stage 1-1) and the tasks step (HumDial tasks 1 and 2), with made-up teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harken.data.rows import Affect, Row, Turn, content_id
from harken.data.steps import prompts, replies, task_prompts, tasks
from harken.data.steps.base import Dropped, StepConfig
from harken.data.steps.injections import FEELINGS
from harken.data.steps.prompts import RESPOND
from harken.data.steps.respond import Respond
from harken.data.steps.task_prompts import ASKED, TRAJECTORY
from harken.data.steps.tasks import Tasks
from harken.data.steps.teaching import CUT_OFF, LLM_ERROR, NEVER_CLOSES, NO_LANGUAGE, NO_WORDS
from harken.data.workspace import Workspace
from harken.llm.base import Completion, LLMError
from harken.llm.templates import Message, render
from harken.testing import Answer, FakeLLM, FakeResources


def run(step: StepConfig, rows: Sequence[Row], llm: FakeLLM) -> tuple[list[Row], list[Dropped]]:
    results = list(step.open(FakeResources(llm))(rows, Workspace(Path("unused"))))
    kept = [result for result in results if isinstance(result, Row)]
    return kept, [result for result in results if isinstance(result, Dropped)]


def row(*turns: Turn, lang: str = "en", **fields: Any) -> Row:
    made = Row(
        id=content_id([turn.text for turn in turns]),
        group="g",
        split="dev",
        task="source",
        stage="",
        lang=lang,
        source="tests",
        licence="CC0-1.0",
        shippable=True,
        turns=turns,
    )
    return replace(made, **fields)


def user(text: str, emotion: str | None = None) -> Turn:
    return Turn("user", text, affect=(Affect(emotion, "human"),) if emotion else ())


PROMPTS = prompts.PROMPTS | task_prompts.PROMPTS
QUERY = {"en": row(user("My train is late again.")), "zh": row(user("我的火车又晚点了。"), lang="zh")}
REPLY = {"en": "Again? Is it at least warm where you wait?", "zh": "又晚点呀，你等车的地方冷不冷？"}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_query_is_answered_and_passes_too(lang: str) -> None:
    llm = FakeLLM(lambda prompt, seed: f" {REPLY[lang]}\n")
    (passed, made), dropped = run(Respond(), [QUERY[lang]], llm)
    assert passed == QUERY[lang] and dropped == []
    assert (made.task, made.stage, made.target, made.parents) == (
        "respond",
        "1-1",
        REPLY[lang],
        (passed.id,),
    )
    assert made.split == "dev" and made.turns == passed.turns
    assert made.teacher is not None and made.teacher.name == "fake"
    assert made.teacher.prompt_sha256 == RESPOND[lang].sha256


def test_the_teacher_sees_the_history() -> None:
    long = row(user("I was up all night."), Turn("assistant", "Oh no, why?"), user("The baby cried."))
    llm = FakeLLM(lambda prompt, seed: REPLY["en"])
    run(Respond(), [long], llm)
    history = [Message(turn.role, turn.text) for turn in long.turns]
    assert llm.asked[0].endswith(render("chatml", history))


def test_a_persons_answer_may_be_kept() -> None:
    answered = replace(QUERY["en"], target="Poor you, again?")
    llm = FakeLLM(lambda prompt, seed: REPLY["en"])
    kept = run(Respond(keep_human=True), [answered, QUERY["zh"]], llm)[0]
    assert kept[1].target == "Poor you, again?" and kept[1].teacher is None
    assert len(set(llm.asked)) == 1, "only the other row is asked"
    taught = run(Respond(), [answered], llm)[0][1]
    assert taught.target == REPLY["en"] and taught.teacher is not None


@pytest.mark.parametrize(
    ("lang", "reason", "answer"),
    [
        ("en", LLM_ERROR, LLMError("timed out")),
        ("en", CUT_OFF, Completion("I would say that", "length")),
        ("en", replies.TOO_LONG, " ".join(f"word{i}" for i in range(60))),
        ("zh", replies.TOO_LONG, "".join(chr(0x4E00 + i) for i in range(80))),
        ("en", replies.EMPTY, " \n"),
        ("en", replies.REFUSAL, "I'm an AI, I can't wait for trains."),
        ("zh", replies.REFUSAL, "抱歉，我无法提供火车信息。"),
        ("zh", replies.OTHER_LANGUAGE, "Oh no, late again?"),
        ("en", replies.OTHER_LANGUAGE, "又晚点了呀？"),
        ("en", replies.NOT_SPEECH, "**Sorry** to hear that"),
        ("en", replies.NOT_SPEECH, "1. Wait\n2. Take the bus"),
        ("en", replies.NOT_SPEECH, "Assistant: that is a pity."),
        ("en", replies.REPEATS_USER, "Your train? My train is late again."),
        ("zh", replies.REPEATS_USER, "我的火车又晚点了。"),
        ("en", replies.LOOP, "Oh no no. Oh no no. Oh no no."),
        ("en", replies.ECHO, RESPOND["en"].answers[0]),
    ],
)
def test_answers_that_cannot_be_spoken_are_dropped(lang: str, reason: str, answer: Answer) -> None:
    kept, dropped = run(Respond(tries=2), [QUERY[lang]], FakeLLM(lambda prompt, seed: answer))
    assert kept == [QUERY[lang]]
    assert [(drop.row, drop.step, drop.reason) for drop in dropped] == [(QUERY[lang], "respond", reason)]


def test_what_cannot_be_asked_is_dropped_without_asking() -> None:
    llm = FakeLLM(lambda prompt, seed: REPLY["en"])
    _, dropped = run(Respond(), [row(user("Bonjour"), lang="fr"), row(user(" "))], llm)
    assert [drop.reason for drop in dropped] == [NO_LANGUAGE, NO_WORDS] and llm.asked == []


def test_a_faulty_answer_is_drawn_again_and_only_that() -> None:
    other = row(user("The shop is shut."))

    def answer(prompt: str, seed: int) -> Answer:
        return "" if "shop" in prompt and seed == 0 else REPLY["en"]

    llm = FakeLLM(answer)
    kept, dropped = run(Respond(), [other, QUERY["en"]], llm)
    seeds = {made.teacher.seed for made in kept if made.teacher}
    assert dropped == [] and seeds == {0, 1} and len(llm.asked) == 3


def test_prompts_are_named_by_their_text() -> None:
    assert len({prompt.sha256 for prompt in PROMPTS.values()}) == len(PROMPTS) == 8
    changed = replace(RESPOND["en"], text=RESPOND["en"].text + " ")
    assert changed.sha256 != RESPOND["en"].sha256
    for prompt in PROMPTS.values():
        system, *examples = prompt.messages(examples=True)
        assert system.role == "system" and len(examples) >= 4
        assert [m.role for m in examples] == ["user", "assistant"] * (len(examples) // 2)
        assert prompt.messages(examples=False) == [system] and len(prompt.answers) == len(examples) // 2


DIALOGUE = {
    "en": row(
        user("My cat has been gone since Monday.", "sad"),
        Turn("assistant", "That must be hard. Did anybody see her?"),
        user("The postman found her in his van.", "surprise"),
        Turn("assistant", "In his van?"),
        user("She is asleep on my lap now.", "happy"),
        task="empathy",
        stage="1-2",
    ),
    "zh": row(
        user("我的猫星期一就不见了。", "sad"),
        Turn("assistant", "真让人揪心。"),
        user("邮递员在他的车里找到了猫。", "happy"),
        lang="zh",
        task="empathy",
        stage="1-2",
    ),
}
GOOD = {
    (
        "trajectory",
        "en",
    ): " the cat was gone, then the postman found her.\n</think>\n\nYou were sad that your cat was "
    "gone, surprised when the postman found her, and happy with her on your lap.",
    (
        "reasoning",
        "en",
    ): " the cat that was gone.\n</think>\n\nYou are happy because the cat that had been gone since "
    "Monday is back with you.",
    (
        "trajectory",
        "zh",
    ): "猫不见了，后来找到了。\n</think>\n\n你先因为猫不见了而难过，后来邮递员找到了猫，你又开心起来。",
    ("reasoning", "zh"): "猫不见了。\n</think>\n\n猫从星期一就不见了，如今邮递员把它找到，所以你开心。",
}


def kind(prompt: str) -> tuple[str, str]:
    lang = "zh" if "只说中文" in prompt else "en"
    last = prompt.rsplit("<think>\n", 1)[1]
    return ("trajectory" if last.startswith(("In order", "对方先是")) else "reasoning"), lang


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_dialogues_give_trajectory_and_reasoning_rows(lang: str) -> None:
    llm = FakeLLM(lambda prompt, seed: GOOD[kind(prompt)])
    kept, dropped = run(Tasks(), [DIALOGUE[lang]], llm)
    assert kept[0] == DIALOGUE[lang] and dropped == []
    assert [made.task for made in kept[1:]] == ["trajectory", "reasoning"]
    assert len({made.id for made in kept}) == 3
    for made in kept[1:]:
        assert made.turns == DIALOGUE[lang].turns and made.parents == (DIALOGUE[lang].id,)
        assert made.instruction is not None and made.instruction.text in ASKED[made.task, lang]
        assert (made.trace or "").startswith(made.injection or "!")
        assert made.target == GOOD[made.task, lang].rsplit("\n", 1)[1] and "think" not in made.target
    labelled = kept[1]
    assert labelled.teacher is not None and labelled.teacher.prompt_sha256 == TRAJECTORY[lang].sha256
    shown = llm.asked[0].rsplit("<|im_start|>user\n", 1)[1]
    assert all(f"{FEELINGS[lang][label][0]}" in shown for label in tasks.felt(labelled))


def faulty(reply: str) -> str:
    return f" the cat was gone.\n</think>\n\n{reply}"


@pytest.mark.parametrize(
    ("task", "reason", "answer"),
    [
        ("trajectory", LLM_ERROR, LLMError("500")),
        ("trajectory", NEVER_CLOSES, Completion(" the cat", "length")),
        ("trajectory", tasks.EMOTION_MISSING, faulty("You were sad about the cat, and happy later.")),
        ("trajectory", tasks.OUT_OF_ORDER, faulty("You were surprised, then happy, and before that sad.")),
        (
            "trajectory",
            tasks.EMOTION_ADDED,
            faulty("You were sad, then angry, then surprised, then happy with the cat."),
        ),
        ("trajectory", replies.TOO_LONG, faulty(" ".join(f"word{i}" for i in range(100)))),
        ("trajectory", replies.OTHER_LANGUAGE, faulty("你先难过后开心。")),
        (
            "trajectory",
            replies.ECHO,
            faulty("You were sad that the flight was cancelled, surprised, then happy."),
        ),
        ("reasoning", tasks.EARLY_TURNS_UNUSED, faulty("You are happy because she is asleep on your lap.")),
        ("reasoning", replies.REFUSAL, faulty("As an AI, I cannot know why you feel that.")),
        ("reasoning", replies.NOT_SPEECH, faulty("- the cat\n- the postman")),
        ("trajectory", tasks.SPEAKS_OF_THE_SPEAKER, faulty("The speaker was sad, surprised, then happy.")),
        ("reasoning", replies.ECHO, faulty("Your cat is back. You had not dared to hope any more.")),
        ("reasoning", replies.LOOP, " the cat was gone." + faulty("Your cat is back.")),
        ("reasoning", replies.ECHO, faulty("You are happy about the fence and the oil of the neighbour.")),
    ],
)
def test_faulty_answers_to_the_tasks_are_dropped(task: Any, reason: str, answer: Answer) -> None:
    kept, dropped = run(Tasks(tasks=(task,), tries=2), [DIALOGUE["en"]], FakeLLM(lambda p, seed: answer))
    assert kept == [DIALOGUE["en"]]
    assert [(drop.row, drop.step, drop.reason) for drop in dropped] == [
        (DIALOGUE["en"], f"tasks: {task}", reason)
    ]


def test_only_dialogues_whose_emotions_are_all_known_are_asked_about() -> None:
    llm = FakeLLM(lambda prompt, seed: GOOD[kind(prompt)])
    unknown = replace(DIALOGUE["en"], turns=(user("Hm."), *DIALOGUE["en"].turns[1:]))
    single = row(user("My cat is gone.", "sad"), task="empathy")
    source = replace(DIALOGUE["en"], task="source")
    long = replace(DIALOGUE["en"], turns=DIALOGUE["en"].turns[:1] * 6)
    assert run(Tasks(), [unknown, single, source, long], llm) == ([unknown, single, source, long], [])
    assert llm.asked == []


def test_an_emotion_that_stays_has_no_trajectory() -> None:
    turns = (user("My cat has been gone since Monday.", "sad"), user("I put out her bowl.", "sad"))
    llm = FakeLLM(lambda prompt, seed: GOOD[kind(prompt)])
    kept = run(Tasks(), [row(*turns, task="empathy")], llm)[0]
    assert [made.task for made in kept] == ["empathy", "reasoning"]


@pytest.mark.parametrize(
    ("answer", "emotions", "lang", "reason"),
    [
        ("You were calm, then angry, and calm again.", ["neutral", "anger", "neutral"], "en", None),
        ("You were calm, then angry.", ["neutral", "anger", "neutral"], "en", tasks.OUT_OF_ORDER),
        ("From fear to joy.", ["fear", "happy"], "en", None),
        ("你从平静变得生气。", ["neutral", "anger"], "zh", None),
        ("你从生气变得平静。", ["neutral", "anger"], "zh", tasks.OUT_OF_ORDER),
        ("你一直很平静。", ["neutral", "anger"], "zh", tasks.EMOTION_MISSING),
        ("你从平静变得生气，又害怕。", ["neutral", "anger"], "zh", tasks.EMOTION_ADDED),
    ],
)
def test_a_trajectory_names_the_emotions_in_order(
    answer: str, emotions: list[str], lang: str, reason: str | None
) -> None:
    assert tasks.order_fault(answer, emotions, lang) == reason
