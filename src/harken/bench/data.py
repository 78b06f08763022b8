"""What a build adds to the time of its steps, how engines compare, and what becomes of one that is killed.

For these parts steps are fakes of fixed delay (`harken.bench.data_steps`); sources, files, processes and
resuming are real. Each build is a process of its own, whose tree of processes is watched for memory. The
parts with real models are `harken.bench.data_ieat`'s and `harken.bench.data_starter`'s.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from harken.bench.data_build import Case, Times, write_source
from harken.data.files import write_text
from harken.errors import HarkenError, InputError
from harken.evaluation.report import Report, hardware

PARTS = ("overhead", "engines", "kills", "ieat", "starter")
FAKES = PARTS[:3]
ROWS, KILLS = 100_000, 20
LEAST_THROUGHPUT, MOST_MEMORY = 0.9, 1.2
FAKED = ("language model", "labeler", "voice")
OVERHEAD_MS, OVERHEAD_WORKERS = (8.0, 1.0, 8.0), (8, 1, 4)
"""Of each that is faked: the voice sets the pace, 500 rows a second."""
SCALING_MS = (0.5, 0.5, 8.0)
SCALING_WORKERS = (1, 2, 4, 8)
SAMPLE_S = 0.2

Figures = dict[str, Any]


@dataclass(frozen=True)
class Ask:
    """What is to be measured, and on what."""

    parts: tuple[str, ...] = FAKES
    rows: int | None = None
    """Source rows of the largest build of fakes, of the IEAT step, or of the starter; None takes each part's
    own number."""
    kills: int = KILLS
    source: tuple[str, str] | None = None
    """Of the IEAT step: the source's name and where it lies; None takes the starter."""
    teacher: str | None = None
    """Of the IEAT step: weights of the catalogue; None takes the starter's teacher."""
    out: Path | None = None
    """A folder that keeps the figures of each part as it ends, and what the real parts made."""


def bench_data(ask: Ask) -> Figures:
    """The parts that are asked for, one after another, as one JSON-safe object. Raises HarkenError."""
    result: Figures = {"bench": "data", "hardware": hardware()}
    with TemporaryDirectory(prefix="harken-bench-") as folder:
        place = Path(folder)
        for part in (part for part in PARTS if part in ask.parts):
            result[part] = _MEASURED[part](ask, place)
            _keep(ask.out, part, result[part])
    return result


def reports(result: Figures) -> list[Report]:
    """The object as tables for people."""
    setting = {"hardware": result["hardware"]}
    return [_TABLES[part](result[part]).with_setting(**setting) for part in PARTS if part in result]


