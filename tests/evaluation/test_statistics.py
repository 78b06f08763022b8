"""Recall, calibration and bootstrap intervals, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.evaluation.statistics import (
    Interval,
    Ratios,
    difference_between,
    effect_size,
    expected_calibration_error,
    paired_bootstrap,
    recall_ratios,
    unweighted_average_recall,
)


def test_every_class_counts_the_same_however_rare() -> None:
    truth = [0] * 8 + [1] * 2
    predicted = [0] * 8 + [1, 0]
    assert unweighted_average_recall(truth, predicted) == pytest.approx((1.0 + 0.5) / 2)


def test_classes_that_do_not_occur_are_left_out_of_recall() -> None:
    assert unweighted_average_recall(["sad", "sad"], ["sad", "fear"]) == pytest.approx(0.5)


def test_recall_refuses_unequal_lengths_and_nothing() -> None:
    with pytest.raises(ValueError, match="equally long"):
        unweighted_average_recall([0, 1], [0])
    with pytest.raises(ValueError, match="equally long"):
        unweighted_average_recall([], [])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_recall_is_the_mean_of_each_class_recall(pairs: list[tuple[int, int]]) -> None:
    recalls = []
    for label in {true for true, _ in pairs}:
        guesses = [guess for true, guess in pairs if true == label]
        recalls.append(guesses.count(label) / len(guesses))
    truth, predicted = zip(*pairs, strict=True)
    assert unweighted_average_recall(truth, predicted) == pytest.approx(sum(recalls) / len(recalls))


def test_calibration_error_is_zero_when_confidence_is_accuracy() -> None:
    probabilities = [[0.75, 0.25]] * 4
    assert expected_calibration_error(probabilities, [0, 0, 0, 1]) == pytest.approx(0.0)


def test_calibration_error_of_sure_and_wrong_is_one() -> None:
    assert expected_calibration_error([[1.0, 0.0]] * 3, [1, 1, 1]) == pytest.approx(1.0)


def test_calibration_error_weighs_bins_by_their_clips() -> None:
    probabilities = [[0.9, 0.1]] * 3 + [[0.6, 0.4]]  # 3 right at 0.9, 1 wrong at 0.6
    assert expected_calibration_error(probabilities, [0, 0, 0, 1]) == pytest.approx((3 * 0.1 + 0.6) / 4)


def test_the_interval_of_a_clear_difference_is_above_zero_and_that_of_a_tie_is_not() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 4, 600)
    good = np.where(random.random(600) < 0.8, truth, (truth + 1) % 4)
    poor = np.where(random.random(600) < 0.6, truth, (truth + 1) % 4)
    clear = paired_bootstrap(recall_ratios(truth, good), recall_ratios(truth, poor))
    assert 0 < clear.low < clear.value < clear.high
    tie = paired_bootstrap(recall_ratios(truth, good), recall_ratios(truth, good))
    assert tie == Interval(0.0, 0.0, 0.0)


def test_the_interval_of_a_mean_difference_is_the_normal_one() -> None:
    random = np.random.default_rng(2)
    ours, baseline = random.normal(0.3, 1, (400, 1)), random.normal(0, 1, (400, 1))
    ones = np.ones((400, 1))
    interval = paired_bootstrap(Ratios(ours, ones), Ratios(baseline, ones))
    half = 1.96 * float((ours - baseline).std(ddof=1)) / 400**0.5
    assert interval.high - interval.value == pytest.approx(half, rel=0.1)
    assert interval.value - interval.low == pytest.approx(half, rel=0.1)


def test_groups_that_move_together_widen_the_interval() -> None:
    groups = np.repeat(np.arange(10), 50)
    ours = (groups % 2).astype(float)[:, None]  # the system is right on whole groups
    ones, zeros = np.ones((500, 1)), np.zeros((500, 1))
    by_item = paired_bootstrap(Ratios(ours, ones), Ratios(zeros, ones))
    by_group = paired_bootstrap(Ratios(ours, ones), Ratios(zeros, ones), groups)
    assert by_group.high - by_group.low > 3 * (by_item.high - by_item.low)
    assert by_group.value == by_item.value


def test_the_same_seed_gives_the_same_interval() -> None:
    random = np.random.default_rng(3)
    ours, baseline = (Ratios(random.random((40, 1)), np.ones((40, 1))) for _ in range(2))
    assert paired_bootstrap(ours, baseline, seed=5) == paired_bootstrap(ours, baseline, seed=5)
    assert paired_bootstrap(ours, baseline, seed=5) != paired_bootstrap(ours, baseline, seed=6)


def test_systems_that_saw_different_items_cannot_be_compared() -> None:
    short, long = (recall_ratios([0] * n, [0] * n) for n in (3, 4))
    with pytest.raises(ValueError, match="different items"):
        paired_bootstrap(short, long)
    with pytest.raises(ValueError, match="2 groups for 3 items"):
        paired_bootstrap(short, short, ["a", "b"])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_the_interval_lies_within_what_is_possible(pairs: list[tuple[bool, bool]]) -> None:
    ours, baseline = (np.array(column, dtype=float)[:, None] for column in zip(*pairs, strict=True))
    ones = np.ones_like(ours)
    interval = paired_bootstrap(Ratios(ours, ones), Ratios(baseline, ones), resamples=200)
    assert -1 <= interval.low <= interval.high <= 1
    assert interval.value == pytest.approx(float((ours - baseline).mean()))


def test_a_difference_between_two_sides_has_the_pooled_deviation_and_resamples_groups() -> None:
    difference, effect = difference_between([3.0, 5.0], [1.0, 3.0], range(4))
    assert difference.value == pytest.approx(2.0) and effect.value == pytest.approx(2 / np.sqrt(2))
    dice = np.random.default_rng(0)
    left, right = dice.normal(1.0, 2.0, 300), dice.normal(0.0, 2.0, 300)
    difference, effect = difference_between(left, right, np.arange(600))
    assert difference.low < 1.0 < difference.high and effect.low < 0.5 < effect.high
    one_group = difference_between(left, right, np.zeros(600))[0]
    assert one_group.low == pytest.approx(one_group.high) == pytest.approx(one_group.value)
    assert difference_between([1.0, 1.0], [1.0, 1.0], range(4))[1].value == 0.0
    with pytest.raises(ValueError, match="two values or more"):
        difference_between([1.0], [1.0, 2.0], range(3))


def test_an_effect_size_is_the_mean_over_the_standard_deviation() -> None:
    found = effect_size([1.0, 2.0, 3.0])
    assert found.value == 2.0 and found.low <= 2.0 <= found.high
    assert effect_size([0.0, 0.0]).value == 0.0
    spread = effect_size(np.random.default_rng(0).normal(0.5, 1.0, 400))
    assert 0.3 < spread.low < 0.5 < spread.high < 0.7
    with pytest.raises(ValueError, match="two differences or more"):
        effect_size([1.0])
