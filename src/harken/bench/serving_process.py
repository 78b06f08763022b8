"""A server in a process of its own, to be measured from outside."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from harken.errors import HarkenError
from harken.recipes import Recipe
from harken.serving.limits import Limits


@dataclass(frozen=True)
class Running:
    """Where it listens, and what it holds."""

    port: int
    process: BaseProcess
    log: Path
    """What it wrote to standard error."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def held_mb(self) -> float:
        """Memory, in 10^6 bytes (Linux)."""
        statm = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(statm.split()[1]) * resource.getpagesize() / 1e6


@contextmanager
def running(recipe: Recipe, checkpoint: Path | None, limits: Limits, log: Path) -> Iterator[Running]:
    """A server of the limits, until it is left. Raises HarkenError where it does not start."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, recipe, checkpoint, limits, log), daemon=True)
    process.start()
    there.close()
    try:
        port = here.recv()
    except EOFError:
        process.join()
        raise HarkenError("the server did not start", f"{log} says why") from None
    try:
        yield Running(port, process, log)
    finally:
        if process.is_alive():
            process.terminate()
        process.join(60)


def _serve(parent: Connection, recipe: Recipe, checkpoint: Path | None, limits: Limits, log: Path) -> None:
    import os
    import sys

    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(written, sys.stderr.fileno())
    from harken.api import Harken
    from harken.checkpoint import load_model
    from harken.evaluation.progress import quiet_libraries
    from harken.serving.capacity import pace
    from harken.serving.host import Host
    from harken.serving.server import Server, listen
    from harken.serving.turns import open_vad
    from harken.serving.worker import Worker

    quiet_libraries()
    worker = Worker()
    harken = worker.do(lambda: Harken(load_model(recipe, checkpoint)))
    host = worker.do(lambda: Host(harken, open_vad(), limits, worker=worker))
    host.head_start.learn(worker.do(lambda: pace(harken)))  # as `harken serve` does
    with listen("127.0.0.1", 0) as at:
        server = Server(host)
        signal.signal(signal.SIGTERM, server.handle_exit)
        begin = server.startup

        async def startup(sockets: object = None) -> None:
            await begin(sockets)  # type: ignore[arg-type]
            parent.send(at.getsockname()[1])

        server.startup = startup  # type: ignore[method-assign]
        server.run(sockets=[at])
