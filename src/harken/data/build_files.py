"""A build's folder: how a shard begins there, where it is worked on, and how it is finished.

A shard that stands has its Parquet; its figures lie in the work folder and can be counted anew. What the data
set's files are like is `harken.data.shards`, what lies under `work/ingest` `harken.data.ingest`.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from harken.data.engines.base import Finished, Parcel
from harken.data.files import write_text
from harken.data.ingest import read_piece
from harken.data.rows import Instruction, Row, Turn
from harken.data.shards import dropped_path, read_dropped, read_rows, rows_path, write_shard
from harken.data.workspace import Workspace
from harken.errors import DataError

LEAST_FREE = 64 << 20
"""Bytes: with less room than this no shard is begun or written."""


@dataclass
class Tally:
    """The figures of one shard, or of several."""

    rows: Counter[str] = field(default_factory=Counter)
    """By task."""
    dropped: Counter[str] = field(default_factory=Counter)
    """By "step: reason"."""
    tokens: Counter[str] = field(default_factory=Counter)
    """By what a language model did: "teacher asked" (prompts), "teacher written" (tokens)."""
    seconds: float = 0.0
    """Of recordings, each once a shard."""

    def add(self, other: Tally) -> None:
        self.rows += other.rows
        self.dropped += other.dropped
        self.tokens += other.tokens
        self.seconds += other.seconds

    def count(self, row: Row, heard: set[str]) -> None:
        """Args: heard: recordings of the shard that were counted; this row's are added."""
        self.rows[row.task] += 1
        spoken: list[Turn | Instruction] = [*row.turns, *([row.instruction] if row.instruction else [])]
        for one in spoken:
            if one.audio and one.audio not in heard:
                heard.add(one.audio)
                self.seconds += one.seconds or 0.0


@dataclass(frozen=True)
class ShardFiles:
    """The `Shards` of the build in folder `out`, an absolute path."""

    out: Path

    @property
    def work(self) -> Path:
        return self.out / "work"

    def begin(self, number: int) -> Parcel:
        self._check_room()
        folder = self.workspace(number).folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rows, dropped = read_piece(self.work / "ingest", number)
        return Parcel(number, rows, dropped)

    def workspace(self, number: int) -> Workspace:
        return Workspace(self.work / f"shard-{number:05d}")

    def finish(self, parcel: Parcel) -> Finished:
        """Writes the shard without its source rows, and its figures beside the work."""
        self._check_room()
        workspace = self.workspace(parcel.number)
        rows = [row for row in parcel.rows if row.task != "source"]
        left_out = write_shard(self.out, parcel.number, rows, workspace, parcel.dropped)
        lost = {one.row.id for one in left_out}
        tally, heard = Tally(tokens=parcel.tokens), set[str]()
        for row in rows:
            if row.id not in lost:
                tally.count(row, heard)
        tally.dropped.update(f"{one.step}: {one.reason}" for one in [*parcel.dropped, *left_out])
        write_text(self._tally_path(parcel.number), json.dumps(vars(tally)), lasting=False)
        shutil.rmtree(workspace.folder, ignore_errors=True)
        return Finished(parcel.number, tally.rows.total(), tally.dropped.total())

    def tally(self, number: int) -> Tally:
        """The figures of a shard that stands; counted anew, without tokens, where they were not kept."""
        try:
            kept = json.loads(self._tally_path(number).read_text(encoding="utf-8"))
            counters = {name: Counter(kept[name]) for name in ("rows", "dropped", "tokens")}
            return Tally(**counters, seconds=kept["seconds"])
        except (OSError, ValueError, KeyError):
            tally, heard = Tally(), set[str]()
        for row in read_rows(rows_path(self.out, number)):
            tally.count(row, heard)
        dropped = read_dropped(dropped_path(self.out, number))
        tally.dropped.update(f"{one.step}: {one.reason}" for one in dropped)
        return tally

    def wipe_work(self) -> None:
        """Remove what shards in work left, so that nothing of it is taken for finished."""
        for folder in self.work.glob("shard-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _tally_path(self, number: int) -> Path:
        return self.work / f"tally-{number:05d}.json"

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.out).free
        if free < LEAST_FREE:
            raise DataError(
                f"{self.out}: only {free >> 20} MB are free", "make room, then build again: it goes on"
            )
