"""An audit as pictures and as one page that needs nothing beside it: no network, no script, no other file.

The page shows the figures, the pictures in a light and a dark dress, and a few rows whole, with their audio
to listen to and where each part of them came from. All text of rows is escaped. The figures themselves are
`harken.data.audit_figures`.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import soundfile

import harken
from harken.audio.io import SAMPLE_RATE_HZ
from harken.data.audit_figures import Audit, share, shown
from harken.data.audit_plots import DARK, LIGHT, PLOTS, draw
from harken.data.rows import TASKS, Row, content_id
from harken.data.workspace import Workspace
from harken.errors import DataError, HarkenError

BUILD = "build.json"
"""The build's record of itself, with the text of each prompt by its hash (`harken.data.build`)."""
EXAMPLES = 6
LONGEST_CLIP_S = 30.0


class Examples:
    """Rows to show: of each task and language the one whose name hashes lowest, an unbiased pick."""

    def __init__(self) -> None:
        self._best: dict[tuple[str, str], tuple[str, Row]] = {}

    def add(self, row: Row) -> None:
        key, rank = (row.task, row.lang), content_id("example", row.id)
        if key not in self._best or rank < self._best[key][0]:
            self._best[key] = (rank, row)

    def chosen(self, count: int = EXAMPLES) -> list[Row]:
        """Up to `count` rows, each task once before any twice, languages by turns."""
        by_task = {
            task: [row for (of, _), (_, row) in sorted(self._best.items()) if of == task] for task in TASKS
        }
        picked = [
            (turn, number, rows[(turn + number) % len(rows)])
            for number, rows in enumerate(rows for rows in by_task.values() if rows)
            for turn in range(len(rows))
        ]
        return [row for _, _, row in sorted(picked, key=lambda p: p[:2])][:count]


@dataclass(frozen=True)
class Clip:
    """A recording on the page: a data URI, or why there is none."""

    uri: str = ""
    fault: str = ""


def write_page(audit: Audit, examples: Sequence[Row], folder: Path, out: Path) -> None:
    """Write `PLOT.png` for each picture and `index.html` into `out`. Raises OSError where it cannot,
    DataError where the build's record cannot be read.

    Args:
        folder: of the data set, where the examples' audio and the prompts are.
    """
    pictures = []
    for name, plot in PLOTS.items():
        light = draw(audit, plot, LIGHT)
        if light is None:
            (out / f"{name}.png").unlink(missing_ok=True)  # of an earlier audit
            continue
        (out / f"{name}.png").write_bytes(light)
        dark = draw(audit, plot, DARK)
        assert dark is not None, "what is drawn in light is drawn in dark"
        pictures.append((plot.title, plot.about(audit), _uri("image/png", light), _uri("image/png", dark)))
    build = _build(folder)
    text = _template().render(
        audit=audit,
        tables=audit.tables(),
        pictures=pictures,
        examples=[(row, sounds(row, folder), _provenance(row)) for row in examples],
        build=build,
        prompts={m.prompt_sha256: build.get("prompts", {}).get(m.prompt_sha256) for m in audit.makers},
        version=harken.__version__,
        shown=shown,
        share=share,
    )
    part = out / ".index.html.part"
    part.write_text(text, encoding="utf-8")
    part.replace(out / "index.html")


def sounds(row: Row, folder: Path) -> Mapping[str, Clip]:
    """The recordings that a row names, by reference, as Ogg Opus."""
    named = [turn.audio for turn in row.turns] + [row.instruction.audio if row.instruction else None]
    workspace = Workspace(folder, root=folder)
    return {reference: _clip(workspace, reference) for reference in named if reference is not None}


def _clip(workspace: Workspace, reference: str) -> Clip:
    try:
        data = workspace.data(reference)
        if not data.startswith(b"OggS"):
            samples = workspace.recording(reference).samples[: int(LONGEST_CLIP_S * SAMPLE_RATE_HZ)]
            encoded = io.BytesIO()
            soundfile.write(encoded, samples, SAMPLE_RATE_HZ, format="OGG", subtype="OPUS")
            data = encoded.getvalue()
    except HarkenError as error:
        return Clip(fault=error.message)
    return Clip(_uri("audio/ogg", data))


def _provenance(row: Row) -> list[tuple[str, str]]:
    """Where every part of a row came from, a line each."""
    known: list[tuple[str, Any]] = [
        ("id", row.id),
        ("made from", ", ".join(row.parents)),
        ("group", row.group),
        ("source", row.source),
        ("licence", f"{row.licence}{'' if row.shippable else ' (not in shipped weights)'}"),
        ("split", row.split),
        ("emotion says", _distinct(f"{a.source} {a.model or ''}" for t in row.turns for a in t.affect)),
        ("user's voice", _distinct(t.speaker.id for t in row.turns if t.role == "user")),
        ("instruction's voice", row.instruction.voice if row.instruction else None),
        ("units of codec", row.codec_sha256),
    ]
    if row.teacher is not None:
        t = row.teacher
        known += [
            ("answer by", f"{t.name}@{t.revision}"),
            ("prompt", t.prompt_sha256),
            ("sampling", t.sampling),
            ("seed", t.seed),
        ]
    return [(name, str(value)) for name, value in known if value not in (None, "")]


def _build(folder: Path) -> Mapping[str, Any]:
    """What the build noted of itself; nothing where rows stand without it."""
    path = folder / BUILD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {"recipe": record["recipe"], "harken": record["harken"], "prompts": dict(record["prompts"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {error!r}", "build it again") from None


def _distinct(names: Iterable[str | None]) -> str:
    return ", ".join(dict.fromkeys(name.strip() for name in names if name))


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _template() -> jinja2.Template:
    text = files("harken.data").joinpath("audit.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)
