"""A judge's scores beside labels, ratings and systems: what agrees, and files that are not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from harken.errors import DataError
from harken.evaluation.judges.scores import Scored, agreement_rows, read_scores


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def figures(scored: list[Scored]) -> dict[str, tuple[object, object]]:
    """Measure -> value (without its interval) and n."""
    rows = agreement_rows(scored, "scores.csv", "judge@1")
    found = {}
    for row in rows:
        value = row["value"]
        interval = isinstance(value, list) and isinstance(value[0], float)
        found[str(row["measure"])] = (value[0] if interval else value, row["n"])  # type: ignore[index]
    return found


def test_ratings_are_compared_in_order_and_in_value(tmp_path: Path) -> None:
    shifted = read_scores(written(tmp_path, "id,score,rating", *(f"{n},{n},{n + 2}" for n in range(1, 9))))
    found = figures(shifted)
    assert found["Spearman with ratings"] == (pytest.approx(1.0), 8)
    assert found["Kendall with ratings"] == (pytest.approx(1.0), 8)
    kappa, _ = found["quadratic kappa with ratings"]
    assert isinstance(kappa, float) and 0 < kappa < 0.8
    assert found["unscored"] == (0, 8) and "P(correct | score)" not in found


def test_labels_give_the_chance_of_being_right_at_each_score(tmp_path: Path) -> None:
    rows = [f"a{n},1,{int(n < 1)}" for n in range(4)] + [
        f"b{n},5,{'yes' if n < 3 else 'no'}" for n in range(4)
    ]
    found = figures(read_scores(written(tmp_path, "id,score,label", *rows)))
    assert found["P(correct | score)"] == ({"1": pytest.approx(0.25), "5": pytest.approx(0.75)}, 8)
    assert "quadratic kappa with ratings" not in found and found["Spearman with labels"][1] == 8


def test_a_judge_that_ranks_systems_the_wrong_way_round_is_found_out(tmp_path: Path) -> None:
    rows = [f"{n},{name},{score},{rating}" for n in range(6)
            for name, score, rating in (("one", 5, 2), ("two", 3, 4), ("three", 1, 1))]  # fmt: skip
    scored = read_scores(written(tmp_path, "id,system,score,rating", *rows, "7,one,5,2"))
    found = figures(scored)
    assert found["Kendall of systems by ratings"] == (pytest.approx(1 / 3), 6)
    assert found["systems swapped against ratings"] == (["one over two"], 3)
    assert found["ids that not all systems have"] == (1, 7)


def test_items_that_the_judge_left_unscored_are_counted_and_take_no_part(tmp_path: Path) -> None:
    found = figures(read_scores(written(tmp_path, "id,score,rating", "a,1,1", "b,,5", "c,2,2", "d,3,3")))
    assert found["unscored"] == (1, 4) and found["Spearman with ratings"] == (pytest.approx(1.0), 3)
    none = figures(read_scores(written(tmp_path, "id,score,rating", "a,,1", "b,,5")))
    assert none == {"scored items with a rating": (0, 2), "unscored": (2, 2)}


def test_labels_and_ratings_may_be_of_different_items(tmp_path: Path) -> None:
    rows = ("a,1,0,", "b,2,1,", "c,3,,4", "d,4,,5")
    found = figures(read_scores(written(tmp_path, "id,score,label,rating", *rows)))
    assert found["Spearman with labels"][1] == found["Spearman with ratings"][1] == 2


def test_missing_and_doubled_ids_are_named_by_their_lines(tmp_path: Path) -> None:
    bad = ("a,one,1,1", ",one,2,2", "a,one,3,3", "a,two,3,3", "b,one,high,1", "c,one,1,", "d,one,nan,1")
    with pytest.raises(DataError) as caught:
        read_scores(written(tmp_path, "id,system,score,rating", *bad))
    assert caught.value.message.endswith(
        "scores.csv: line 3: no id; line 4: id a of one again, after line 2; line 6: score 'high' is not a "
        "number; line 7: id c has neither label nor rating; line 8: score 'nan' is not a number"
    )
    with pytest.raises(DataError, match=r"line 2: label 'perhaps' is neither 1 nor 0"):
        read_scores(written(tmp_path, "id,score,label", "a,1,perhaps"))


def test_of_many_bad_rows_some_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 6: no id; and 4 more$"):
        read_scores(written(tmp_path, "id,score,rating", *[",1,1"] * 9))


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (("id,rating", "a,1"), "no column 'score'"),
        (("id,score", "a,1"), "neither a column 'label' nor a column 'rating'"),
        (("id,score,rating",), "has no scores"),
    ],
)
def test_files_that_lack_something_say_what(tmp_path: Path, lines: tuple[str, ...], what: str) -> None:
    with pytest.raises(DataError, match=what):
        read_scores(written(tmp_path, *lines))
    with pytest.raises(DataError, match="cannot be read"):
        read_scores(tmp_path / "gone.csv")
