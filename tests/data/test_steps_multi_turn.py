"""Regrouping: what every made dialogue keeps to, whatever the rows, and that none is lost or used twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harken.data.rows import Affect, Cause, Row, Speaker, Turn, content_id
from harken.data.steps.multi_turn import MultiTurn, MultiTurnStep, users
from harken.data.workspace import Workspace

EMOTIONS = ("anger", "happy", "neutral", "sad")
WORKSPACE = Workspace(Path("unused"))


def empathy(
    number: int,
    emotions: tuple[str, ...] = ("sad",),
    speaker: str | None = None,
    lang: str = "en",
    split: str = "train",
    audio: str | None = None,
) -> Row:
    turns: list[Turn] = []
    for place, emotion in enumerate(emotions):
        turns += [Turn("assistant", f"reply {number}.{place}")] if place else []
        turns.append(
            Turn(
                "user",
                f"said {number}.{place}",
                audio=audio,
                speaker=Speaker(speaker),
                affect=(Affect(emotion, "human"),),
                cause=(Cause(len(turns), f"{number}.{place}"),),
            )
        )
    return Row(
        id=content_id("row", number),
        group=f"g{number}",
        split=split,
        task="empathy",
        stage="1-2",
        lang=lang,
        source="tests",
        licence="CC0-1.0",
        shippable=True,
        turns=tuple(turns),
        trace=f"trace {number}",
        target=f"answer {number}",
    )


def made(rows: list[Row], share: float = 0.4) -> tuple[list[Row], list[Row]]:
    """(dialogues made, rows that passed)."""
    results = list(MultiTurnStep(MultiTurn(share=share))(rows, WORKSPACE))
    known = {row.id for row in rows}
    return [r for r in results if r.id not in known], [r for r in results if r.id in known]


a_row = st.tuples(
    st.lists(st.sampled_from(EMOTIONS), min_size=1, max_size=3).map(tuple),
    st.sampled_from([None, "ann", "bob"]),
    st.sampled_from(["en", "zh"]),
    st.sampled_from(["train", "dev"]),
    st.sampled_from([None, "a.ogg"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(a_row, max_size=30), st.floats(0, 1))
def test_what_every_dialogue_keeps_to(
    drawn: list[tuple[tuple[str, ...], str, str, str, str]], share: float
) -> None:
    rows = [empathy(number, *fields) for number, fields in enumerate(drawn)]
    by_id = {row.id: row for row in rows}
    dialogues, passed = made(rows, share)
    used = [parent for dialogue in dialogues for parent in dialogue.parents]
    assert sorted([*used, *(row.id for row in passed)]) == sorted(by_id), "none is lost, none is used twice"
    assert len(used) <= int(share * len(rows) + 0.5)
    for dialogue in dialogues:
        parents = [by_id[parent] for parent in dialogue.parents]
        turns = users(dialogue)
        assert len(turns) in (2, 3, 4) and len(parents) >= 2
        assert turns[0].emotion != turns[-1].emotion
        assert len({turn.speaker for turn in turns}) == 1 and turns[0].speaker.id
        assert {(p.split, p.lang, p.source) for p in parents} == {
            (dialogue.split, dialogue.lang, dialogue.source)
        }
        assert len({parent.last_user.speaker for parent in parents}) == 1
        assert len({parent.group for parent in parents}) == len(parents)
        roles = ["user", "assistant"] * len(turns)
        assert [turn.role for turn in dialogue.turns] == roles[:-1]
        assert (dialogue.target, dialogue.trace) == (parents[-1].target, parents[-1].trace)
        said = [turn.text for turn in dialogue.turns if turn.role == "assistant"]
        assert all(parent.target in said for parent in parents[:-1])
        for turn in turns:
            assert all(dialogue.turns[cause.turn] is turn for cause in turn.cause)
    assert made(rows, share) == (dialogues, passed)
    again = made(rows[::-1], share)[0]
    assert {dialogue.id for dialogue in again} == {dialogue.id for dialogue in dialogues}


def test_forty_in_a_hundred_are_regrouped_into_two_three_and_four_turns() -> None:
    rows = [empathy(number, (EMOTIONS[number % 4],)) for number in range(100)]
    dialogues, passed = made(rows)
    assert len(passed) in (60, 61)
    assert {len(users(dialogue)) for dialogue in dialogues} == {2, 3, 4}


def test_emotions_that_do_not_differ_are_left_alone() -> None:
    rows = [empathy(number) for number in range(20)]
    assert made(rows) == ([], rows)


def test_recordings_of_nobody_known_are_left_alone() -> None:
    rows = [empathy(number, (EMOTIONS[number % 4],), audio="a.ogg") for number in range(20)]
    assert made(rows) == ([], rows)


def test_other_tasks_pass() -> None:
    rows = [replace(empathy(number, (EMOTIONS[number % 4],)), task="respond") for number in range(20)]
    assert made(rows, share=1.0) == ([], rows)
