"""`harken data show`: rows of a data set as people read them, or as one JSON object a line for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO

from rich.console import Console, Group
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from harken.data.rows import Affect, Instruction, Row, Turn, to_json
from harken.data.shards import read_rows
from harken.errors import InputError

WIDTH = 110  # of what is no terminal


def show(
    folder: Path,
    out: IO[str] | None = None,
    row: str | None = None,
    number: int | None = None,
    task: str | None = None,
    limit: int = 3,
    as_json: bool = False,
    joined: bool = False,
) -> int:
    """Print rows of a data set (a folder or one Parquet file); gives how many.

    Args:
        out: where to; None is standard output.
        row: only the rows whose id begins so.
        number: only the row that is the number-th, from 1, of those of `task` (and `joined`).
        task: only rows of this task.
        limit: print at most so many.
        joined: only rows that were made from several others.

    Raises DataError for what cannot be read, InputError where no row is such a one.
    """
    rows: Iterator[Row] = (
        r
        for r in read_rows(folder)
        if task in (None, r.task) and r.id.startswith(row or "") and (len(r.parents) > 1 or not joined)
    )
    if number is not None:
        if number < 1:
            raise InputError(f"there is no row {number}", "rows are numbered from 1")
        rows = islice(rows, number - 1, number)
    console = Console(file=out, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    shown = 0
    for one in islice(rows, limit):
        shown += 1
        if as_json:
            console.file.write(json.dumps(to_json(one), ensure_ascii=False) + "\n")
        else:
            console.print(readable(one))
    if not shown and limit > 0:
        asked = {"id": row, "number": number, "task": task, "parents": "several" if joined else None}
        wanted = ", ".join(f"{name} {value}" for name, value in asked.items() if value is not None)
        raise InputError(
            f"{folder}: has no row{' with ' + wanted if wanted else ''}",
            "`harken data audit` lists the tasks and counts",
        )
    return shown


def readable(row: Row) -> Group:
    """A row as people read it: its turns, what led to the target, and where it comes from."""
    lines = Table.grid(padding=(0, 2))
    lines.add_column(no_wrap=True, style="dim", min_width=11)
    lines.add_column(overflow="fold")
    for name, value in (
        *_instruction(row.instruction),
        *(line for place, turn in enumerate(row.turns, 1) for line in _turn(place, turn)),
        *_target(row),
        *_provenance(row),
    ):
        lines.add_row(_text(name), _text(value) if isinstance(value, str) else value)
    stage = f"stage {row.stage}" if row.stage else ""
    head = _joined([row.id, row.task, stage, row.lang, row.split, f"group {row.group}"])
    return Group(Rule(_text(head, "bold"), align="left"), lines)


Line = tuple[str, str | Text]


def _instruction(said: Instruction | None) -> Iterator[Line]:
    if said:
        voice = f"voice {said.voice}" if said.voice else ""
        yield "instruction", _joined([said.text, voice, _length(said.audio, said.seconds)])


def _turn(place: int, turn: Turn) -> Iterator[Line]:
    who = [turn.speaker.gender, turn.speaker.age, turn.speaker.id]
    units = f"{len(turn.units)} units" if turn.units else ""
    about = [*who, turn.style, _length(turn.audio, turn.seconds), units]
    yield f"{place} {turn.role}", _text(turn.text, "bold" if turn.role == "user" else "")
    if any(about):
        yield "", _text(_joined(about), "dim")
    for affect in turn.affect:
        yield "  emotion", _text(_affect(affect), "magenta")
    for cause in turn.cause:
        yield "  cause", _text(f"“{cause.span}” (turn {cause.turn + 1})", "cyan")


def _affect(affect: Affect) -> str:
    span = "" if affect.t0 is None else f"{affect.t0:.2f}–{_number(affect.t1)} s"
    confidence = "" if affect.confidence is None else f"{affect.confidence:.2f}"
    vad = ""
    if affect.vad:
        vad = f"valence {affect.vad.valence:+.2f}, arousal {affect.vad.arousal:+.2f}"
        vad += f", dominance {affect.vad.dominance:+.2f}"
    return _joined([affect.label, confidence, span, vad, f"by {affect.source}", affect.model])


def _target(row: Row) -> Iterator[Line]:
    if row.qa:
        yield f"question {row.qa.type}", _joined([row.qa.text, row.qa.level])
        for evidence in row.qa.evidence:
            yield "  evidence", evidence
    if row.injection:
        yield "injection", _text(row.injection, "yellow")
    if row.trace:
        yield "trace", row.trace
    if row.target is not None:
        yield "target", _reflecting(row) if row.reflections or row.given else _text(row.target, "green")
    if row.rejected is not None:
        yield "rejected", _text(row.rejected, "red")


def _reflecting(row: Row) -> Text:
    """The target with what is thought in between; what is not to be learned of it as what was rejected."""
    text, target, start = Text(), row.target or "", 0
    for end, thought in [*((r.at, r.text) for r in row.reflections), (len(target), "")]:
        given = max(start, min(row.given, end))
        text.append_text(_text(target[start:given], "red")).append_text(_text(target[given:end], "green"))
        text.append_text(_text(f" [{thought}] " if thought else "", "yellow"))
        start = end
    return text


def _provenance(row: Row) -> Iterator[Line]:
    shipped = "" if row.shippable else "never in shipped weights"
    yield "source", _joined([row.source, row.licence, shipped])
    if row.teacher:
        yield (
            "teacher",
            _joined(
                [
                    f"{row.teacher.name} {row.teacher.revision}".strip(),
                    f"prompt {row.teacher.prompt_sha256[:12]}",
                    f"seed {row.teacher.seed}",
                    row.teacher.sampling,
                ]
            ),
        )
    if row.codec_sha256:
        yield "codec", row.codec_sha256[:12]
    if row.parents:
        yield "parents", ", ".join(row.parents)


def _joined(parts: Iterable[str | None]) -> str:
    return " · ".join(part for part in parts if part)


def _length(audio: str | None, seconds: float | None) -> str:
    return _joined([audio and f"{_number(seconds)} s", audio])


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"


def _text(text: str, style: str = "") -> Text:
    """Data as it is, but nothing in it may steer the terminal."""
    safe = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return Text(safe, style=style)
