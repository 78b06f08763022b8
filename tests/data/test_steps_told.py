"""Rows whose answer and cause people marked need no teacher: the IEAT step and the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harken.data.rows import Affect, Cause, Row, Teacher, Turn, content_id
from harken.data.sources import open_source
from harken.data.steps import tasks
from harken.data.steps.attribute import Attribute, trace_fault
from harken.data.steps.base import Dropped, StepConfig
from harken.data.steps.contrast import Contrast, leaves_open
from harken.data.steps.task_prompts import ASKED
from harken.data.steps.tasks import Tasks
from harken.data.steps.told_tasks import is_told, told
from harken.data.workspace import Workspace
from harken.evaluation.dialogue_sets.reading import emotions_named
from harken.llm.base import LLMError
from harken.testing import FakeLLM, FakeResources


def run(step: StepConfig, rows: Sequence[Row]) -> tuple[list[Row], list[Dropped]]:
    llm = FakeLLM(lambda prompt, seed: LLMError("nobody may ask"))
    out = list(step.open(FakeResources(llm))(rows, Workspace(Path("nowhere"))))
    assert llm.asked == [], "the teacher is left alone"
    return [row for row in out if isinstance(row, Row)], [row for row in out if isinstance(row, Dropped)]


def listening(turns: int) -> list[Row]:
    """Packaged dialogues of at least so many turns of the user."""
    found = (row for row in open_source("listening", options={"turns": "last"}) if isinstance(row, Row))
    return [row for row in found if sum(turn.role == "user" for turn in row.turns) >= turns]


def test_a_marked_cause_is_quoted_and_the_persons_answer_kept() -> None:
    rows = listening(1)[:200]
    made = [row for row in run(Attribute(keep_human=True, keep_cause=True), rows)[0] if row.task == "empathy"]
    assert len(made) == len(rows) and all(row.teacher is None for row in made)
    for before, row in zip(rows, made, strict=True):
        assert row.target == before.target
        if before.last_user.emotion != "neutral":
            assert row.last_user.cause == before.last_user.cause
        marked = [cause.span for cause in before.last_user.cause] or [before.last_user.text]
        assert row.trace is not None and row.injection is not None and row.trace.startswith(row.injection)
        assert row.trace.removeprefix(row.injection)[:-1] in marked
        assert trace_fault(before, row.injection, row.trace) in (None, "trace too short to hold a cause")


def test_without_a_marked_cause_the_teacher_is_asked_as_before() -> None:
    bare = replace(listening(1)[0], turns=(Turn("user", "My desk is gone.", affect=(SAD,)),))
    llm = FakeLLM(lambda prompt, seed: LLMError("not today"))
    step = Attribute(keep_human=True, keep_cause=True)
    list(step.open(FakeResources(llm))([bare], Workspace(Path("nowhere"))))
    assert llm.asked


SAD = Affect("sad", "human")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_told_trajectory_names_every_turn_in_order(lang: str) -> None:
    said = {"en": ("The roof leaks.", "It is dry again!"), "zh": ("屋顶漏水了。", "又干了！")}[lang]
    turns = tuple(
        Turn("user", text, affect=(Affect(label, "human"),), cause=(Cause(at, text),))
        for at, (text, label) in enumerate(zip(said, ("fear", "happy"), strict=True))
    )
    row = replace(listening(1)[0], lang=lang, turns=turns, task="empathy", stage="1-2", target="Good.")
    answers, questions = set(), set()
    for number in range(20):
        one = replace(row, id=content_id("row", number))
        made, dropped = run(Tasks(told=True), [one])
        of = {each.task: each for each in made}
        assert dropped == [] and of["trajectory"].teacher is None
        assert emotions_named(of["trajectory"].target or "") == ("fear", "happy")
        assert tasks.order_fault(of["trajectory"].target or "", ["fear", "happy"], lang) is None
        assert said[1].rstrip("!！") in (of["reasoning"].target or "")
        asked = of["trajectory"].instruction
        assert asked is not None
        by_the_speaker = asked.text in ASKED["trajectory", lang]
        assert (said[0].rstrip(".。") in (of["trajectory"].target or "")) == by_the_speaker
        answers.add(of["trajectory"].target)
        questions.add(by_the_speaker)
    assert len(answers) > 2, "not always in the same words"
    assert questions == {True, False}


@pytest.mark.parametrize(("at", "words"), [(0, "you said"), (1, "you heard")])
def test_a_cause_is_of_whoever_said_it(at: int, words: str) -> None:
    turns = (
        Turn("user", "What came?", affect=(Affect("neutral", "human"),)),
        Turn("assistant", "What came is my letter!"),
        Turn("user", "Wow!", affect=(Affect("happy", "human"),), cause=(Cause(at, "What came"),)),
    )
    row = replace(listening(1)[0], turns=turns, task="empathy")
    for task in ("trajectory", "reasoning"):
        answers = {told(replace(row, id=content_id(n)), task)[1].reply for n in range(30)}
        assert any(f'{words}: "What came' in text or f'{words} "What came' in text for text in answers)
        (other,) = {"you said", "you heard"} - {words}
        assert not any(other in text for text in answers)


def test_packaged_dialogues_are_told_whole() -> None:
    rows = listening(2)
    assert len(rows) > 200 and all(is_told(row, "trajectory") for row in rows)
    assert all(is_told(row, "reasoning") for row in rows if row.last_user.emotion != "neutral")


def test_nobody_is_asked_why_they_feel_nothing() -> None:
    calm = Turn("user", "It's out.", affect=(Affect("neutral", "human"),), cause=(Cause(1, "It's out."),))
    turns = (Turn("user", "Maggots!", affect=(SAD,), cause=(Cause(0, "Maggots"),)), calm)
    made, _ = run(Tasks(told=True), [replace(listening(1)[0], turns=turns, task="empathy")])
    assert [row.task for row in made] == ["empathy", "trajectory"]


def test_a_turn_whose_cause_nobody_marked_is_asked_for_its_feeling_alone() -> None:
    row = next(row for row in listening(2) if row.last_user.emotion != "neutral")
    bare = replace(row, turns=tuple(replace(turn, cause=()) for turn in row.turns))
    assert is_told(bare, "trajectory") and not is_told(bare, "reasoning")
    assert not is_told(
        replace(bare, turns=tuple(replace(turn, affect=()) for turn in row.turns)), "trajectory"
    )
    for number in range(10):
        question, thought = told(replace(bare, id=content_id("row", number)), "trajectory")
        assert question not in ASKED["trajectory", "en"] and '"' not in thought.reply


def test_the_same_words_are_asked_about_in_other_emotions_and_a_rule_answers() -> None:
    rows, _ = run(Attribute(keep_human=True, keep_cause=True), listening(1)[:300])
    rows = [replace(row, teacher=Teacher("someone", "1", "ab", "{}", 0)) for row in rows]
    made, dropped = run(Contrast(told=True, share=1.0, copies=3), rows)
    parents = {row.id: row for row in rows}
    copies = [row for row in made if row.task == "contrast"]
    assert made[: len(rows)] == rows and not dropped and len({row.id for row in made}) == len(made)
    assert len(copies) >= 30 and len(copies) % 3 == 0
    for row in copies:
        parent = parents[row.parents[0]]
        said, emotion = row.last_user, row.last_user.emotion
        assert said.text == parent.last_user.text and leaves_open(said.text, row.lang)
        assert said.audio is None and said.affect[0].source == "rule" and not said.cause
        assert emotion != parent.last_user.emotion and emotions_named(row.target or "") == (emotion,)
        assert row.instruction and not emotions_named(row.instruction.text)
        assert row.teacher is None and row.trace is None and row.stage == "1-2"
    for parent in {row.parents[0] for row in copies}:
        assert len({row.last_user.emotion for row in copies if row.parents[0] == parent}) == 3
