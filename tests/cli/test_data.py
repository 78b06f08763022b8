"""`harken data`: options in, rooms called, summaries out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from command_line import run

pytest.importorskip("pyarrow", reason="data sets are kept in Parquet: extra data")

from harken.data import build as room
from harken.data.build import Summary
from harken.data.build_files import Tally
from harken.errors import DataError


@pytest.fixture
def calls(monkeypatch):
    """How `build` is called, instead of building; what it gives can be changed."""
    calls = []
    tally = Tally(
        Counter(respond=3), Counter({"speak: not read back": 2}), Counter({"teacher asked": 4}), 36.0
    )
    calls.append(Summary(Path("o"), 4, 4, 9, tally))

    def build(*arguments):
        calls.append(arguments)
        if isinstance(calls[0], Exception):
            raise calls[0]
        return calls[0]

    monkeypatch.setattr(room, "build", build)
    return calls


def test_build_takes_its_options_and_sums_up(capsys, calls):
    options = ("--source", "a=x", "--source", "b=y=z", "--engine", "inline", "--workers", "2", "--limit", "5")
    code, out, _ = run(capsys, "data", "build", "starter", "--out", "o", *options)
    recipe, folder, sources, engine, workers, limit = calls[1][:6]
    assert (recipe.name, folder, sources) == ("starter", Path("o"), {"a": "x", "b": "y=z"})
    assert (engine, workers, limit) == ("inline", 2, 5) and recipe.shippable_only
    assert code == 0 and "3 rows (3 respond); 0.01 h" in out
    assert "dropped 2: speak: not read back" in out and "teacher: 4 prompts asked" in out


def test_research_takes_what_may_not_be_shipped(capsys, calls):
    assert run(capsys, "data", "build", "mini", "--out", "o", "--source", "ecf=x", "--research")[0] == 0
    assert not calls[1][0].shippable_only


def test_an_interrupted_build_says_that_it_goes_on(capsys, calls):
    calls[0] = Summary(Path("o"), 4, 1, 9, Tally(), interrupted=True)
    code, out, _ = run(capsys, "data", "build", "starter", "--out", "o")
    assert code == 130 and "it goes on" in out


@pytest.mark.parametrize(
    "options",
    [("nothing",), ("starter", "--source", "a"), ("starter", "--source", "a=1", "--source", "a=2"),
     ("starter", "--limit", "0"), ("starter", "--workers", "0"), ("starter", "--engine", "spark")],
)  # fmt: skip
def test_wrong_use_builds_nothing(capsys, calls, options):
    assert run(capsys, "data", "build", *options, "--out", "o")[0] == 2 and len(calls) == 1


def test_what_stops_a_build_is_one_line(capsys, calls):
    calls[0] = DataError("source x: cannot be read", "mend it")
    code, out, err = run(capsys, "data", "build", "starter", "--out", "o")
    assert (code, out) == (1, "") and "harken: source x: cannot be read\n  hint: mend it\n" in err


def test_a_dry_run_prints_the_recipe_and_builds_nothing(capsys, calls):
    code, out, _ = run(capsys, "data", "build", "starter", "--out", "o", "--dry-run")
    assert code == 0 and json.loads(out)["steps"][0]["step"] == "respond" and len(calls) == 1


def test_a_built_set_is_shown_and_audited(capsys, tmp_path):
    from harken.bench.data_build import Case, write_source
    from harken.bench.data_build import run as build_case

    write_source(tmp_path / "source", 12)
    out = str(tmp_path / "out")
    build_case(Case(str(tmp_path / "source"), out, 4, "inline", (0.0, 0.0, 0.0), (1, 1, 1)))
    code, shown, _ = run(capsys, "data", "show", out, "--json", "--limit", "2", "--task", "respond")
    rows = [json.loads(line) for line in shown.splitlines()]
    assert code == 0 and len(rows) == 2 and {row["task"] for row in rows} == {"respond"}
    code, shown, _ = run(capsys, "data", "show", out, "--row", rows[0]["id"])
    assert code == 0 and rows[0]["turns"][0]["text"][:20] in shown
    assert run(capsys, "data", "show", out, "--task", "contrast")[0] == 1
    code, audited, _ = run(capsys, "data", "audit", out, "--json")
    found = json.loads(audited)
    dropped = found["dropped"].get("fake-labels", {}).get("not heard", 0)
    assert code == 0 and found["rows"] + dropped == 12
