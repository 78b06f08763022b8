"""HumDial's Track 1: its dialogues read and written, and what verdicts come to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_as import judged_as

from harken.errors import DataError
from harken.evaluation.humdial.dialogues import (
    Dialogue,
    Turn,
    excluded,
    read_dialogues,
    target_turn,
    write_dialogues,
)
from harken.evaluation.humdial.scores import (
    D1,
    D2,
    MEAN,
    TASKS,
    WEIGHTS,
    Verdict,
    final_interval,
    judged,
    snapped,
    task_means,
)
from harken.evaluation.language import Language, written_in

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
MAYBE = st.none() | TEXTS
TURNS = st.builds(Turn, st.integers(0, 10**6), TEXTS, MAYBE, MAYBE, MAYBE, MAYBE)
DIALOGUES = st.builds(
    Dialogue,
    TEXTS,
    st.lists(TURNS, min_size=1, max_size=5, unique_by=lambda turn: turn.turn_id).map(tuple),
)


def dialogue(*emotions: str | None, name: str = "d") -> Dialogue:
    return Dialogue(name, tuple(Turn(n, f"turn {n}", emotion) for n, emotion in enumerate(emotions, 1)))


# Dialogues


@given(st.lists(DIALOGUES, max_size=3, unique_by=lambda d: d.dialogue_id))
def test_dialogues_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, dialogues: list[Dialogue]
) -> None:
    path = tmp_path_factory.mktemp("humdial") / "t1.jsonl"
    write_dialogues(path, dialogues)
    assert read_dialogues(path) == (dialogues, [])


def test_the_challenges_own_form_is_read_and_tags_stay_in_the_text(tmp_path: Path) -> None:
    path = tmp_path / "t3.jsonl"
    turns = [
        {"turn_id": 1, "text": "I failed. [sigh]", "emotion": "sad", "split_audio_file": "task3/turn_1.wav",
         "response_text": "Oh no.", "response_audio": "task3_model/turn_1_response.wav"},
        {"turn_id": "2", "input_text": "[laughter] 算了！", "text": "x", "input_emotion": "happy"},
    ]  # fmt: skip
    path.write_text(
        json.dumps({"dialogue_id": "zh_0001_0003", "turns": turns}) + "\n\n", encoding="utf-8-sig"
    )
    (read,), problems = read_dialogues(path)
    assert problems == []
    assert read.turns == (
        Turn(1, "I failed. [sigh]", "sad", "task3/turn_1.wav", "Oh no.", "task3_model/turn_1_response.wav"),
        Turn(2, "[laughter] 算了！", "happy"),
    )
    write_dialogues(path, [read])
    assert json.loads(path.read_text())["turns"][0] == turns[0]
    assert json.loads(path.read_text())["turns"][1] == {
        "turn_id": 2, "text": "[laughter] 算了！", "emotion": "happy",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"turns": []}, "has no turns"),
        ({"turns": {}}, "has no turns"),
        ({}, "has no turns"),
        ({"turns": ["hello"]}, "turn 1 of the list is not an object"),
        ({"turns": [{"text": "x"}]}, "turn 1 of the list has no turn_id"),
        ({"turns": [{"turn_id": True, "text": "x"}]}, "turn 1 of the list has no turn_id"),
        ({"turns": [{"turn_id": 1, "text": "x"}, {"turn_id": 2}]}, "turn 2 of the list has no text"),
        ({"turns": [{"turn_id": 1, "text": 5}]}, "turn 1 of the list: text is not text"),
        ({"turns": [{"turn_id": 1, "text": "x", "emotion": 2}]}, "turn 1 of the list: emotion is not text"),
        ({"turns": [{"turn_id": 1, "text": "x"}] * 2}, "turn_id 1 occurs more than once"),
    ],
)
def test_a_bad_dialogue_is_a_problem_and_the_next_is_read(
    tmp_path: Path, row: dict[str, Any], what: str
) -> None:
    path = tmp_path / "t1.jsonl"
    good = {"dialogue_id": "good", "turns": [{"turn_id": 1, "text": "x"}]}
    path.write_text(json.dumps({"dialogue_id": "bad"} | row) + "\n" + json.dumps(good))
    dialogues, problems = read_dialogues(path)
    assert [d.dialogue_id for d in dialogues] == ["good"]
    assert [(problem.id, problem.what) for problem in problems] == [("bad", what)]


def test_bad_lines_and_doubled_or_missing_ids_are_problems(tmp_path: Path) -> None:
    path = tmp_path / "t1.jsonl"
    rows = [{"dialogue_id": "a", "turns": [{"turn_id": 1, "text": text}]} for text in ("first", "second")]
    lines = [*map(json.dumps, rows), '{"dialogue_id": ', "7", json.dumps({"turns": rows[0]["turns"]})]
    path.write_text("\n".join(lines))
    (kept,), problems = read_dialogues(path)
    assert kept.turns[0].text == "first"
    assert [(problem.id, problem.what.split(":")[0]) for problem in problems] == [
        (None, "line 3 is not JSON"),
        (None, "line 4 is not a JSON object"),
        ("a", "occurs again in line 2"),
        (None, "line 5 has no dialogue_id"),
    ]
    with pytest.raises(DataError, match="cannot be read"):
        read_dialogues(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="cannot be written"):
        write_dialogues(path / "t1.jsonl", [])


def test_the_two_readings_of_the_target_turn_differ() -> None:
    told = dialogue("fear", "Neutral", "sad", None, "happy", "neutral")
    assert target_turn(told, "second").turn_id == 3
    assert target_turn(told, "last").turn_id == 5
    assert target_turn(dialogue("neutral", "sad"), "last").turn_id == 2


def test_a_dialogue_without_a_target_turn_is_named() -> None:
    calm, one = dialogue("neutral", None, name="calm"), dialogue("neutral", "sad", name="one")
    with pytest.raises(
        DataError, match="calm: too few turns with an emotion other than neutral: 0, not 1"
    ) as error:
        target_turn(calm, "last")
    assert error.value.hint
    with pytest.raises(DataError, match="one: too few turns with an emotion other than neutral: 1, not 2"):
        target_turn(one, "second")
    assert target_turn(one, "last") == one.turns[1]


def test_withdrawn_dialogues_are_known() -> None:
    assert excluded("task2_4_en_0002_0014") and not excluded("task2_4_en_0002_0015")
    assert all(excluded(f"task2_{turns}_zh_0015_0003") for turns in (3, 4, 5))
    assert not excluded("task2_3_en_0015_0003") and not excluded("task1_3_zh_0015_0003")


# Languages


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I am so sorry to hear that.", "en"),
        ("听到这个我很难过。", "zh"),
        ("我喜欢用 iPhone", "zh"),
        ("My grandmother always called it 饺子.", "en"),
        ("[laughter] 哈哈", "zh"),
        ("[sigh]", None),
        ("123!", None),
        ("", None),
        ("はい", None),
    ],
)
def test_the_language_of_a_text(text: str, language: Language | None) -> None:
    assert written_in(text) == language


# Scores


def scores(task: int, *given_scores: float) -> dict[str, float]:
    return dict(zip(TASKS[task].dimensions, given_scores, strict=False))


@pytest.mark.parametrize(
    ("given_score", "scale_score"), [(1, 1), (2, 1), (2.5, 3), (3, 3), (4, 3), (4.2, 5), (5, 5)]
)
def test_tasks_1_and_2_are_snapped_and_task_3_is_not(given_score: float, scale_score: float) -> None:
    assert snapped(given_score) == scale_score
    for number, expected in ((1, scale_score), (2, scale_score), (3, given_score)):
        verdict = judged("d", TASKS[number], "I see.", "en", scores(number, *[given_score] * 3))
        assert verdict == Verdict("d", dict.fromkeys(TASKS[number].dimensions, expected))


def test_a_score_that_is_missing_or_off_the_scale_is_unscored_alone() -> None:
    names = TASKS[3].dimensions
    for given_scores in ((4,), (4, 0, 6), (4, float("nan"), float("inf"))):
        verdict = judged("d", TASKS[3], "I see.", "en", scores(3, *given_scores))
        assert verdict.scores == dict(zip(names, (4, None, None), strict=True))
    assert judged("d", TASKS[3], "I see.", "en", scores(3, 0, 6, -1)) == Verdict("d", None)
    assert judged("d", TASKS[3], "I see.", "en", {}) == Verdict("d", None)


def test_a_reply_in_the_other_language_scores_1_whatever_the_judge_says() -> None:
    task = TASKS[1]
    ones = dict.fromkeys(task.dimensions, 1.0)
    assert judged("d", task, "You were sad.", "zh", scores(1, 5, 5, 5)).scores == ones
    assert judged("d", task, "你很难过。", "en", None).scores == ones
    assert judged("d", task, "你很难过。", "zh", None) == Verdict("d", None)
    assert judged("d", task, "...", "zh", scores(1, 3, 3, 3)).scores == dict.fromkeys(task.dimensions, 3)
    fives = dict.fromkeys(task.dimensions, 5)
    assert judged("d", task, "你很难过。", "zh", scores(1, 5, 5, 5)).scores == fives


def test_means_count_what_is_unscored_and_do_not_take_it_for_1() -> None:
    task = TASKS[3]
    whole = [Verdict(f"d{n}", dict(zip(task.dimensions, (5, 4, 3), strict=True))) for n in range(20)]
    lower = [Verdict(f"e{n}", dict.fromkeys(task.dimensions, 3)) for n in range(20)]
    partial = [Verdict("p", {D1: 1.0, D2: None})]
    means = task_means(task, [*whole, *lower, *partial, Verdict("none", None)])
    assert set(means) == {*task.dimensions, MEAN}
    text, overall = means[D1], means[MEAN]
    assert (text.scored, text.unscored) == (41, 1) and (overall.scored, overall.unscored) == (40, 2)
    assert text.value is not None and overall.value is not None
    assert text.value.value == pytest.approx((20 * 5 + 20 * 3 + 1) / 41)
    assert overall.value.value == pytest.approx(3.5)
    assert 3 < overall.value.low < 3.5 < overall.value.high < 4
    nothing = task_means(task, [Verdict("a", None)])[MEAN]
    assert (nothing.value, nothing.scored, nothing.unscored) == (None, 0, 1)


def test_verdicts_on_one_dialogue_are_resampled_together() -> None:
    task = TASKS[1]

    def width(names: list[str]) -> float:
        verdicts = [
            Verdict(n, dict.fromkeys(task.dimensions, 5 - i // 10 % 2 * 4)) for i, n in enumerate(names)
        ]
        value = task_means(task, verdicts)[MEAN].value
        assert value is not None and value.value == 3
        return value.high - value.low

    repeated, apart = [f"d{n // 10}" for n in range(200)], [f"d{n}" for n in range(200)]
    assert width(repeated) > 2 * width(apart)


@pytest.mark.parametrize(
    ("zh", "en", "final"),
    [
        # The challenge's results: mean of tasks 1 and 2, D1, D2, D3 and the final score, by language.
        ((4.98, 4.96, 3.87, 3.69, 3.87, 4.26), (4.96, 5.00, 3.84, 3.89, 3.69, 4.27), 4.27),  # TeleAI
        ((4.92, 5.00, 4.10, 3.50, 3.74, 4.20), (4.89, 5.00, 4.18, 3.92, 3.61, 4.28), 4.24),  # NJU-TencentHY
        ((4.93, 4.61, 3.92, 3.73, 3.81, 4.18), (4.59, 4.91, 4.13, 3.96, 3.72, 4.23), 4.21),  # BJTU_Unisound
        ((2.41, 5.00, 4.96, 3.62, 3.76, 3.82), (4.94, 4.84, 4.91, 3.87, 3.56, 4.30), 4.06),  # SenseDialog
        ((3.21, 3.25, 3.28, 3.00, 3.31, 3.20), (2.03, 2.22, 2.19, 2.70, 2.81, 2.45), 2.82),  # baseline
    ],
)
def test_the_challenges_results_come_out_of_their_columns(
    zh: tuple[float, ...], en: tuple[float, ...], final: float
) -> None:
    sides: dict[Language, dict[int, list[Verdict]]] = {"zh": judged_as(*zh[:5]), "en": judged_as(*en[:5])}
    computed = [final_interval(part) for part in ({"zh": sides["zh"]}, {"en": sides["en"]}, sides)]
    assert [found.value for found in computed if found] == pytest.approx([zh[5], en[5], final], abs=0.01)


def made_up_verdicts(seed: int) -> dict[int, list[Verdict]]:
    random = np.random.default_rng(seed)
    return {
        number: [
            Verdict(f"task{number}_{n}", {d: float(random.choice(task.scale)) for d in task.dimensions})
            for n in range(40)
        ]
        for number, task in TASKS.items()
    }


def test_the_final_score_with_its_interval_is_the_formula_over_the_means() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    sides: dict[Language, dict[int, list[Verdict]]] = {"zh": made_up_verdicts(0), "en": made_up_verdicts(1)}
    sides["en"][1].append(Verdict("unscored", None))
    finals = []
    for language, verdicts in sides.items():
        means = {number: task_means(TASKS[number], verdicts[number]) for number in TASKS}
        parts = [(weight, means[number][name].value) for (number, name), weight in WEIGHTS.items()]
        computed = sum(weight * part.value for weight, part in parts if part is not None)
        interval = final_interval({language: verdicts})
        assert interval is not None and interval.value == pytest.approx(computed)
        assert interval.low < computed < interval.high
        finals.append(interval)
    both = final_interval(sides)
    assert both is not None and both.value == pytest.approx(sum(final.value for final in finals) / 2)
    assert both.high - both.low < min(final.high - final.low for final in finals)


def test_the_final_interval_is_as_wide_as_its_parts_make_it() -> None:
    verdicts = made_up_verdicts(2)
    interval = final_interval({"zh": verdicts})
    assert interval is not None

    def spread(number: int, weights: dict[str, float]) -> float:
        scores = [sum(w * (v.scores or {})[d] for d, w in weights.items()) for v in verdicts[number]]  # type: ignore[operator]
        return float(np.var(scores, ddof=1)) / len(scores)

    thirds = {number: dict.fromkeys(TASKS[number].dimensions, 0.2 / 3) for number in (1, 2)}
    third = {name: WEIGHTS[3, name] for name in TASKS[3].dimensions}
    error = (spread(1, thirds[1]) + spread(2, thirds[2]) + spread(3, third)) ** 0.5
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_there_is_no_final_score_where_a_part_is_unscored() -> None:
    verdicts = made_up_verdicts(3)
    assert final_interval({}) is None
    assert final_interval({"zh": verdicts | {1: []}}) is None
    assert final_interval({"zh": {1: verdicts[1], 2: verdicts[2]}}) is None
    text_only = [Verdict(v.dialogue_id, {D1: 4.0}) for v in verdicts[3]]
    assert final_interval({"zh": verdicts, "en": verdicts | {3: text_only}}) is None
