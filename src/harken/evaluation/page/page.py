"""A report as one HTML file that needs nothing beside it: no network, no script, no other file.

It shows the figures beside the published ones, plots, dialogues to listen to, and how all of it was made. All
text that comes from outside is escaped. What the figures are is left to whoever made the report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from harken.data.files import write_text
from harken.errors import InputError, MissingExtra
from harken.evaluation.page.examples import Example, clip
from harken.evaluation.page.plots import Plots, draw
from harken.evaluation.report import Report, Row, shown

try:
    import jinja2
except ImportError as error:
    raise MissingExtra("the page of a report", "eval") from error

EXAMPLES = 10
"""Dialogues on a page at most."""
PUBLISHED = "published"
"""What such rows say under `from`."""

_LEAD = ("system", "judge", "data", "method", "final score", "harken", "hardware")
"""What of the setting is told first, where it is there."""


@dataclass(frozen=True)
class Line:
    """One system's figures on one data set."""

    data: str
    system: str
    published: bool
    cells: tuple[Row | None, ...]
    """A row of the report for each measure of the table."""


@dataclass(frozen=True)
class Table:
    """Data sets that have the same measures."""

    measures: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def published(self) -> bool:
        """Is nothing in it our own?"""
        return all(line.published for line in self.lines)


def write_page(
    path: Path,
    report: Report,
    *,
    examples: Sequence[Example] = (),
    plots: Plots = Plots(),
    trust: str | None = None,
    command: str | None = None,
    hashes: Mapping[str, str] = {},
) -> None:
    """Write the page, whole or not at all.

    Args:
        examples: the first `EXAMPLES` are shown.
        trust: whether the judge's rankings are to be trusted, in a sentence.
        command: as it was typed. hashes: of what went in, by name.

    Raises: InputError where the file cannot be written, MissingExtra without `harken[eval]`.
    """
    measured = [row for row in report.rows if "measure" in row]
    others = [row for row in report.rows if "measure" not in row]
    text = _template().render(
        report=report,
        lead=[(name, shown(report.setting[name])) for name in _LEAD if name in report.setting],
        trust=trust,
        tables=tables(measured),
        others=others,
        other_columns=list(dict.fromkeys(column for row in others for column in row)),
        drawings=draw(plots),
        examples=examples[:EXAMPLES],
        command=command,
        hashes=hashes,
        clip=clip,
        shown=shown,
        interval=_interval,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}", "name another place") from None


def tables(rows: Sequence[Row]) -> list[Table]:
    """Rows of `harken.evaluation.report.figure` as tables, ours before the published ones of each."""
    lines: dict[tuple[str, str, bool], dict[str, Row]] = {}
    for row in rows:
        key = str(row["data"]), str(row["system"]), row.get("from") == PUBLISHED
        lines.setdefault(key, {})[str(row["measure"])] = row
    measures_of: dict[str, dict[str, None]] = {}
    for (data, _, _), cells in lines.items():
        measures_of.setdefault(data, {}).update(dict.fromkeys(cells))
    by_measures: dict[tuple[str, ...], list[Line]] = {}
    for (data, system, published), cells in lines.items():
        measures = tuple(measures_of[data])
        line = Line(data, system, published, tuple(cells.get(measure) for measure in measures))
        by_measures.setdefault(measures, []).append(line)
    return [Table(m, tuple(sorted(of, key=lambda line: line.published))) for m, of in by_measures.items()]


def _interval(value: object) -> tuple[str, str]:
    """A figure as people read it, and the interval around it."""
    match value:
        case [float(), float(), float()]:
            return f"{value[0]:.2f}", f"[{value[1]:.2f}, {value[2]:.2f}]"
        case float():
            return f"{value:.2f}", ""
    return shown(value), ""


def _template() -> jinja2.Template:
    text = files("harken.evaluation.page").joinpath("page.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)
