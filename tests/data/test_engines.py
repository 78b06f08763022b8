"""Engines: the same shards whichever runs them, and one line where a step fails."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip("pyarrow", reason="a build's workers keep rows in Parquet: extra data")

from harken.bench.data_build import write_source
from harken.bench.data_steps import Delayed, FakeAnswers, steps
from harken.data.build import build
from harken.data.build_files import ShardFiles
from harken.data.build_recipes import BuildRecipe, SourceConfig
from harken.data.engines import ENGINES, base, engine, local
from harken.data.engines.base import Chain, Finished, Lent, Parcel, StepFailed, failure
from harken.data.rows import Row, Turn
from harken.data.steps.units import HarkenUnits, Units
from harken.data.workspace import Workspace
from harken.errors import DataError, HarkenError, InputError


@dataclass
class Kept:
    """Shards in memory, for steps in this process: what was begun, and what was finished."""

    begun: list[int] = field(default_factory=list)
    finished: list[Parcel] = field(default_factory=list)

    def begin(self, number: int) -> Parcel:
        self.begun.append(number)
        return Parcel(number, [_row(3 * number + i) for i in range(3)])

    def workspace(self, number: int) -> Workspace:
        return Workspace(Path("nowhere") / str(number))

    def finish(self, parcel: Parcel) -> Finished:
        self.finished.append(parcel)
        return Finished(parcel.number, len(parcel.rows), len(parcel.dropped))


def _row(number: int) -> Row:
    turn = Turn("user", f"This is line {number}.")
    return Row(f"{number:020x}", "g", "train", "source", "", "en", "s", "CC0-1.0", True, (turn,))


def chain(shards: Kept, *of_steps) -> Chain:
    return Chain(shards, of_steps, Lent(Path("nowhere"), 0, {}.__getitem__))


def made(folder: Path, rows: int) -> Path:
    write_source(folder, rows)
    return folder


def recipe(source: Path, *of_steps) -> BuildRecipe:
    return BuildRecipe(
        name="test",
        sources=(SourceConfig(name="starter", path=str(source)),),
        rows_per_shard=30,
        steps=of_steps or steps((0.0, 0.0, 0.0)),
    )


def built(out: Path, source: Path, by: str, workers: int | None = None) -> dict[str, bytes]:
    done = build(recipe(source), out, engine=by, workers=workers)
    assert done.standing == done.shards == 5
    return {path.name: path.read_bytes() for path in sorted(out.glob("*-*"))}


def test_local_gives_the_bytes_of_inline(tmp_path):
    source = made(tmp_path / "source", 150)
    inline = built(tmp_path / "inline", source, "inline")
    assert len(inline) == 10 and built(tmp_path / "local", source, "local", workers=2) == inline


@pytest.mark.timeout(900)  # starting Ray's processes is slow on a busy machine
def test_ray_gives_the_bytes_of_inline(tmp_path, needs):
    needs("ray", importlib.util.find_spec("ray") is not None, "Ray is not installed: extra ray")
    source = made(tmp_path / "source", 150)
    assert built(tmp_path / "ray", source, "ray") == built(tmp_path / "inline", source, "inline")


def test_an_engine_that_there_is_not():
    with pytest.raises(InputError, match="no engine 'spark'") as error:
        engine("spark")
    assert all(name in error.value.hint for name in ENGINES)


def test_ray_without_ray_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(HarkenError, match="engine ray") as error:
        list(engine("ray")([0], chain(Kept())))
    assert "harken[ray]" in error.value.hint


@pytest.mark.parametrize("name", ["inline", "local"])
def test_nothing_to_do_is_done(name, in_this_process):
    assert list(engine(name)([], chain(Kept(), FakeAnswers()))) == []


class Failing(Delayed):
    """Fails at the second shard with whatever error it is told to."""

    step: Literal["failing"] = "failing"
    error: str

    def change(self, row):
        if row.last_user.text == "This is line 4.":
            raise {"ours": DataError("disk is away", "mount it"), "bug": KeyError("x")}[self.error]
        return row


@pytest.mark.parametrize("name", ["inline", "local"])
@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        ("ours", "step failing, shard 1: disk is away", "mount it"),
        ("bug", "step failing, shard 1: KeyError: 'x'", "--debug"),
    ],
)
def test_a_step_that_fails_stops_all_with_one_line(name, error, message, hint, in_this_process):
    shards = Kept()
    with pytest.raises(StepFailed) as failed:
        list(engine(name)(range(100), chain(shards, Failing(error=error))))
    assert (failed.value.message, "\n" in failed.value.message) == (message, False)
    assert hint in failed.value.hint and "Traceback" in failed.value.trace
    assert len(shards.begun) < 10, "shards were begun after the failure"
    assert {parcel.number for parcel in shards.finished} <= {0}


@pytest.fixture
def in_this_process(monkeypatch):
    """Also what computes works in threads, so that a test sees it."""

    def stations(chain):
        return [(name, workers, False, gpus) for name, workers, _, gpus in base.stations(chain)]

    monkeypatch.setattr(local, "stations", stations)


def test_a_step_that_cannot_be_opened_in_its_process_says_so(tmp_path):
    source = made(tmp_path / "source", 40)
    broken = recipe(source, FakeAnswers(), Units(codec=HarkenUnits(parts=tmp_path)))
    with pytest.raises(HarkenError, match=r"step units: .* no unit codec was trained there"):
        build(broken, tmp_path / "out", engine="local")


def test_why_a_step_cannot_be_opened_is_told_before_a_shard_comes_to_it(tmp_path, monkeypatch):
    """By the time that one comes its process has ended, and sending says only that nobody reads."""
    monkeypatch.setattr(local, "_END_S", 0.0)  # the thread that begins shards is left to itself
    told = threading.Event()

    def numbers():
        told.wait(timeout=20)
        yield 0

    broken, lent = (Units(codec=HarkenUnits(parts=tmp_path)),), Lent(tmp_path, 0, {}.__getitem__)
    try:
        with pytest.raises(StepFailed, match=r"step units: .* no unit codec was trained there"):
            list(engine("local")(numbers(), Chain(ShardFiles(tmp_path), broken, lent)))
    finally:
        told.set()


class Meeting(Delayed):
    """Goes on when the step beside it is at work as well."""

    step: Literal["meeting"] = "meeting"

    def open(self, resources):
        def step(rows, workspace):
            if workspace.folder.name in _MEET[self.ms_per_row]:
                _BOTH.wait(timeout=60)
            yield from rows

        return step


_MEET = {1.0: ("1",), 2.0: ("0",)}
_BOTH = threading.Barrier(2)


def test_one_shard_is_in_one_step_while_the_next_is_in_the_one_before(in_this_process):
    """Each of two steps waits for the other: in turns, one after another, they would wait for ever."""
    _BOTH.reset()
    finished = list(engine("local")(range(4), chain(Kept(), Meeting(ms_per_row=1), Meeting(ms_per_row=2))))
    assert sorted(one.number for one in finished) == [0, 1, 2, 3]


def test_no_more_shards_are_in_work_than_stations_hold(in_this_process):
    shards = Kept()
    run = engine("local")(range(1000), chain(shards, FakeAnswers(workers=2)))
    next(run)
    run.close()
    assert len(shards.begun) < 20


def test_a_failure_survives_pickling_and_is_made_once():
    error = failure("speak", 3, OSError(28, "No space left on device", "rows-00003.parquet"))
    again = pickle.loads(pickle.dumps(error))
    assert (
        again.message == error.message == "step speak, shard 3: rows-00003.parquet: No space left on device"
    )
    assert failure("finish", None, again) is again
