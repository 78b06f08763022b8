"""Questions about recordings out of a data set that `harken data build` made: its paralinguistic rows of
split dev. Rows that have metadata in their prompt are left out, as the benchmark puts them in by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from harken.data.rows import Row, Turn
from harken.data.shards import read_rows, row_files
from harken.data.steps.paralinguistic import Paralinguistic
from harken.data.steps.paralinguistic_clip import clip_of
from harken.data.workspace import Workspace
from harken.errors import DataError
from harken.evaluation.asking.recordings import file_name, write_out
from harken.evaluation.paralinguistic.items import Item
from harken.evaluation.problems import Problem

_SURE = Paralinguistic().min_emotion_confidence
"""Labels of a model below it are not believed where there are surer ones."""


def is_built(data: Path) -> bool:
    """Is this a data set of Harken's, or a shard of one?"""
    return data.suffix == ".parquet" if data.is_file() else any(data.glob("rows-*.parquet"))


def read_built(data: Path, heard: Path | None) -> tuple[list[Item], list[Problem]]:
    """The questions of a data set, and the rows that cannot be asked about.

    Args: heard: where their recordings are written; None leaves them alone.
    Raises: DataError for a shard that cannot be read.
    """
    root = data if data.is_dir() else data.parent
    items: list[Item] = []
    problems: list[Problem] = []
    for shard in row_files(data):
        for row in read_rows(shard):
            plain = row.qa is not None and (row.instruction is None or row.instruction.text == row.qa.text)
            if row.task != "paralinguistic" or row.split != "dev" or not plain:
                continue
            try:
                items.append(_item(shard, row, root, heard))
            except DataError as error:
                problems.append(Problem(data, row.id, error.message))
    return items, problems


def _item(shard: Path, row: Row, root: Path, heard: Path | None) -> Item:
    """Raises DataError where the row cannot be asked about."""
    clip = clip_of(row, _SURE) or clip_of(row, 0.0)
    if clip is None or row.qa is None or row.target is None:
        raise DataError("has no label, no question or no answer")
    recordings: list[Path] = []
    replies: list[str | None] = []
    for turn in clip.turns:
        if turn.role == "user":
            recordings.append(_recording(turn, root, heard))
            replies.append(None)
        elif replies:  # what was said before the user spoke has no place in a question
            replies[-1] = f"{replies[-1]} {turn.text}" if replies[-1] else turn.text
    return Item(
        row.id,
        row.qa.text,
        row.target,
        row.qa.type,
        row.lang,
        (*clip.turns[:-1], replace(clip.turn, affect=clip.labels)),
        tuple(recordings),
        shard,
        tuple(replies[:-1]),
    )


def _recording(turn: Turn, root: Path, heard: Path | None) -> Path:
    if turn.audio is None:
        raise DataError("a turn has no recording")
    if heard is None:
        return Path(turn.audio)
    place = heard / f"{file_name(turn.audio)}{PurePosixPath(turn.audio).suffix}"
    return place if place.is_file() else write_out(Workspace(root, root=root).data(turn.audio), place)
