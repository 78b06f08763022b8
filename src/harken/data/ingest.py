"""The first part of a build: sources to numbered pieces of source rows, each the beginning of a shard.

Sources are read by turns, so that every piece has something of each; a row gets its id, and once all have
gone by (`harken.data.groups`) its group and split. What could not be read or may not be used waits beside its
piece, to be counted with what the steps drop. Memory holds a number for each row, and one piece. An ingest
that was interrupted is done again; `plan.json` stands once it is whole.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harken.data.build_recipes import BuildRecipe, SourceConfig
from harken.data.files import write_text
from harken.data.groups import Grouper
from harken.data.rows import Row, content_id
from harken.data.shards import DroppedRow, read_dropped, read_rows, write_rows
from harken.data.steps.base import Dropped
from harken.errors import DataError

if TYPE_CHECKING:
    from harken.data.sources.base import Unread

STEP = "ingest"
PLAN = "plan.json"
NOT_SHIPPABLE = "never in shipped weights"
OTHER_LANGUAGE = "not in a language asked for"
TWICE = "id was read before"

Read = Callable[[], "Iterator[Row | Unread]"]


@dataclass(frozen=True)
class Plan:
    """What was read: how many pieces, of how many rows, and how many items were left out of them."""

    shards: int
    rows: int
    dropped: int


def ingest(
    recipe: BuildRecipe,
    readers: Mapping[str, Read],
    folder: Path,
    limit: int | None,
    tell: Callable[[int], None],
) -> Plan:
    """The pieces of the recipe's shards in `folder`; those of an earlier run where it was whole.

    Args:
        readers: the recipe's sources, by name.
        limit: rows at most, over all sources.
        tell: is told after each piece how many rows there are.

    Raises DataError for a source that cannot be read at all, where nothing of any can be used, and where
    `folder` cannot be written.
    """
    plan = folder / PLAN
    if plan.is_file():
        return Plan(**json.loads(plan.read_text(encoding="utf-8")))
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        done = _Pieces(recipe, folder, tell).write(readers, limit)
        write_text(plan, json.dumps(asdict(done)))
    except OSError as error:
        place = error.filename or folder
        raise DataError(f"{place}: {error.strerror or error}", "mend that, then build again") from None
    return done


def read_piece(folder: Path, number: int) -> tuple[list[Row], list[Dropped]]:
    """The source rows that a shard begins with, and what was left out beside them. Raises DataError."""
    path, rows = _groups_path(folder, number), read_rows(_rows_path(folder, number))
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))
        grouped = [replace(row, group=g, split=split) for row, (g, split) in zip(rows, groups, strict=True)]
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is damaged: {error}", f"remove {folder}: it is read again") from None
    dropped = read_dropped(path) if (path := _dropped_path(folder, number)).is_file() else iter(())
    return grouped, [Dropped(_nameless(one), one.step, one.reason, one.detail) for one in dropped]


class _Pieces:
    """The pieces being written."""

    def __init__(self, recipe: BuildRecipe, folder: Path, tell: Callable[[int], None]) -> None:
        self._recipe, self._folder, self._tell = recipe, folder, tell
        self._grouper = Grouper(recipe.dev_share, recipe.seed)
        self._piece: list[Row] = []
        self._written = self._rows = 0
        self._reasons = Counter[str]()

    def write(self, readers: Mapping[str, Read], limit: int | None) -> Plan:
        for item in chosen(self._recipe, readers):
            if isinstance(item, DroppedRow):
                self._drop(item)
                continue
            self._piece.append(item)
            if len(self._piece) == self._recipe.rows_per_shard:
                self._flush()
            if self._rows + len(self._piece) == limit:
                break
        if self._piece:
            self._flush()
        if not self._rows:
            reasons = ", ".join(f"{reason} ({n})" for reason, n in self._reasons.most_common(3))
            raise DataError(f"the sources gave no rows: {reasons or 'they are empty'}", "see their paths")
        self._keep_last_dropped()
        for number in range(self._written):
            self._group(number)
        return Plan(self._written, self._rows, self._reasons.total())

    def _drop(self, item: DroppedRow) -> None:
        self._reasons[item.reason] += 1
        with _dropped_path(self._folder, self._written).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(item)) + "\n")

    def _flush(self) -> None:
        write_rows(_rows_path(self._folder, self._written), self._piece)
        for row in self._piece:
            self._grouper.add(row)
        self._written += 1
        self._rows += len(self._piece)
        self._piece = []
        self._tell(self._rows)

    def _keep_last_dropped(self) -> None:
        """What was left out after the last piece goes with it."""
        last = _dropped_path(self._folder, self._written)
        if last.is_file():
            with _dropped_path(self._folder, self._written - 1).open("a", encoding="utf-8") as file:
                file.write(last.read_text(encoding="utf-8"))
            last.unlink()

    def _group(self, number: int) -> None:
        from pyarrow.parquet import read_table

        columns = read_table(_rows_path(self._folder, number), columns=["group", "split"]).to_pylist()
        rows = [self._grouper.assign(replace(_ROW, **one)) for one in columns]
        write_text(
            _groups_path(self._folder, number),
            json.dumps([[row.group, row.split] for row in rows]),
            lasting=False,
        )


def chosen(recipe: BuildRecipe, readers: Mapping[str, Read]) -> Iterator[Row | DroppedRow]:
    """The rows of all sources that the recipe takes, with their ids, and what is left out: one of each source
    in turn, until all have ended."""
    seen: set[int] = set()
    active = {s.name: _of_source(recipe, s, readers[s.name]()) for s in recipe.sources if s.name in readers}
    while active:
        for name, items in list(active.items()):
            item = next(items, None)
            if item is None:
                del active[name]
            elif isinstance(item, DroppedRow):
                yield item
            elif (number := int(item.id, 16)) in seen:
                yield DroppedRow(item.id, name, STEP, TWICE)
            else:
                seen.add(number)
                yield item


def _of_source(
    recipe: BuildRecipe, source: SourceConfig, items: Iterator[Row | Unread]
) -> Iterator[Row | DroppedRow]:
    taken, digest = 0, recipe.digest
    for item in items:
        if not isinstance(item, Row):
            yield DroppedRow(item.where, source.name, STEP, item.reason, item.detail)
        elif recipe.shippable_only and not item.shippable:
            yield DroppedRow(item.id, source.name, STEP, NOT_SHIPPABLE, item.licence)
        elif source.langs and item.lang not in source.langs:
            yield DroppedRow(item.id, source.name, STEP, OTHER_LANGUAGE, item.lang)
        elif source.share == 1 or int(content_id(recipe.seed, item.id), 16) < source.share * 16**20:
            yield replace(item, id=content_id(digest, item.id))
            taken += 1
            if taken == source.limit:
                return


def _rows_path(folder: Path, number: int) -> Path:
    return folder / f"ingest-{number:05d}.parquet"


def _groups_path(folder: Path, number: int) -> Path:
    return folder / f"ingest-{number:05d}.groups.json"


def _dropped_path(folder: Path, number: int) -> Path:
    return folder / f"ingest-{number:05d}.dropped.jsonl"


_ROW = Row(
    id="",
    group="",
    split="",
    task="source",
    stage="",
    lang="",
    source="",
    licence="",
    shippable=False,
    turns=(),
)


def _nameless(one: DroppedRow) -> Row:
    """A row for what never became one."""
    return replace(_ROW, id=one.id, source=one.source)
