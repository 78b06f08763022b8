"""What a build adds to the time of its steps, how engines compare, and what becomes of one that is killed.

Steps are fakes of fixed delay (`harken.bench.data_steps`); sources, files, processes and resuming are real.
Each build is a process of its own, whose tree of processes is watched for memory.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

from harken.bench.data_build import Case, Times, write_source
from harken.errors import HarkenError
from harken.evaluation.report import Report, hardware

ROWS, KILLS = 100_000, 20
LEAST_THROUGHPUT, MOST_MEMORY = 0.9, 1.2
OVERHEAD_MS, OVERHEAD_WORKERS = (8.0, 1.0, 8.0), (8, 1, 4)
"""Of the language model, the labeler and the voice: the voice sets the pace, 500 rows a second."""
SCALING_MS = (0.5, 0.5, 8.0)
SCALING_WORKERS = (1, 2, 4, 8)
SAMPLE_S = 0.2

Figures = dict[str, Any]


def bench_data(rows: int | None = None, kills: int | None = None) -> Figures:
    """Everything, as one JSON-safe object.

    Args:
        rows: of the largest build; the others are a tenth of that and less.
        kills: how many builds are killed.
    """
    rows, kills = rows or ROWS, kills or KILLS
    with TemporaryDirectory(prefix="harken-bench-") as folder:
        place = Path(folder)
        overhead = [_overhead(place, count) for count in (max(1, rows // 10), rows)]
        result: Figures = {
            "bench": "data", "hardware": hardware(),
            "ms_per_row": OVERHEAD_MS, "workers": OVERHEAD_WORKERS,
            "least_throughput": LEAST_THROUGHPUT, "most_memory": MOST_MEMORY,
            "throughput": overhead[-1]["share_of_possible"],
            "memory_ratio": _over(overhead[-1]["peak_rss_mb"], overhead[0]["peak_rss_mb"]),
            "overhead": overhead,
            "engines": _engines(place, max(64, rows // 50)),
            "kills": _kills(place, max(64, rows // 25), kills),
        }  # fmt: skip
    return result


def reports(result: Figures) -> list[Report]:
    """The object as tables for people."""
    tables = ("overhead", "engines", "kills")
    setting = {name: value for name, value in result.items() if name not in tables}
    return [
        Report("building: what it adds to its steps", setting, tuple(result["overhead"])),
        Report("engines: one slow step with more and more workers", {}, tuple(result["engines"])),
        Report("killed and resumed", {}, (result["kills"],)),
    ]


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
    _run(case)
    whole_s, whole = time.perf_counter() - begun, digest(Path(case.out))
    dice, equal, standing = random.Random(0), 0, []
    for number in range(kills):
        out = place / f"killed-{number}"
        one = replace(case, out=str(out))
        process = subprocess.Popen(one.command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(dice.uniform(0, whole_s))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        standing.append(len(list(out.glob("rows-*.parquet"))))
        _run(one)
        equal += digest(out) == whole
        shutil.rmtree(out)
    return {
        "rows": rows, "shards": 20, "killed": kills, "equal": equal,
        "stood_when_killed": sorted(standing), "uninterrupted_s": _figure(whole_s),
    }  # fmt: skip


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
        out, err = process.communicate()
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
