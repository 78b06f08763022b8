"""The step reflect: where reflections stand, how weak beginnings are mended, what a teacher may do wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reflected import reflected, replied

from harken.data.rows import Reflection, Row
from harken.data.steps import replies
from harken.data.steps.base import Dropped
from harken.data.steps.reflect import Reflect, ends
from harken.data.steps.reflect_filters import (
    BLAMES,
    BORROWS,
    COPIES,
    ELSEWHERE,
    LEAKS,
    MARKS,
    SPEAKS,
    fault,
    reply_fault,
)
from harken.data.steps.reflect_prompts import REFLECT
from harken.data.steps.teaching import CUT_OFF, LLM_ERROR, NO_LANGUAGE
from harken.data.steps.weak_replies import KINDS, weak_reply
from harken.llm.base import Completion, LLMError
from harken.testing import Answer, FakeLLM

SAID = "We had to put old Biscuit to sleep on Tuesday."
REPLY = "Poor old Biscuit, and poor you. How long had he been part of the house?"
NEED, ALONG, MEND = " to talk about Biscuit", " hears the loss; ask about him", " the old dog"


def write(prompt: str, seed: int) -> Answer:
    """A teacher that does as it is told."""
    opened = prompt.rsplit("\n", 1)[1]
    return NEED if opened.endswith("needs") else MEND if opened.endswith("name") else ALONG


def run(
    rows: Sequence[Row], answer: Any = write, **settings: Any
) -> tuple[list[Row], list[Dropped], FakeLLM]:
    return reflected(rows, answer, **settings)


def source_row(said: str = SAID, reply: str | None = REPLY, emotion: str = "sad", **fields: Any) -> Row:
    return replied(said, reply, emotion, **fields)


def test_a_reply_has_a_reflection_before_it_and_after_every_few_words() -> None:
    row = source_row()
    (passed, made), dropped, llm = run([row], weak_share=0.0)
    assert passed == row and dropped == []
    assert (made.task, made.stage, made.target, made.given) == ("reflect", "reflect", REPLY, 0)
    assert made.reflections == (
        Reflection(0, "Sadness, needs to talk about Biscuit."),
        Reflection(
            len("Poor old Biscuit, and poor you."),
            "Sadness, needs to talk about Biscuit. So far warm, hears the loss; ask about him.",
        ),
        Reflection(
            len("Poor old Biscuit, and poor you. How long had he been part"),
            "Sadness, needs to talk about Biscuit. So far warm, hears the loss; ask about him.",
        ),
    )
    need, first, second = sorted(llm.asked, key=len)
    assert need.endswith(f"They: {SAID}\nFriend, so far: …<|im_end|>\n<|im_start|>assistant\nSadness, needs")
    assert "Friend, so far: Poor old Biscuit, and poor you.<|im_end|>" in first and REPLY not in second
    assert made.teacher is not None and made.teacher.prompt_sha256 == REFLECT["en"].sha256
    assert made.parents == (row.id,) and made.rejected and made.rejected != REPLY


def test_a_weak_beginning_is_thought_of_as_such_and_then_mended() -> None:
    rows = [source_row(said=f"{SAID} {number}", group=str(number)) for number in range(40)]
    made, dropped, _ = run(rows, weak_share=1.0)
    mended = [row for row in made if row.given]
    assert dropped == [] and len(mended) == 40
    kinds = set()
    for row in mended:
        target, weak = row.target or "", row.rejected or ""
        assert target.startswith(weak) and row.given == len(weak) and target.endswith(" " + REPLY)
        need, thought, *along = row.reflections
        assert need.at == 0 and thought.at == row.given and "; name the old dog." in thought.text
        kinds.add(thought.text.split("So far ")[1].split(";")[0])
        before = target.index(REPLY)
        assert [target[: r.at].endswith(("poor you.", "been part")) for r in along] == [True, True]
        assert all(r.at > before for r in along)
        assert target == target.strip() and "  " not in target
    assert kinds == {"it fits anyone", "cold"}, "all replies are alike, so none is off the point"
    good = [row for row in made if row.task == "reflect" and not row.given]
    assert [row.rejected for row in good] == [row.rejected for row in mended]
    assert len({row.id for row in made}) == len(made)


def test_a_share_is_mended_and_building_twice_gives_the_same_rows() -> None:
    rows = [source_row(said=f"{SAID} {number}") for number in range(60)]
    made, _, _ = run(rows)
    assert 15 < sum(row.given > 0 for row in made) < 45
    assert run(rows)[0] == made
    other = run(rows, every_words=4)[0]
    assert not {row.id for row in other} & {row.id for row in made if row.task == "reflect"}


def test_what_is_off_the_point_was_said_to_another_of_the_same_split() -> None:
    kites = [
        source_row(
            "I fly kites.", "Kites in the wind, lovely! Where?", "happy", group=f"kite {n}", id=f"k{n}"
        )
        for n in range(20)
    ]
    dev = source_row("Tea.", "Green tea in the morning, lovely!", split="dev")
    rows = [source_row(id=f"r{number}", group="one") for number in range(60)]
    weak = [weak_reply(row, [*rows, *kites, dev], "maker") for row in rows]
    assert {one.kind for one in weak} == set(KINDS)
    assert {one.text for one in weak if one.kind == "off the point"} == {"Kites in the wind, lovely!"}
    assert all(weak_reply(row, rows, "maker").kind != "off the point" for row in rows)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", replies.EMPTY),
        (" 安慰", replies.OTHER_LANGUAGE),
        (" <|reflect|> company", MARKS),
        (" reflecting on the dog", MARKS),
        (" to be heard and held and asked about the dog", replies.TOO_LONG),
        (" you to talk about it", SPEAKS),
        (" how long had he been", COPIES),
        (" poor old Biscuit", COPIES),
        (" to talk about the exam", BORROWS),
        (" company, this is off the point", BLAMES),
    ],
)
def test_what_is_no_reflection_drops_the_row_with_its_reason(written: str, reason: str) -> None:
    made, dropped, llm = run([source_row()], lambda prompt, seed: written)
    assert [row.task for row in made] == ["source"]
    assert [(drop.step, drop.reason) for drop in dropped] == [("reflect", reason)]
    assert len(llm.asked) == 3, "it is drawn again"
    assert dropped[0].detail.startswith("Sadness, needs")


def test_a_fault_in_one_reflection_drops_both_rows_unless_another_draw_mends_it() -> None:
    def late(prompt: str, seed: int) -> Answer:
        return (
            "you" if "How long" in prompt.rsplit("<|im_start|>user", 1)[1] and seed < 1 else write(prompt, 0)
        )

    assert len(run([source_row()], late, weak_share=1.0)[0]) == 3
    made, dropped, _ = run([source_row()], late, weak_share=1.0, tries=1)
    assert [row.task for row in made] == ["source"] and [drop.reason for drop in dropped] == [SPEAKS]


def test_what_a_weak_beginning_should_have_named_was_said_by_the_person() -> None:
    def astray(prompt: str, seed: int) -> Answer:
        return " the kites" if prompt.endswith("name") else write(prompt, seed)

    assert len(run([source_row()], astray, weak_share=0.0)[0]) == 2
    made, dropped, _ = run([source_row()], astray, weak_share=1.0)
    assert len(made) == 1 and [drop.reason for drop in dropped] == [ELSEWHERE]
    assert dropped[0].detail.endswith("; name the kites.")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(LLMError("busy"), LLM_ERROR), (Completion(" to talk and", "length"), CUT_OFF)],
)
def test_a_teacher_that_fails_is_a_reason(answer: Answer, reason: str) -> None:
    made, dropped, _ = run([source_row()], lambda prompt, seed: answer)
    assert len(made) == 1 and [drop.reason for drop in dropped] == [reason]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (source_row("Mein Hund ist tot.", "Der arme Hund.", lang="de"), NO_LANGUAGE),
        (source_row(reply="真让人难过。"), replies.OTHER_LANGUAGE),
        (source_row(reply="The speaker feels sad, so far it is warm."), LEAKS),
        (source_row(reply="<|reflect|> Poor you."), LEAKS),
    ],
)
def test_replies_that_cannot_be_reflected_on_are_dropped_unasked(row: Row, reason: str) -> None:
    made, dropped, llm = run([row])
    assert made == [row] and llm.asked == []
    assert [(drop.row, drop.reason) for drop in dropped] == [(row, reason)]


def test_rows_without_a_reply_or_of_other_tasks_pass() -> None:
    rows = [
        source_row(reply=None),
        source_row(reply=" "),
        source_row(task="trajectory"),
        source_row(turns=()),
    ]
    made, dropped, llm = run(rows)
    assert made == rows and not dropped and not llm.asked


def test_a_reply_that_is_shorter_than_the_distance_has_one_reflection() -> None:
    made, _, _ = run([source_row(reply="Poor old Biscuit.")], weak_share=0.0)
    assert [r.at for r in made[1].reflections] == [0]


@given(st.text(max_size=80), st.integers(1, 9))
def test_reflections_stand_behind_words_and_never_at_the_end(reply: str, every_words: int) -> None:
    places = ends(reply, every_words)
    assert len(places) == max(0, len(reply.split()) - 1) // every_words
    for number, place in enumerate(places, 1):
        assert len(reply[:place].split()) == number * every_words
        assert not reply[place - 1].isspace() and reply[place].isspace()


@pytest.mark.parametrize("asked", [m.content for m in REFLECT["en"].messages(True) if m.role == "user"])
def test_what_the_teacher_is_shown_would_be_kept(asked: str) -> None:
    messages = REFLECT["en"].messages(True)
    shown = messages[[m.content for m in messages].index(asked) + 1].content
    for part in shown.split(". "):
        _, _, written = part.partition(
            "needs " if "needs" in part else "warm, " if "warm" in part else "name "
        )
        assert fault(written, "en", "", asked, "", Reflect().max_words) is None


@pytest.mark.parametrize(
    "reply", ["Poor old Biscuit.", "So far, so good! What is next?", "You reflect the sun."]
)
def test_plain_replies_leak_nothing(reply: str) -> None:
    assert reply_fault(reply) is None