def _fakes_overhead(ask: Ask, place: Path) -> Figures:
    rows = ask.rows or ROWS
    builds = [_overhead(place, count) for count in (max(1, rows // 10), rows)]
    return {
        "ms_per_row": dict(zip(FAKED, OVERHEAD_MS, strict=True)),
        "workers": dict(zip(FAKED, OVERHEAD_WORKERS, strict=True)),
        "least_throughput": LEAST_THROUGHPUT, "most_memory": MOST_MEMORY,
        "throughput": builds[-1]["share_of_possible"],
        "memory_ratio": _over(builds[-1]["peak_rss_mb"], builds[0]["peak_rss_mb"]),
        "builds": builds,
    }  # fmt: skip


def _ieat(ask: Ask, place: Path) -> Figures:
    from harken.bench.data_ieat import bench_ieat, examples

    found = bench_ieat(ask.out or place, ask.rows, ask.source, ask.teacher)
    if ask.out is not None:
        _write(ask.out / "ieat.md", examples(found.kept))
    return found.figures


def _starter(ask: Ask, place: Path) -> list[Figures]:
    from harken.bench.data_starter import bench_starter

    return bench_starter(ask.out or place, ask.rows, lambda done: _keep(ask.out, "starter", done))


def _keep(out: Path | None, part: str, figures: Any) -> None:
    """The figures of a part as `OUT/PART.json`, with the machine. Raises InputError where it cannot."""
    if out is not None:
        kept = {"hardware": hardware(), part: figures}
        _write(out / f"{part}.json", json.dumps(kept, ensure_ascii=False, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}", "name another --out") from None


def _overhead_table(found: Figures) -> Report:
    setting = {name: value for name, value in found.items() if name != "builds"}
    return Report("building: what it adds to its steps", setting, tuple(found["builds"]))


def _engines_table(found: list[Figures]) -> Report:
    return Report("engines: one slow step with more and more workers", {}, tuple(found))


def _kills_table(found: Figures) -> Report:
    return Report("killed and resumed", {}, (found,))


def _ieat_table(found: Figures) -> Report:
    from harken.bench.data_ieat import report

    return report(found)


def _starter_table(found: list[Figures]) -> Report:
    from harken.bench.data_starter import report

    return report(found)


def _overhead(place: Path, rows: int) -> Figures:
    """A build of so many rows: rows a second beside what the slowest step allows, and memory."""
    case = Case(
        _source(place, rows), str(place / f"overhead-{rows}"), 500, "local", OVERHEAD_MS, OVERHEAD_WORKERS
    )
    times, peak_mb = _watched(case)
    least_s = rows / case.possible_rows_per_s
    return {
        "rows": rows, "possible_rows_per_s": case.possible_rows_per_s,
        "rows_per_s": _figure(rows / times.building_s),
        "share_of_possible": _figure(least_s / times.building_s),
        "with_reading": _figure(least_s / (times.building_s + times.reading_s)),
        "reading_s": _figure(times.reading_s), "building_s": _figure(times.building_s),
        "peak_rss_mb": peak_mb,
    }  # fmt: skip


def _engines(place: Path, rows: int) -> list[Figures]:
    """Local and, where it is installed, Ray on the same rows: so many for each worker of the slow step.

    The pace is that of the second half of the shards: starting workers is not in it, but is in `building_s`.
    """
    table: list[Figures] = []
    base: dict[str, float] = {}
    per_shard = max(4, rows // 40)
    for workers in SCALING_WORKERS:
        source, local = _source(place, rows * workers), Path()
        for engine in ("local", "ray") if find_spec("ray") else ("local",):
            out = place / f"{engine}-{workers}"
            times = _run(Case(source, str(out), per_shard, engine, SCALING_MS, (1, 1, workers)))
            local = out if engine == "local" else local
            pace = per_shard * times.shards_per_s
            base.setdefault(engine, pace)
            table.append({
                "engine": engine, "workers": workers, "rows": rows * workers,
                "building_s": _figure(times.building_s), "rows_per_s": _figure(pace),
                "speed_up": _figure(pace / base[engine]),
                "time_over_local": 1.0 if out == local else _over(times.building_s, table[-1]["building_s"]),
                "equal_bytes": digest(out) == digest(local),
            })  # fmt: skip
    return table


def _kills(place: Path, rows: int, kills: int) -> Figures:
    """Builds that are killed at a random moment each, resumed, and compared with one that was left alone."""
    case = Case(
        _source(place, rows), str(place / "whole"), max(4, rows // 20), "local", (1.0, 1.0, 1.0), (1, 1, 1)
    )
    begun = time.perf_counter()
    shards = _run(case).shards
    whole_s, whole = time.perf_counter() - begun, digest(Path(case.out))
    dice, equal, standing = random.Random(0), 0, []
    for number in range(kills):
        out = place / f"killed-{number}"
        one = replace(case, out=str(out))
        if _killed(one, dice.uniform(0, whole_s)):
            standing.append(len(list(out.glob("rows-*.parquet"))))
        _run(one)
        equal += digest(out) == whole
        shutil.rmtree(out)
    return {
        "rows": rows, "shards": shards, "builds": kills, "killed": len(standing), "equal": equal,
        "stood_when_killed": sorted(standing), "uninterrupted_s": _figure(whole_s),
    }  # fmt: skip


def _killed(case: Case, after_s: float) -> bool:
    """Begins a build and kills it after so long. False where it had ended before."""
    process = subprocess.Popen(case.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        return True
    finally:
        process.kill()
        process.wait()


def digest(out: Path) -> str:
    """One hash of a data set's files, names and bytes."""
    whole = hashlib.sha256()
    for path in sorted(out.glob("*-*.*")):
        whole.update(path.name.encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()


def _source(place: Path, rows: int) -> str:
    folder = place / f"source-{rows}"
    if not folder.is_dir():
        write_source(folder, rows)
    return str(folder)


def _run(case: Case) -> Times:
    return _watched(case)[0]


def _watched(case: Case) -> tuple[Times, float | None]:
    """The build's times, and the most memory that its processes held together, in 10^6 bytes."""
    with subprocess.Popen(
        case.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        over, peaks = Event(), [0]

        def watch() -> None:
            while not over.wait(SAMPLE_S):
                peaks.append(tree_rss(process.pid))

        watcher = Thread(target=watch)
        watcher.start()
        try:
            out, err = process.communicate()
        finally:
            process.kill()  # where that was interrupted
            process.wait()
            over.set()
            watcher.join()
    if process.returncode != 0:
        said = err.strip().splitlines() or [f"exit code {process.returncode}"]
        raise HarkenError(f"a build of the bench failed: {said[-1]}")
    return Times(**json.loads(out.strip().splitlines()[-1])), round(max(peaks) / 1e6, 1) or None


def tree_rss(pid: int) -> int:
    """Bytes in memory of a process and all below it; 0 where the system does not tell (outside Linux)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        children = {int(child) for task in tasks for child in task.read_text().split()}
    except (OSError, IndexError, ValueError):  # it has gone
        return 0
    return pages * resource.getpagesize() + sum(map(tree_rss, children))


def _over(a: float | None, b: float | None) -> float | None:
    return _figure(a / b) if a and b else None


def _figure(value: float) -> float:
    return round(value, 4)


_MEASURED: dict[str, Callable[[Ask, Path], Any]] = {
    "overhead": _fakes_overhead,
    "engines": lambda ask, place: _engines(place, max(64, (ask.rows or ROWS) // 50)),
    "kills": lambda ask, place: _kills(place, max(64, (ask.rows or ROWS) // 25), ask.kills),
    "ieat": _ieat,
    "starter": _starter,
}
_TABLES: dict[str, Callable[[Any], Report]] = {
    "overhead": _overhead_table,
    "engines": _engines_table,
    "kills": _kills_table,
    "ieat": _ieat_table,
    "starter": _starter_table,
}
