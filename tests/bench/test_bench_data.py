"""What the bench of builds reports, on small builds: shapes and equality, never times."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="data sets are kept in Parquet: extra data")

from harken import bench
from harken.bench import data as room
from harken.bench.data import Ask
from harken.bench.data_build import Case, Times, run, write_source
from harken.errors import HarkenError, InputError
from harken.recipes import mini


def case(folder: Path, rows: int = 40) -> Case:
    write_source(folder / "source", rows)
    return Case(str(folder / "source"), str(folder / "out"), 10, "inline", (0.0, 0.0, 0.0), (1, 1, 1))


def test_the_slowest_step_sets_what_is_possible(tmp_path):
    one = case(tmp_path, 1)
    assert replace(one, ms_per_row=(8.0, 1.0, 8.0), workers=(8, 1, 4)).possible_rows_per_s == 500
    assert replace(one, ms_per_row=(0.0, 0.0, 2.0), workers=(1, 1, 3)).possible_rows_per_s == 1500


def test_a_build_of_fakes_is_timed_and_watched_in_a_process_of_its_own(tmp_path):
    times, peak_mb = room._watched(case(tmp_path))
    assert (times.source_rows, times.shards) == (40, 4)
    assert 0 <= times.half_s <= times.building_s and times.reading_s > 0
    assert peak_mb is None or peak_mb > 10


def test_a_build_that_fails_says_why(tmp_path):
    with pytest.raises(HarkenError, match="no engine 'spark'"):
        room._watched(replace(case(tmp_path, 1), engine="spark"))


def test_equal_builds_have_one_digest_and_others_have_others(tmp_path):
    one = case(tmp_path)
    run(one)
    run(replace(one, out=str(tmp_path / "again")))
    assert room.digest(tmp_path / "out") == room.digest(tmp_path / "again")
    (tmp_path / "again" / "dropped-00001.jsonl").unlink()
    assert room.digest(tmp_path / "out") != room.digest(tmp_path / "again")


def test_memory_is_that_of_a_process_and_all_below_it():
    if Path("/proc/self/statm").exists():
        assert room.tree_rss(os.getpid()) > 10e6
    assert room.tree_rss(2**30) == 0


def fake_watched(one: Case) -> tuple[Times, float]:
    """As if the work took twice the least time, and a byte a row."""
    out = Path(one.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "rows-00000.parquet").write_text("equal")
    rows = len((Path(one.source) / "en.jsonl").read_text().splitlines())
    return Times(rows, 1.0, 2 * rows / one.possible_rows_per_s, 4, 1.0), rows / 10


def test_the_fakes_parts_are_one_object_and_three_tables(monkeypatch, capsys):
    monkeypatch.setattr(room, "_watched", fake_watched)
    killed = []
    monkeypatch.setattr(room.subprocess, "Popen", lambda command, **_: killed.append(command) or Ended())
    result = bench.run("data", recipe=mini(), json=True, runs=3, ask=Ask(rows=100))
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(result))
    assert result["overhead"]["throughput"] == 0.5 and result["overhead"]["memory_ratio"] == 10
    assert result["overhead"]["workers"] == {"language model": 8, "labeler": 1, "voice": 4}
    assert [row["rows"] for row in result["overhead"]["builds"]] == [10, 100]
    assert all(row["equal_bytes"] for row in result["engines"])
    assert {row["workers"] for row in result["engines"]} == {1, 2, 4, 8}
    kills = result["kills"]
    assert (len(killed), kills["builds"], kills["equal"], kills["shards"]) == (3, 3, 3, 4)
    assert kills["killed"] == 0 and kills["stood_when_killed"] == [], "these had ended before"
    tables = [report.markdown() for report in room.reports(result)]
    assert len(tables) == 3 and "share_of_possible" in tables[0]
    out = io.StringIO()
    room.reports(result)[1].print(out)
    assert "local" in out.getvalue()


def test_only_what_is_asked_for_is_measured_and_kept_as_it_ends(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(room, "_watched", fake_watched)
    ask = Ask(("overhead",), rows=20, out=tmp_path / "out")
    result = bench.run("data", recipe=mini(), ask=ask)
    assert set(result) == {"bench", "hardware", "overhead"} and "20" in capsys.readouterr().out
    kept = json.loads((tmp_path / "out" / "overhead.json").read_text())
    assert kept["overhead"] == json.loads(json.dumps(result["overhead"])) and "cores" in kept["hardware"]
    with pytest.raises(InputError, match="cannot be written"):
        bench.run("data", recipe=mini(), ask=replace(ask, out=tmp_path / "out" / "overhead.json" / "x"))


@dataclass
class Command:
    """A build that is any program."""

    code: str

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.code]


def test_builds_that_ended_before_do_not_count_as_killed():
    assert room._killed(Command("import threading; threading.Event().wait()"), after_s=0.1)
    assert not room._killed(Command("pass"), after_s=250)


@pytest.mark.parametrize("measure", [room._watched, lambda case: room._killed(case, 250)])
def test_an_interrupt_leaves_no_build_and_no_thread_behind(monkeypatch, measure):
    begun, threads = [], threading.active_count()

    class Interrupted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            begun.append(self)

        def _wait(self, timeout):
            if self.interrupt:
                self.interrupt = False
                raise KeyboardInterrupt
            return super()._wait(timeout)

        interrupt = True

    monkeypatch.setattr(room.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(Command("import os, threading; os.close(1); os.close(2); threading.Event().wait()"))
    assert begun[0].returncode == -signal.SIGKILL and threading.active_count() == threads


class Ended:
    """A process that is over."""

    def wait(self, timeout: float | None = None) -> int:
        return 0

    def kill(self) -> None:
        """Nothing is left to end."""
