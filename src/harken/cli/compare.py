"""`harken evaluate compare`: two finished runs of a benchmark, item by item."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from harken.cli.command import DONE, Command


@dataclass(frozen=True, kw_only=True)
class Compare(Command):
    """Print how two finished runs differ, in each measure that has scores of items, on the items of both."""

    first: Positional[Path]
    """The --out of a run."""
    second: Positional[Path]
    """That of another; its scores are taken from the first's."""
    seed: int = 0
    """Draws bootstrap samples."""
    json: bool = False
    """Print the figures as JSON lines."""

    def run(self) -> int:
        from harken.evaluation.compare import compare

        report = compare(self.first, self.second, self.seed)
        print(report.json_lines()) if self.json else report.print()
        return DONE
