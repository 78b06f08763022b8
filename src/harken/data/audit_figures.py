"""The figures of a data set: what an audit found, as tables for people.

How they are counted is `harken.data.audit`; pictures and the page are `harken.data.audit_page`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

BY = ("task", "stage", "split", "lang", "source")
"""Fields of a row that rows are counted by."""
ORIGINS = ("human", "rule", "model")
SPOKEN = ("user", "reply", "instruction")
LONGEST_S = 30
"""Durations are counted a second a bin; the last bin holds all longer turns."""

Counts = Mapping[str, int]
Lines = Sequence[tuple[Any, ...]]
Table = tuple[str, tuple[str, ...], Lines]
"""Title, head and lines."""


@dataclass(frozen=True)
class Violation:
    """Something that must not be in a data set, and the first few things it is true of."""

    kind: str
    count: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.names) else ""
        return f"{self.kind}: {self.count} ({', '.join(self.names)}{more})"


@dataclass(frozen=True)
class Maker:
    """A model with a prompt, and the rows whose target it wrote."""

    name: str
    revision: str
    prompt_sha256: str
    sampling: str
    rows: int


@dataclass(frozen=True)
class Licence:
    """Rows of a source under a licence."""

    source: str
    licence: str
    shippable: bool
    rows: int


@dataclass(frozen=True)
class Traces:
    """How many think blocks there are, and how many differ, whole and after what IEAT injected."""

    rows: int
    distinct: int
    distinct_after_injection: int


@dataclass(frozen=True)
class Reflections:
    """Of rows that reflect: how many, how many of them mend a weak beginning, their reflections, and how many
    of those differ."""

    rows: int = 0
    mending: int = 0
    reflections: int = 0
    distinct: int = 0


@dataclass(frozen=True)
class Audit:
    """The figures of a data set."""

    folder: str
    rows: int
    groups: int
    counts: Mapping[str, Counts]  # of each of `BY`
    turns: Counts  # turns a row, as text
    emotions: Mapping[str, Counts]  # label -> origin -> users' turns
    agreement: Mapping[
        str, Mapping[str, Counts]
    ]  # human or rule -> label -> what a model heard -> recordings
    hours: Mapping[str, Mapping[str, float]]  # source -> one of `SPOKEN` -> hours in rows
    distinct_hours: Mapping[str, float]  # one of `SPOKEN` -> hours, each recording once
    durations_s: tuple[int, ...]  # users' turns by whole seconds
    voices: Mapping[str, int]  # split -> users' and instructions' voices and speakers
    licences: tuple[Licence, ...]
    makers: tuple[Maker, ...]
    without_model: int  # rows whose target people or a rule wrote
    labelers: Counts  # name and revision -> labels
    codecs: Counts
    dropped: Mapping[str, Counts]  # step -> reason -> rows
    duplicates: int  # rows that say the same as an earlier one
    traces: Traces
    reflections: Reflections
    violations: tuple[Violation, ...]

    @property
    def dropped_rows(self) -> int:
        return sum(sum(reasons.values()) for reasons in self.dropped.values())

    def print(self, out: IO[str] | None = None) -> None:
        """The figures as tables. Args: out: where to; None is standard output."""
        from rich.console import Console
        from rich.table import Table as RichTable

        console = Console(file=out, markup=False, highlight=False)
        if not console.is_terminal:
            console.width = 140
        console.print(f"{self.folder}: {self.rows} rows of {self.groups} groups")
        for title, head, lines in self.tables():
            table = RichTable(title=title, title_justify="left", min_width=40)
            for place, name in enumerate(head):
                table.add_column(name, overflow="fold", justify="left" if not place else "right")
            for line in lines:
                table.add_row(*map(shown, line))
            console.print(table)
        for violation in self.violations:
            console.print(f"must not be: {violation}", soft_wrap=True)
        if not self.violations:
            console.print(
                "no group and no voice is in two splits, no id occurs twice, each row has a licence"
            )

    def tables(self) -> list[Table]:
        """Every table that is not empty."""
        rows: list[Table] = [
            (f"rows by {name}", (name, "rows"), list(self.counts[name].items())) for name in BY
        ]
        return [table for table in (*rows, *self._of_sound(), *self._of_origin()) if table[2]]

    def _of_sound(self) -> list[Table]:
        """What is heard: hours, emotions, turns, voices."""
        hours = [(s, *(of.get(kind, 0.0) for kind in SPOKEN)) for s, of in self.hours.items()]
        if hours:
            hours.append(("each recording once", *(self.distinct_hours.get(kind, 0.0) for kind in SPOKEN)))
        emotions = [
            (label, *(of.get(origin, 0) for origin in ORIGINS)) for label, of in self.emotions.items()
        ]
        agreement = [
            (label, origin, sum(of.values()), _part(of, label), _part(of, "other"))
            for origin, labels in self.agreement.items()
            for label, of in labels.items()
        ]
        return [
            ("hours", ("source", *SPOKEN), hours),
            ("emotions of users' turns", ("label", *ORIGINS), emotions),
            (
                "what a model heard in turns that others labelled",
                ("label", "said by", "recordings", "the same", "abstained"),
                agreement,
            ),
            ("turns", ("turns a row", "rows"), list(self.turns.items())),
            ("voices and speakers", ("split", "voices"), list(self.voices.items())),
        ]

    def _of_origin(self) -> list[Table]:
        """Where rows come from: licences, models; what was dropped, and what repeats."""
        licences = [(x.source, x.licence, "yes" if x.shippable else "no", x.rows) for x in self.licences]
        written: list[tuple[Any, ...]] = [
            (f"{m.name}@{m.revision[:12]}", m.prompt_sha256[:12], m.rows) for m in self.makers
        ]
        if self.without_model:
            written.append(("people, or a rule", "", self.without_model))
        dropped = [(step, reason, n) for step, of in self.dropped.items() for reason, n in of.items()]
        traces = self.traces
        checks = [
            ("rows that say the same as another", self.duplicates),
            ("traces", traces.rows),
            ("of them distinct", share(traces.distinct, traces.rows)),
            ("distinct after the injection", share(traces.distinct_after_injection, traces.rows)),
        ]
        if (reflecting := self.reflections).rows:
            checks += [
                ("rows that reflect", reflecting.rows),
                ("of them mending a weak beginning", share(reflecting.mending, reflecting.rows)),
                ("reflections", reflecting.reflections),
                ("of them distinct (reflections)", share(reflecting.distinct, reflecting.reflections)),
            ]
        return [
            ("licences", ("source", "licence", "in shipped weights", "rows"), licences),
            ("written by", ("model", "prompt", "rows"), written),
            ("labelled by", ("model", "labels"), list(self.labelers.items())),
            ("units of codec", ("sha256", "rows"), list(self.codecs.items())),
            ("dropped", ("step", "reason", "rows"), dropped),
            ("checks", ("what", "value"), checks),
        ]


def share(part: int, whole: int) -> str:
    """A number and what share of the whole it is."""
    return f"{part} ({part / whole:.0%})" if whole else str(part)


def _part(counts: Counts, name: str) -> str:
    return share(counts.get(name, 0), sum(counts.values()))


def shown(value: Any) -> str:
    """A value as tables show it."""
    return f"{value:.2f}" if isinstance(value, float) else str(value) if value != "" else "–"
