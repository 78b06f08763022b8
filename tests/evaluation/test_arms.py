"""Arms over several seeds: paired by item, and with intervals for other dialogues and other seeds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harken.cli import main
from harken.errors import DataError
from harken.evaluation.arms import arms_report
from harken.evaluation.item_scores import ItemScore, write_scores
from harken.evaluation.statistics import Ratios, crossed_bootstrap

MEASURE = "right emotion, own words"


def scored(
    folder: Path, run: str, scores: dict[str, float | None], data: str = "set", judge: str | None = None
) -> None:
    rows = [
        ItemScore(key, key[:-1], "en", "contrast", MEASURE, score, judge=judge)
        for key, score in scores.items()
    ]
    where = folder / run / "contrast"
    where.mkdir(parents=True)
    write_scores(where, {"data": data}, rows)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two arms of two seeds over three groups of two items."""
    for seed in (0, 1):
        scored(tmp_path, f"label-{seed}", {"a1": 0, "a2": 1, "b1": 0, "b2": seed, "c1": 0, "c2": 0})
        scored(tmp_path, f"no-vectors-{seed}", {"a1": 1, "a2": 1, "b1": 1, "b2": 1, "c1": 0, "c2": None})
    return tmp_path


def test_each_arm_has_its_mean_and_its_difference_on_the_items_of_both(runs: Path) -> None:
    report = arms_report(runs, ["label"])
    values = {row["system"]: (row["value"][0], row["n"]) for row in report.rows}
    assert values == {
        "label": (pytest.approx(3 / 12), 6),
        "no-vectors": (pytest.approx(8 / 10), 5),
        "no-vectors - label": (pytest.approx((2 + 3) / 10), 5),  # c2 is not scored in both
    }
    assert report.setting["runs"] == {"label": ["0", "1"], "no-vectors": ["0", "1"]}


def test_pairs_say_how_often_an_arm_scores_above_the_other(runs: Path) -> None:
    rows = {(row["system"], row["measure"]): row for row in arms_report(runs, ["label"], pairs=True).rows}
    pair = rows["no-vectors - label", f"{MEASURE}: share above"]
    # a1 and b1 won in both seeds, b2 in one; a2, c1 and b2 in the other equal
    assert pair["value"][0] == pytest.approx((5 + 5 / 2) / 10) and pair["n"] == 5
    assert rows["no-vectors - label", MEASURE]["value"][0] == pytest.approx(0.5)
    assert ("label", f"{MEASURE}: share above") not in rows


def test_the_picture_has_every_arm_and_difference(runs: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "arms.svg"
    assert main(["evaluate", "arms", str(runs), "--against", "label", "--picture", str(picture)]) == 0
    drawn = picture.read_text()
    assert all(name in drawn for name in ("no-vectors - label", "en contrast", "n = 6"))
    unknown = tmp_path / "arms.nothing"
    assert main(["evaluate", "arms", str(runs), "--picture", str(unknown)]) == 1 and not unknown.exists()


def test_only_some_items_count_where_that_is_wanted(runs: Path) -> None:
    rows = arms_report(runs, [], items="a").rows
    assert [(row["system"], row["value"][0], row["n"]) for row in rows] == [
        ("label", 0.5, 2),
        ("no-vectors", 1.0, 2),
    ]


def test_only_some_measures_are_told_where_that_is_wanted(runs: Path) -> None:
    assert len(arms_report(runs, [], measure="right emotion").rows) == 2
    with pytest.raises(DataError, match="no measure that begins with 'emotion'") as refused:
        arms_report(runs, [], measure="emotion")
    assert refused.value.hint == f"it has: {MEASURE}"


def test_what_cannot_be_compared_is_named(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no run of trace"):
        arms_report(runs, ["trace"])
    with pytest.raises(DataError, match="holds no scored run"):
        arms_report(tmp_path / "label-0", [])
    scored(runs, "other-0", {"a1": 1}, data="another set")
    with pytest.raises(DataError, match="of different data"):
        arms_report(runs, [])


def test_what_different_judges_scored_is_not_compared(tmp_path: Path) -> None:
    scored(tmp_path, "sft-0", {"a1": 1}, judge="one@1, empathy")
    scored(tmp_path, "reflect-0", {"a1": 2}, judge="one@1, empathy")
    (_, _, difference) = arms_report(tmp_path, ["sft"]).rows
    assert difference["value"][0] == 1  # type: ignore[index]
    scored(tmp_path, "reflect-2", {"a1": None}, judge="three@1, empathy")  # withheld
    assert len(arms_report(tmp_path, ["sft"]).rows) == 2
    scored(tmp_path, "reflect-1", {"a1": 2}, judge="two@1, empathy")
    with pytest.raises(DataError, match=r"different judges scored .*reflect-1"):
        arms_report(tmp_path, ["sft"])


def test_word_errors_are_over_all_words_together(tmp_path: Path) -> None:
    for run, errors, words in (("a-0", (1, 0), (2, 8)), ("b-0", (0, 0), (2, 18))):
        rows = [
            ItemScore(f"i{n}", f"g{n}", "en", "empathy", "errors", wrong / of, weight=of)
            for n, (wrong, of) in enumerate(zip(errors, words, strict=True))
        ]
        (tmp_path / run).mkdir()
        write_scores(tmp_path / run, {"data": "set"}, rows)
    report = arms_report(tmp_path, ["b"])
    values = {row["system"]: row["value"][0] for row in report.rows}
    assert values == {"a": pytest.approx(0.1), "b": 0, "a - b": pytest.approx(0.1)}


def test_a_measure_that_a_run_lacks_is_named(runs: Path) -> None:
    scored(runs, "label-2", {"z1": 1})
    report = arms_report(runs, [])
    assert [row["system"] for row in report.rows] == ["no-vectors"]
    assert report.setting["not scored in every run"] == [f"label: en contrast, {MEASURE}"]


def runs_of(*runs: np.ndarray) -> Ratios:
    above = np.stack(runs, 1)
    return Ratios(above, np.ones_like(above))


def test_an_interval_is_wider_where_runs_differ_as_well_as_items() -> None:
    random = np.random.default_rng(0)
    items, groups = random.random(60), np.arange(60) // 3
    alike = crossed_bootstrap(runs_of(items, items, items), groups)
    apart = crossed_bootstrap(runs_of(items - 0.3, items, items + 0.3), groups)
    assert alike.value == pytest.approx(items.mean()) == pytest.approx(apart.value)
    assert alike.low < items.mean() < alike.high
    assert apart.high - apart.low > 1.3 * (alike.high - alike.low)
    one = crossed_bootstrap(runs_of(items), groups)
    assert (one.low, one.high) == pytest.approx((alike.low, alike.high), abs=0.02), "equal runs add nothing"


def test_the_command_prints_the_figures(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "arms", str(runs), "--against", "label", "--items", "b", "--json"]) == 0
    head, *rows = map(json.loads, capsys.readouterr().out.splitlines())
    assert head["items"] == "b" and [row["system"] for row in rows][-1] == "no-vectors - label"
