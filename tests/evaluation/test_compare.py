"""Two runs side by side: paired differences on the items that both have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from harken.errors import DataError
from harken.evaluation.compare import compare
from harken.evaluation.item_scores import FILE, ItemScore, read_scores, write_scores


def score(number: int, value: float | None, measure: str = "right", **more: object) -> ItemScore:
    """Items 2n and 2n + 1 are of one group."""
    return ItemScore(f"i{number}", f"g{number // 2}", "en", "contrast", measure, value, **more)  # type: ignore[arg-type]


def run(folder: Path, scores: Iterable[ItemScore], data: str = "set", benchmark: str = "dialogues") -> Path:
    folder.mkdir(exist_ok=True)
    write_scores(folder, {"system": folder.name, "data": data, "benchmark": benchmark}, scores)
    return folder


def test_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    scores = [score(1, 0.5, weight=3.0, chance=0.25), score(2, None, why="no answer", by="trace")]
    head, found = read_scores(run(tmp_path / "one", scores))
    assert head == {"system": "one", "data": "set", "benchmark": "dialogues"} and found == scores


def test_differences_are_paired_and_what_only_one_scored_is_counted(tmp_path: Path) -> None:
    values = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    ours = [score(n, value) for n, value in enumerate(values)]
    theirs = [score(n, value - 0.25) for n, value in enumerate(values)]
    theirs[0], last = score(0, None, why="no answer"), theirs.pop()
    report = compare(run(tmp_path / "one", ours), run(tmp_path / "two", [*theirs, score(9, 1.0)]))
    (row,) = report.rows
    assert row["value"] == pytest.approx([0.25] * 3)  # however much items differ from one another
    assert (row["data"], row["system"], row["n"], row["unscored"]) == ("en contrast", "answer", 4, 1)
    assert "one" in str(report.setting["first"]) and last.id == "i5"


def test_parts_of_a_system_and_measures_are_compared_each_with_its_own_by_weight(tmp_path: Path) -> None:
    ours = [
        score(0, 0.5, "errors", weight=8.0),
        score(1, 0.0, "errors", weight=2.0),
        score(0, 1.0, by="trace"),
    ]
    theirs = [score(0, 0.0, "errors", weight=8.0), score(1, 0.0, "errors", weight=2.0), score(0, 0.0)]
    (row,) = compare(run(tmp_path / "one", ours), run(tmp_path / "two", theirs)).rows
    assert row["measure"] == "errors" and row["value"][0] == pytest.approx(0.4)  # type: ignore[index]


def test_scores_of_different_judges_are_left_out_and_named(tmp_path: Path) -> None:
    ours = [score(0, 1.0), score(0, 4.0, "judged mean", judge="one@1, empathy")]
    theirs = [score(0, 0.0), score(0, 2.0, "judged mean", judge="two@1, empathy")]
    report = compare(run(tmp_path / "one", ours), run(tmp_path / "two", theirs))
    assert [row["measure"] for row in report.rows] == ["right"]
    assert report.setting["left out, by different judges"] == ["en contrast, judged mean"]
    with pytest.raises(DataError, match="different judges scored"):
        compare(run(tmp_path / "four", ours[1:]), tmp_path / "two")
    same = compare(tmp_path / "one", run(tmp_path / "three", [ours[0], score(0, 2.0, **vars_of(ours[1]))]))
    assert [row["value"][0] for row in same.rows] == [0.0, 2.0]  # type: ignore[index]


def vars_of(judged: ItemScore) -> dict[str, object]:
    return {"measure": judged.measure, "judge": judged.judge}


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    one = run(tmp_path / "one", [score(0, 1.0)])
    with pytest.raises(DataError, match="of different data"):
        compare(one, run(tmp_path / "two", [score(0, 1.0)], data="another"))
    with pytest.raises(DataError, match="of different benchmark"):
        compare(one, run(tmp_path / "two", [score(0, 1.0)], benchmark="televal"))
    with pytest.raises(DataError, match="no scored item in common"):
        compare(one, run(tmp_path / "two", [score(0, None), score(1, 1.0)]))
    with pytest.raises(DataError, match="cannot be read"):
        compare(one, tmp_path / "nowhere")
    for broken in ("", '{"system": "x"}\n{"id": "i0"}\n', "no JSON\n"):
        (tmp_path / "two" / FILE).write_text(broken)
        with pytest.raises(DataError, match="holds no scores of items"):
            compare(tmp_path / "two", one)
