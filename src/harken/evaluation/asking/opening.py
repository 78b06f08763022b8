"""What the benchmarks that ask a system have in common: opening it and its judge, and writing down faults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harken.data.files import write_text
from harken.errors import InputError
from harken.evaluation.asking.exchanges import Failure
from harken.evaluation.problems import Problem
from harken.evaluation.report import Report
from harken.evaluation.systems.base import System

if TYPE_CHECKING:
    from harken.evaluation.humdial.run import Asking
    from harken.llm.base import LLM
    from harken.recipes import Recipe

JUDGE_ANSWERS = "judge.sqlite"
HEARD = "questions"
"""The folder under OUT of recordings that were written out of a data set."""


def predicted(asking: Asking) -> bool:
    """Is the system a folder of predictions, which needs no recordings?"""
    return asking.system is not None and Path(asking.system).is_dir()


def check_places(data: Path, asking: Asking, out: Path) -> None:
    """Raises InputError where what is written would be read as data, or written over predictions."""
    place = out.resolve()
    if asking.system is not None and Path(asking.system).resolve() == place:
        raise InputError(f"{out} holds the predictions that are scored", "name another folder after --out")
    if place.is_relative_to(data.resolve()):
        raise InputError(f"{out} lies in the data, {data}", "name a folder beside it after --out")


def open_judge_of(asking: Asking, out: Path) -> LLM | None:
    """The judge, where there is one. Raises: as `open_judge`."""
    from harken.evaluation.judges.select import open_judge

    if asking.judge is None:
        return None
    return open_judge(asking.judge, asking.judge_model, asking.judge_key_env, out / JUDGE_ANSWERS)


def open_system_of(asking: Asking, recipe: Recipe, checkpoint: Path | None) -> System:
    """The system under test. Raises: as `open_system`."""
    from harken.evaluation.systems.select import open_system

    return open_system(
        asking.system,
        recipe=recipe,
        checkpoint=checkpoint,
        model=asking.model,
        api_key_env=asking.api_key_env,
        voice=asking.voice,
    )


def of_whom(report: Report, asking: Asking) -> Report:
    """The report, saying that the recipe which the command names was not asked where it was not."""
    return report if asking.system is None else report.with_setting(recipe="none", checkpoint="none")


def write_problems(
    out: Path, benchmark: str, problems: Sequence[Problem], failures: Sequence[Failure]
) -> None:
    """OUT/{benchmark}-problems.txt, a line each."""
    lines = [*map(str, problems), *(f"{f.exchange}: unanswered: {f.why}" for f in failures)]
    write_text(out / f"{benchmark}-problems.txt", "".join(f"{line}\n" for line in lines))
