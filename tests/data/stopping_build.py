"""A build of one's own to stop: run as `stopping_build.py ENGINE SOURCE OUT [MOMENT]`.

At the moment (ingest, step or finish, in the middle of the second shard) it says so on standard output and
waits for ever, to be killed there. Without a moment it builds to the end.
"""

import sys
import threading
from pathlib import Path

from harken.bench.data_steps import FakeSpeech, steps
from harken.data import build_files, ingest
from harken.data.build import build
from harken.data.build_recipes import BuildRecipe, SourceConfig

MOMENT = sys.argv[4] if len(sys.argv) > 4 else ""


def stop_at(moment):
    """For whoever runs this to see; nothing comes after it."""
    if moment == MOMENT:
        print(moment, flush=True)
        threading.Event().wait()


class Stopping(FakeSpeech):
    """Leaves a file half done where it stops."""

    def open(self, resources):
        step = super().open(resources)

        def stopping(rows, workspace):
            if workspace.folder.name == "shard-00001":
                (workspace.folder / "half.ogg").write_bytes(b"half")
                stop_at("step")
            return step(rows, workspace)

        return stopping


def write_shard(out, number, rows, workspace, dropped=()):
    if number == 1 and MOMENT == "finish":
        (out / f"dropped-{number:05d}.jsonl").write_text("half")  # the rows, which come last, are not there
        stop_at("finish")
    return _write_shard(out, number, rows, workspace, dropped)


def write_rows(path, rows):
    if path.name == "ingest-00001.parquet":
        stop_at("ingest")
    return _write_rows(path, rows)


_write_shard, build_files.write_shard = build_files.write_shard, write_shard
_write_rows, ingest.write_rows = ingest.write_rows, write_rows


def recipe(source):
    return BuildRecipe(
        name="stopping",
        sources=(SourceConfig(name="starter", path=source),),
        rows_per_shard=4,
        steps=(*steps((0.0, 0.0, 0.0))[:2], Stopping()),
    )


if __name__ == "__main__":
    engine, source, out = sys.argv[1:4]
    print(build(recipe(source), Path(out), engine=engine).standing)
