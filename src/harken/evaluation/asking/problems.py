"""What was wrong on the way, as a file beside the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harken.data.files import write_text
from harken.evaluation.asking.exchanges import Failure
from harken.evaluation.problems import Problem


def write_problems(
    out: Path, benchmark: str, problems: Sequence[Problem], failures: Sequence[Failure]
) -> None:
    """OUT/{benchmark}-problems.txt, a line each."""
    lines = [*map(str, problems), *(f"{f.key}: unanswered: {f.why}" for f in failures)]
    write_text(out / f"{benchmark}-problems.txt", "".join(f"{line}\n" for line in lines))
