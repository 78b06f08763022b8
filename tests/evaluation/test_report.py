"""How figures are shown, and what the command asks of its data."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from harken import evaluation
from harken.errors import DataError, InputError
from harken.evaluation.report import Report, bootstrap, figure, hardware, per_item, shown
from harken.evaluation.statistics import Interval
from harken.recipes import mini

REPORT = Report(
    "words",
    {"seed": 3, "data": {"read": "2 clips"}},
    (figure("read", "repeat", "WER", Interval(0.25, 0.1, 0.4), 2), figure("read", "chance", "top-1", 0.5, 2)),
)


def test_json_lines_hold_the_setting_then_the_figures() -> None:
    setting, first, second = map(json.loads, REPORT.with_setting(recipe="mini").json_lines().splitlines())
    assert setting == {"benchmark": "words", "recipe": "mini", "seed": 3, "data": {"read": "2 clips"}}
    assert first == {"data": "read", "system": "repeat", "measure": "WER", "value": [0.25, 0.1, 0.4], "n": 2}
    assert second["value"] == 0.5


def test_markdown_and_table_show_every_figure() -> None:
    page = REPORT.markdown()
    assert "| read | repeat | WER | 0.250 [0.100, 0.400] | 2 |" in page.splitlines()
    assert "- data: read 2 clips" in page.splitlines()
    out = io.StringIO()
    REPORT.print(out)
    for text in ("0.250", "[0.100, 0.400]", "chance", "seed: 3"):
        assert text in out.getvalue()


def test_rows_may_lack_a_column() -> None:
    page = Report("x", {}, ({"a": 1}, {"b": None})).markdown()
    assert page.splitlines()[2:6] == ["| a | b |", "| --- | --- |", "| 1 | – |", "| – | – |"]


def test_no_cell_of_a_table_in_markdown_ends_before_it_ends() -> None:
    page = Report("judge", {}, ({"P(a | b)": "P(correct | score)", "of": "one\ntwo"},)).markdown()
    assert page.splitlines()[2:5] == [
        r"| P(a \| b) | of |",
        "| --- | --- |",
        r"| P(correct \| score) | one two |",
    ]


def test_values_are_shown_for_people() -> None:
    assert (
        shown(["a", 1]) == "a, 1"
        and shown(1.23456) == "1.235"
        and shown({"x": [1.0, 0.5, 2.0]}) == "x 1.000 [0.500, 2.000]"
    )


def test_saving_leaves_both_forms_and_nothing_half_written(tmp_path: Path) -> None:
    REPORT.save(tmp_path / "figures")
    assert {file.name for file in (tmp_path / "figures").iterdir()} == {"words.jsonl", "words.md"}
    assert (tmp_path / "figures" / "words.md").read_text() == REPORT.markdown()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        REPORT.save(tmp_path / "file")


def test_bootstrap_gives_the_figure_and_an_interval_around_it() -> None:
    values = np.random.default_rng(0).normal(5, 1, 400)
    interval = bootstrap(per_item(values))
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert bootstrap(per_item(values), seed=1) != interval == bootstrap(per_item(values))


def test_groups_that_agree_within_themselves_widen_the_interval() -> None:
    values, groups = np.repeat([0.0, 1.0] * 10, 10), np.repeat(np.arange(20), 10)
    alone, together = bootstrap(per_item(values)), bootstrap(per_item(values), groups)
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_hardware_is_one_line() -> None:
    line = hardware()
    assert "torch" in line and "core" in line and "\n" not in line


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no benchmark 'wrods'"):
        evaluation.run("wrods", recipe=mini(), data=[tmp_path])
    with pytest.raises(DataError, match="no folder"):
        evaluation.run("words", recipe=mini(), data=[tmp_path / "none"])
    with pytest.raises(DataError, match=r"manifest\.jsonl\.gz"):
        evaluation.run("words", recipe=mini(), data=[tmp_path])
    with pytest.raises(DataError, match="no folder in"):
        evaluation.run("attribution", recipe=mini(), data=[tmp_path])
    (tmp_path / evaluation.RECCON).write_bytes(b"")
    with pytest.raises(DataError, match="no folder of speech"):
        evaluation.run("attribution", recipe=mini(), data=[tmp_path])
