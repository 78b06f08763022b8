"""Published figures hold together: totals come out of their own columns by the formulas that Harken uses."""

from __future__ import annotations

import pytest
from judged_as import judged_as

from harken.evaluation.humdial.scores import final_interval
from harken.evaluation.published import IEAT, TABLE_1, TABLE_2, TELEVAL_AQA, Published
from harken.evaluation.spoken_qa import AQA_WEIGHTS, SET_SIZES, aqa_ratios

BY_SET = {row.system: row.scores for row in TELEVAL_AQA}
BASELINES = [row for row in TABLE_1 if row.system != IEAT]


@pytest.mark.parametrize(
    ("row", "final"),
    list(zip(TABLE_2, (4.270, 4.244, 4.211, 4.066, 2.823), strict=True)),
    ids=lambda x: str(x)[:30],
)
def test_final_scores_of_table_2_come_out_of_its_columns(row: Published, final: float) -> None:
    s = row.scores
    computed = final_interval({"en": judged_as(s["Task1"], s["Task2"], s["Task3"], s["Hum"], s["Hum"])})
    assert computed is not None and computed.value == pytest.approx(final, abs=0.0005)
    assert computed.value == pytest.approx(s["Final"], abs=0.01)


@pytest.mark.parametrize("row", BASELINES, ids=lambda row: row.system)
@pytest.mark.parametrize("column", AQA_WEIGHTS)
def test_aqa_columns_of_table_1_come_out_of_televals_sets(row: Published, column: str) -> None:
    of_sets = {name: [BY_SET[row.system][name]] for name in AQA_WEIGHTS[column]}
    assert aqa_ratios(column, of_sets).value() == pytest.approx(row.scores[column], abs=0.01)


def test_there_are_five_baselines_and_the_papers_own_system_leads() -> None:
    assert len(BASELINES) == 5
    assert TABLE_1[-1].system == TABLE_2[0].system == IEAT
    tasks = [f"Task{number}-{language}" for number in (1, 2, 3) for language in ("zh", "en")]
    assert all(TABLE_1[-1].scores[task] == max(row.scores[task] for row in TABLE_1) for task in tasks)


def test_chinesesimpleqa_counts_as_the_paper_weighs_it_and_not_by_its_size() -> None:
    by_size = {name: SET_SIZES[name] for name in AQA_WEIGHTS["AQA-zh"]}
    scores = BY_SET["Freeze-Omni"]
    weighed = sum(n * scores[name] for name, n in by_size.items()) / sum(by_size.values())
    assert abs(weighed - 21.23) > 1


@pytest.mark.parametrize("row", TELEVAL_AQA, ids=lambda row: row.system)
def test_televals_means_are_over_all_questions(row: Published) -> None:
    questions = sum(n * row.scores[name] for name, n in SET_SIZES.items())
    assert questions / sum(SET_SIZES.values()) == pytest.approx(row.scores["mean"], abs=0.01)


def test_every_figure_is_on_its_scale_and_says_where_it_is_from() -> None:
    for row in (*TABLE_1, *TABLE_2, *TELEVAL_AQA):
        assert row.source
        for column, score in row.scores.items():
            humdial = column.startswith(("Task", "Hum", "Final"))
            assert 1 <= score <= 5 if humdial else 0 <= score <= 100
