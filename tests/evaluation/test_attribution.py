"""Overlap of causes, and which turns are asked about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from harken.data.dialogues import Dialogue, Utterance
from harken.data.speech import Clip
from harken.dialogue.render import AssistantTurn, UserTurn
from harken.errors import DataError
from harken.evaluation import attribution
from harken.evaluation.attribution import (
    Named,
    SpokenTurn,
    evaluate_attribution,
    exact,
    neutral_turns,
    score,
    spoken_turns,
    think,
    token_f1,
    within,
)
from harken.evaluation.writing import Writer
from harken.testing import tiny_model


class Planted(Clip):
    def samples(self) -> NDArray[np.float32]:
        return np.full(8000, 0.1, dtype=np.float32)


def dialogue(name: str, split: str = "dev") -> Dialogue:
    turns = (
        Utterance(1, "A", f"I missed the bus in {name}.", "neutral", ()),
        Utterance(2, "B", f"Then you are late for the exam in {name}!", "anger", ("late for the exam",)),
        Utterance(
            3, "A", f"Yes, they will be so cross in {name}.", "sad", ("I missed the bus", "be so cross")
        ),
    )
    return Dialogue(name, split, f"g-{name}", turns)


def clip(of: Dialogue, number: int) -> Clip:
    text = of.turns[number - 1].text
    return Planted(
        f"{of.id}-t{number}", text, "en", "dev", "user", 1.0, "v", None, of.group, "reccon", Path(), None
    )


@pytest.fixture
def turns() -> list[SpokenTurn]:
    rome, oslo = dialogue("Rome"), dialogue("Oslo")
    return spoken_turns([rome, oslo], [clip(rome, 2), clip(rome, 3), clip(oslo, 3)])


def test_f1_counts_words_as_squad_does() -> None:
    assert token_f1("The late exam!", "late for the exam") == pytest.approx(2 * 2 / (2 + 3))
    assert token_f1("it's  the END", "its end") == 1
    assert token_f1("the the bus", "bus bus") == pytest.approx(2 / 3)
    assert token_f1("", "bus") == token_f1("the", "an") == token_f1("car", "bus") == 0


@given(st.text(), st.text())
def test_f1_is_symmetric_and_1_only_for_the_same_words(one: str, other: str) -> None:
    f1 = token_f1(one, other)
    assert f1 == token_f1(other, one) and 0 <= f1 <= 1
    assert exact(one, other) <= within(one, other) and exact(one, other) <= f1


def test_within_wants_a_run_of_the_spans_words() -> None:
    span = "because you are late for the exam"
    assert within("late for exam", span) == within(span, span) == exact(span, span) == 1
    assert within("you late", span) == within("", span) == exact("late", span) == 0
    assert within(span, "late") == 0


def test_turns_are_annotated_dev_turns_that_were_recorded(turns: list[SpokenTurn]) -> None:
    assert [(t.dialogue.id, t.turn.number) for t in turns] == [("Rome", 2), ("Rome", 3), ("Oslo", 3)]
    assert turns[1].past == (UserTurn("I missed the bus in Rome."), AssistantTurn(turns[0].turn.text))
    assert turns[0].previous == "I missed the bus in Rome."
    train = dialogue("Rome", "train")
    with pytest.raises(DataError, match="no dev turn"):
        spoken_turns([train], [clip(train, 2)])


def test_scores_of_known_answers(turns: list[SpokenTurn]) -> None:
    answers = [("anger", "late for the exam"), ("sad", "missed the bus"), (None, None)]
    values = {measure: ratios.value() for measure, ratios in score(turns, answers).items()}
    assert values == pytest.approx(
        {
            "cause F1": (1 + 2 * 2 / 5 + 0) / 3, "cause exact": 1 / 3, "cause within": 2 / 3,
            "cause named": 2 / 3, "emotion accuracy": 2 / 3, "emotion UAR": (1 + 1 / 2) / 2,
        }
    )  # fmt: skip


def test_the_think_block_is_opened_and_read_up_to_its_end(turns: list[SpokenTurn]) -> None:
    asked = []

    class Scripted(Writer):
        def prompt(self, turns, opening=""):  # type: ignore[no-untyped-def]
            asked.append((len(turns), opening))
            return super().prompt(turns, opening)

        def write(self, prompts, most, stop=None):  # type: ignore[no-untyped-def]
            asked.append((most, stop))
            text = 'The speaker feels sad because: "the bus"'
            return [attribution_written(text) for _ in prompts]

    def attribution_written(text: str):  # type: ignore[no-untyped-def]
        from harken.evaluation.writing import Written

        return Written(text, [])

    model = tiny_model()
    named = think(Scripted(model), [(turns[1].past, UserTurn("Yes."))])
    assert named == [("sad", "the bus")]
    assert asked == [(3, "<think>\n"), (model.recipe.max_trace_tokens, "</think>")]


def test_both_sides_and_the_trivial_answers_stand_in_the_report(
    turns: list[SpokenTurn], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted: list[list[Named]] = [
        [("anger", "the exam"), ("sad", "I missed the bus"), (None, None)],
        [("anger", "late for the exam"), ("sad", "I missed the bus"), ("sad", "be so cross")],
    ]
    monkeypatch.setattr(attribution, "think", lambda writer, asked: planted.pop(0))
    report = evaluate_attribution(Writer(tiny_model()), turns)
    figures = {(row["system"], row["measure"]): row["value"] for row in report.rows}
    f1 = {row["system"]: row["value"][0] for row in report.rows if row["measure"] == "cause F1"}  # type: ignore[index]
    assert f1["speech"] == pytest.approx((2 / 4 * 1 + 1 + 0) / 3)
    assert f1["true words"] == 1
    assert f1["speech - true words"] == pytest.approx(f1["speech"] - 1)
    assert f1["baseline: the turn before"] == 0
    assert f1["baseline: the whole turn"] == pytest.approx(2 * 3 / (3 + 8))
    assert figures["baseline: always sad", "emotion accuracy"] == 2 / 3
    counts = {"turns": 3, "neutral turns": 0, "dialogues": 2, "emotions": {"anger": 1, "sad": 2}}
    assert report.setting["data"] == counts


def test_neutral_turns_are_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    rome, oslo = dialogue("Rome"), dialogue("Oslo")
    clips = [clip(one, number) for one in (rome, oslo) for number in (1, 2)]
    felt, neutral = spoken_turns([rome, oslo], clips), neutral_turns([rome, oslo], clips)
    assert [turn.turn.number for turn in felt] == [2, 2] and [turn.turn.number for turn in neutral] == [1, 1]
    planted: list[list[Named]] = [
        *([("anger", None)] * 2 for _ in range(2)),
        [("neutral", None), ("sad", "the bus")],
        [("neutral", None)] * 2,
    ]
    monkeypatch.setattr(attribution, "think", lambda writer, asked: planted.pop(0))
    report = evaluate_attribution(Writer(tiny_model()), felt, neutral)
    of = {row["system"]: row for row in report.rows if row["data"] == "reccon dev, neutral turns"}
    assert {system: row["value"][0] for system, row in of.items()} == {"speech": 0.5, "true words": 1.0}
    assert {row["n"] for row in of.values()} == {2}
