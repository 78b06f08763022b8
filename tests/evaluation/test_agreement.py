"""Agreement with people, labels and itself, against values of SciPy's documentation or worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.errors import DataError, InputError
from harken.evaluation import agreement as module
from harken.evaluation.agreement import (
    agreement,
    calibration,
    kendall,
    quadratic_kappa,
    repeatability,
    spearman,
    system_agreement,
)
from harken.evaluation.ratings import Rating, mean_ratings, read_ratings


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESAMPLES", 200)


def test_spearman_is_that_of_scipy_s_documentation() -> None:
    found = spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7])
    assert found and found.value == pytest.approx(0.8207826816681233)


def test_kendall_is_that_of_scipy_s_documentation() -> None:
    found = kendall([12, 2, 1, 12, 2], [1, 4, 7, 1, 0])
    assert found and found.value == pytest.approx(-0.47140452079103173)


def test_quadratic_kappa_is_the_one_worked_out_by_hand() -> None:
    # Squared distances: 0, 0, 1, 4; their mean is 5/4. By chance, over the 16 pairs of {1, 2, 3, 3} and
    # {1, 2, 2, 1}: (0+1+1+0) + (1+0+0+1) + 2·(4+1+1+4) = 24, so 24/16 = 3/2. Kappa = 1 - (5/4)/(3/2) = 1/6.
    found = quadratic_kappa([1, 2, 3, 3], [1, 2, 2, 1])
    assert found and found.value == pytest.approx(1 / 6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=20))
def test_quadratic_kappa_is_scikit_learn_s(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import cohen_kappa_score

    a, b = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    ours = module._kappa(a, b)
    if np.isnan(ours):
        assert set(a) == set(b) and len(set(a)) == 1
    else:
        theirs = cohen_kappa_score(a, b, labels=[1, 2, 3, 4, 5], weights="quadratic")
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_the_same_scores_agree_and_reversed_ones_oppose() -> None:
    a = [1, 2, 3, 4, 5, 5, 1]
    for statistic in (spearman, kendall, quadratic_kappa):
        same, reverse = statistic(a, a), statistic(a, [6 - x for x in a])
        assert same and same.value == pytest.approx(1) and same.low == pytest.approx(1)
        assert reverse and reverse.value < -0.9


def test_a_constant_judge_has_no_rank_correlation_and_no_agreement_beyond_chance() -> None:
    assert spearman([3, 3, 3], [1, 2, 3]) is None and kendall([1, 2, 3], [3, 3, 3]) is None
    found = quadratic_kappa([3, 3, 3], [1, 2, 3])
    assert found and found.value == pytest.approx(0, abs=1e-12)
    assert quadratic_kappa([10 / 3] * 3, [10 / 3] * 3) is None


def test_the_interval_holds_the_figure_and_is_the_same_for_the_same_seed() -> None:
    random = np.random.default_rng(0)
    a = random.normal(size=60)
    b = a + random.normal(size=60)
    found = spearman(a, b, seed=1)
    assert found and found.low < found.value < found.high
    assert 0.1 < found.high - found.low < 0.5
    assert spearman(a, b, seed=1) == found != spearman(a, b, seed=2)


def test_items_of_one_group_are_drawn_together() -> None:
    random = np.random.default_rng(0)
    a = np.repeat(random.normal(size=8), 20)
    b = a + np.repeat(random.normal(size=8), 20)
    by_item, by_group = spearman(a, b), spearman(a, b, np.repeat(np.arange(8), 20))
    assert by_item and by_group and by_item.value == by_group.value
    assert by_group.high - by_group.low > 2 * (by_item.high - by_item.low)


def test_unequal_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        spearman([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="1 groups for 2 items"):
        kendall([1, 2], [1, 2], ["a"])


def test_raters_are_compared_on_the_items_that_both_have() -> None:
    ours = {"a": 1.0, "b": 2.0, "c": 3.0, "only ours": 1.0}
    theirs = {"c": 3.0, "b": 2.0, "a": 1.0, "only theirs": 5.0}
    found = agreement(ours, theirs, {"a": "1", "b": "1", "c": "2"})
    assert found.n == 3 and found.spearman and found.kendall and found.kappa
    assert found.spearman.value == found.kendall.value == found.kappa.value == pytest.approx(1)
    with pytest.raises(InputError, match="no item in common"):
        agreement({"a": 1}, {"b": 1})


def items(mean: float) -> dict[str, float]:
    return {str(n): mean + (n % 3) for n in range(12)}


def test_rankings_of_systems_agree_as_far_as_pairs_do() -> None:
    judged = {"A": items(1), "B": items(2), "C": items(3)}
    measured = {"A": items(10), "B": items(30), "C": items(20)}
    found = system_agreement(judged, measured)
    assert found.kendall and found.kendall.value == pytest.approx(1 / 3)  # 2 pairs of 3 the same way
    assert found.swapped == (("C", "B"),) and found.n == 12
    same = system_agreement(judged, judged)
    assert same.kendall and same.kendall.low == pytest.approx(1) and same.swapped == ()


def test_a_ranking_that_hangs_on_few_items_has_a_wide_interval() -> None:
    random = np.random.default_rng(0)
    measured = {name: dict(zip(items(0), random.normal(size=12).tolist(), strict=True)) for name in "ABCD"}
    found = system_agreement({name: items(n) for n, name in enumerate("ABCD")}, measured)
    assert found.kendall and found.kendall.high - found.kendall.low > 0.5


def test_rankings_need_the_same_systems_and_common_items() -> None:
    with pytest.raises(InputError, match="same two systems"):
        system_agreement({"A": items(1)}, {"A": items(1)})
    with pytest.raises(InputError, match="A, B are judged, A, C measured"):
        system_agreement({"A": items(1), "B": items(1)}, {"A": items(1), "C": items(1)})
    with pytest.raises(InputError, match="no item in common"):
        system_agreement({"A": {"1": 1.0}, "B": {"2": 1.0}}, {"A": {"1": 1.0}, "B": {"2": 1.0}})


def test_the_isotonic_fit_pools_what_falls() -> None:
    # shares correct at 1, 2, 3, 4: 0/2, 2/2, 1/2, 2/2; those at 2 and 3 fall and are pooled to 3/4
    found = calibration([1, 1, 2, 2, 3, 3, 4, 4], [0, 0, 1, 1, 1, 0, 1, 1])
    assert found.scores == (1.0, 2.0, 3.0, 4.0)
    assert found.correct == pytest.approx((0, 0.75, 0.75, 1)) and found.n == 8


def test_a_score_that_says_nothing_of_correctness_has_a_flat_fit() -> None:
    found = calibration([1, 2, 3, 4] * 2, [1, 1, 0, 0] * 2)
    assert found.correct == pytest.approx((0.5,) * 4)


def test_calibration_is_tested_on_groups_that_the_fit_has_not_seen() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(1, 6, 600)
    honest = calibration(scores, random.random(600) < scores / 5)
    assert honest.error is not None and honest.error < 0.08
    # in one dialogue 5 means right, in the other it means wrong: a fit on one does not hold on the other
    scores, groups = np.array([1, 5] * 40), np.repeat(["a", "b"], 40)
    torn = calibration(scores, (scores == 5) == (groups == "a"), groups)
    assert torn.error is not None and torn.error > 0.4
    assert calibration([1, 2], [0, 1], ["a", "a"]).error is None


def test_variance_over_repeats_is_the_one_worked_out_by_hand() -> None:
    # Means 1, 3, 5 of repeats (1, 1), (2, 4), (5, 5). Within: (0 + 2 + 0) / 3. The mean squares between are
    # 2·(4 + 0 + 4) / 2 = 8, and (8 - 2/3) / 2 = 11/3 of it are the items' own.
    found = repeatability({"a": [1, 1], "b": [2, 4], "c": [5, 5], "once": [3], "never": []})
    assert found.within == pytest.approx(2 / 3) and found.between == pytest.approx(11 / 3)
    assert found.agreeing == pytest.approx(2 / 3) and found.n == 3


def test_a_judge_that_repeats_itself_and_one_that_draws_lots() -> None:
    steady = repeatability({str(n): [n % 5, n % 5, n % 5] for n in range(20)})
    assert (steady.within, steady.agreeing) == (0.0, 1.0) and steady.between > 1
    random = np.random.default_rng(0)
    lots = repeatability({str(n): random.integers(1, 6, 4).tolist() for n in range(100)})
    assert lots.between < 0.2 * (lots.within + lots.between) and lots.agreeing < 0.1
    constant = repeatability({"a": [10 / 3] * 3, "b": [10 / 3] * 6})
    assert constant.within + constant.between < 1e-12 and constant.agreeing == 1.0
    with pytest.raises(InputError, match="two scores"):
        repeatability({"a": [1, 2], "b": [1]})


HEADER = "id,dimension,rating,rater\n"


def ratings_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_ratings_are_read_and_averaged_over_raters(tmp_path: Path) -> None:
    path = ratings_file(
        tmp_path, "\ufeffrater,id,dimension,rating,note\nann, x ,care,4,\nben,x,care,2.5,hm\nann,x,depth,1,\n"
    )
    found = read_ratings(path)
    assert found[0] == Rating("x", "care", 4.0, "ann") and len(found) == 3
    assert mean_ratings(found, "care") == {"x": 3.25}
    assert mean_ratings(found, "wit") == {}


def test_bad_rows_are_named_with_their_lines(tmp_path: Path) -> None:
    path = ratings_file(
        tmp_path,
        HEADER + 'x,care,4,ann\nx,care,high,ben\n,care,4,ben\nx,care\n"a\nb",care,5,ann\n'
        "x,care,nan,cy\nx,care,3,ann\n",
    )
    with pytest.raises(DataError) as raised:
        read_ratings(path)
    assert raised.value.message == (
        f"{path}: line 3: rating 'high' is not a number; line 4: no id; line 5: no rating; "
        "line 8: rating 'nan' is not a number; line 9: rated before by ann, in line 2"
    )


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 6: no rater; and 3 more"):
        read_ratings(ratings_file(tmp_path, HEADER + "x,care,4,\n" * 8))


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no column 'id'"), ("id,dimension,rater\n", "no column 'rating'"), (HEADER, "has no ratings")],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_ratings(ratings_file(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(HEADER.encode() + b"x,care,4,Andr\xe9\n")
    for name in ("latin.csv", "none.csv"):
        with pytest.raises(DataError, match="cannot be read"):
            read_ratings(tmp_path / name)
