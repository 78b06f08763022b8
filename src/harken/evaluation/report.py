"""One form for every evaluation's figures: who was measured, on what, on which machine, and each value with
its interval.

A report prints as a table for people, as Markdown for a page, or as JSON lines for programs: first the
setting, then one object a figure. What is measured is left to the evaluations, intervals to
`harken.evaluation.statistics`.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import ArrayLike

from harken.errors import InputError
from harken.evaluation.statistics import Interval, Ratios, paired_bootstrap
from harken.processor import cores

Row = Mapping[str, object]


@dataclass(frozen=True)
class Report:
    """The figures of one benchmark. Rows are JSON-safe; three numbers are [value, low, high] at 95 %."""

    benchmark: str
    setting: Mapping[str, object]
    """What the figures depend on: recipe, checkpoint, seed, hardware, data, how it was measured."""
    rows: tuple[Row, ...]

    def with_setting(self, **more: object) -> Report:
        """The same figures, with more said about where they come from."""
        return dataclasses.replace(self, setting={**more, **self.setting})

    def json_lines(self) -> str:
        """The setting, then one object a figure."""
        objects = [{"benchmark": self.benchmark, **self.setting}, *self.rows]
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in objects)

    def markdown(self) -> str:
        """A heading, the table, and the setting as a list."""
        columns = self._columns()
        lines = [f"## {self.benchmark}", "", _table_line(columns), "|" + " --- |" * len(columns)]
        lines += [_table_line([shown(row.get(column)) for column in columns]) for row in self.rows]
        return (
            "\n".join([*lines, "", *(f"- {name}: {shown(value)}" for name, value in self.setting.items())])
            + "\n"
        )

    def print(self, out: IO[str] | None = None) -> None:
        """The table for people. Args: out: where to; None is standard output."""
        from rich.console import Console
        from rich.table import Table

        console = Console(file=out, markup=False, highlight=False)
        if not console.is_terminal:
            console.width = 140  # a file is as wide as its table
        table = Table(title=self.benchmark)
        for column in self._columns():
            table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(*(shown(row.get(column)) for column in self._columns()))
        console.print(table)
        for name, value in self.setting.items():
            console.print(f"{name}: {shown(value)}", soft_wrap=True)

    def save(self, folder: Path) -> None:
        """Write `<benchmark>.jsonl` and `<benchmark>.md`; raises InputError where it cannot."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for ending, text in ((".jsonl", self.json_lines() + "\n"), (".md", self.markdown())):
                path = folder / (self.benchmark + ending)
                unfinished = path.with_name(path.name + ".part")
                unfinished.write_text(text)
                unfinished.replace(path)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written: {error.strerror}", "name another folder"
            ) from None

    def _columns(self) -> list[str]:
        return list(dict.fromkeys(column for row in self.rows for column in row))


def figure(data: str, system: str, measure: str, value: Interval | float, n: int) -> Row:
    """One row. Args: n: items that the figure is over."""
    number = [value.value, value.low, value.high] if isinstance(value, Interval) else value
    return {"data": data, "system": system, "measure": measure, "value": number, "n": n}


def per_item(above: ArrayLike, below: ArrayLike | None = None) -> Ratios:
    """A figure as `Ratios` of one column, of (N,) each; `below` None is 1 for each: a mean."""
    top = np.asarray(above, dtype=float)
    bottom = np.ones_like(top) if below is None else np.asarray(below, dtype=float)
    return Ratios(top[:, None], bottom[:, None])


def bootstrap(ratios: Ratios, groups: ArrayLike | None = None, seed: int = 0) -> Interval:
    """A figure with its 95 % percentile interval; items, or whole `groups` of them, are resampled."""
    nothing = Ratios(np.zeros_like(ratios.above), ratios.below)
    return paired_bootstrap(ratios, nothing, groups, seed=seed)


def hardware() -> str:
    """The machine that figures were made on, in one line."""
    import torch

    return (
        f"{_processor()}, {cores()} cores, {torch.get_num_threads()} threads; torch {torch.__version__}, "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )


def shown(value: object) -> str:
    """A value as people read it."""
    match value:
        case None:
            return "–"
        case float():
            return f"{value:.3f}"
        case [float(), float(), float()]:
            return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
        case Mapping():
            return "; ".join(f"{name} {shown(inner)}" for name, inner in value.items())
        case Sequence() if not isinstance(value, str):
            return ", ".join(map(shown, value))
    return str(value)


def _table_line(cells: Sequence[str]) -> str:
    """A line of a table in Markdown, whatever is in its cells."""
    escaped = (" ".join(cell.splitlines()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()
