"""How long `harken data build starter` takes: into an empty folder, again, into another one, and a small one.

Each build is the command itself, in a process of its own, on weights that were fetched before. What its steps
do is `harken.data`'s.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from harken.data.build_files import ShardFiles, Tally
from harken.data.shards import complete
from harken.errors import HarkenError, InputError
from harken.evaluation.report import Report

FEW = 12

Figures = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A build of the starter: what is timed, its folder, that of its answers, and its limit."""

    about: str
    out: Path
    answers: Path
    limit: int | None

    def command(self) -> list[str]:
        harken = [sys.executable, "-m", "harken", "data", "build", "starter"]
        limit = [] if self.limit is None else ["--limit", str(self.limit)]
        return [*harken, "--out", str(self.out), "--answers", str(self.answers), *limit]


def cases(place: Path, rows: int | None) -> tuple[Case, ...]:
    """The builds, in their order. Args: rows: source rows at most; None takes all."""
    whole, answers = place / "starter", place / "answers"
    few = FEW if rows is None else min(FEW, rows)
    return (
        Case(f"--limit {few}, empty folder, no answer known", place / "few", place / "answers-few", few),
        Case("into an empty folder, no answer known", whole, answers, rows),
        Case("the same again: all of it stands", whole, answers, rows),
        Case("into a new folder, all answers known; spoken anew", place / "starter-anew", answers, rows),
    )


def bench_starter(
    place: Path, rows: int | None = None, tell: Callable[[list[Figures]], None] | None = None
) -> list[Figures]:
    """Times every build, and counts what it made.

    Args:
        place: the folder of the builds, which stay there.
        tell: is told after each build what was measured so far.

    Raises InputError where builds are there already, HarkenError where one fails.
    """
    builds = cases(place, rows)
    for folder in {folder for case in builds for folder in (case.out, case.answers)}:
        if folder.exists():
            raise InputError(f"{folder} is there already", "builds are timed in new folders: name another")
    pull()
    done: list[Figures] = []
    for case in builds:
        done.append(timed(case))
        if tell is not None:
            tell(done)
    return done


def pull() -> None:
    """Fetch what the recipe's models weigh, unless it is here."""
    from harken.data.build_recipes import starter
    from harken.data.steps.speak import Speak
    from harken.llm.select import WEIGHTS
    from harken.voices import kokoro
    from harken.weights.store import ensure

    recipe = starter()
    readers = [step.speech.read_back for step in recipe.steps if isinstance(step, Speak)]
    teachers = [llm.weights or WEIGHTS for llm in recipe.llms.values()]
    for name in (kokoro.WEIGHTS, *teachers, *filter(None, readers)):
        ensure(name)


def timed(case: Case) -> Figures:
    """Seconds from the start of the process to its end, and what stands then."""
    begun = perf_counter()
    done = subprocess.run(case.command(), stdout=subprocess.DEVNULL)  # its progress is for the user to see
    seconds = perf_counter() - begun
    if done.returncode != 0:
        raise HarkenError(
            f"a build of the bench ended with exit code {done.returncode}: {case.about}",
            "what it said is above",
        )
    files, tally = ShardFiles(case.out.absolute()), Tally()
    for number in complete(case.out):
        tally.add(files.tally(number))
    return {
        "build": case.about, "seconds": round(seconds, 1), "rows": tally.rows.total(),
        "hours": round(tally.seconds / 3600, 3), "dropped": tally.dropped.total(), "limit": case.limit,
    }  # fmt: skip


def report(builds: Sequence[Figures]) -> Report:
    """The builds as a table for people."""
    setting = {"timed": "harken data build starter, from the start of the process to its end; weights here"}
    return Report("the starter, end to end", setting, tuple(builds))
