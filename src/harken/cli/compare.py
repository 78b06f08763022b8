"""`harken evaluate compare` and `arms`: finished runs of a benchmark side by side, item by item."""

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


@dataclass(frozen=True, kw_only=True)
class CompareArms(Command):
    """Print what arms of a comparison score over all their seeds, and how they differ from others."""

    folder: Positional[Path]
    """Runs in folders NAME-SEED, as `harken train affect --arm` leaves them; scores lie in or under each."""
    against: tuple[str, ...] = ()
    """Arms that every other is set against, one or more."""
    items: str = ""
    """Only items whose ids begin so, as contrast-ravdess: what people said."""
    measure: str = ""
    """Only measures whose names begin so, as "judged mean"."""
    pairs: bool = False
    """Also, on which share of the items an arm scores above the other; equal scores count half."""
    picture: Path | None = None
    """Draw them as well, into this file: .svg or .png."""
    seed: int = 0
    """Draws bootstrap samples."""
    json: bool = False
    """Print the figures as JSON lines."""

    def run(self) -> int:
        from harken.evaluation.arms import arms_report

        report = arms_report(
            self.folder,
            self.against,
            items=self.items,
            measure=self.measure,
            pairs=self.pairs,
            seed=self.seed,
        )
        if self.picture is not None:
            from harken.evaluation.arms_picture import draw_arms

            draw_arms(report, self.picture)
        print(report.json_lines()) if self.json else report.print()
        return DONE
