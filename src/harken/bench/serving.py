"""The realtime server measured from outside: what the socket adds, how many may speak at once, how soon it is
silent, and what harm does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Literal, get_args

from harken.api import Harken
from harken.audio.io import Samples, read
from harken.bench.moments import moments
from harken.bench.recording import EXAMPLES, recording
from harken.bench.result import spread
from harken.bench.serving_process import Running, running
from harken.bench.speaker import PUSH_TO_TALK, Reply, at_24_khz, speaker
from harken.errors import InputError
from harken.evaluation.report import hardware
from harken.recipes import Recipe
from harken.serving.limits import Limits

What = Literal["overhead", "sessions", "bargein", "hostile", "soak", "steps"]
WHATS: tuple[What, ...] = get_args(What)
AT_ONCE = (1, 2, 4, 8)
SECONDS = 120.0
RUNS = {"overhead": 30, "bargein": 40, "hostile": 10_000, "soak": 500, "steps": 50}
"""Pairs of replies, interruptions, events, sessions, tokens of each kind."""
Found = dict[str, Any]


def bench_serving(
    recipe: Recipe,
    checkpoint: Path | None = None,
    what: What = "overhead",
    runs: int | None = None,
    seconds: float | None = None,
) -> Found:
    """Measure one thing of a server in a process of its own; "steps" of the model in this one.

    Args:
        what: "overhead" (the first sound through the socket, beside that in this process; none is held back),
            "sessions" (time to first audio, underruns and memory with 1, 2, 4 and 8 speakers), "bargein"
            (from the first sample of speech to the end of the reply), "hostile" (broken events, while one
            other speaks), "soak" (memory over many sessions, one after the other and 50 at once), "steps" (a
            token of 1 to 4 replies, one after the other and together).
        runs: how often; None takes the bench's own number.
        seconds: of "sessions", how long they speak.

    Raises: InputError where this system does not tell what a process holds.
    """
    if not Path("/proc/self/statm").exists():
        raise InputError(f"{sys.platform} does not tell what a process holds", "run this on Linux")
    from harken.bench import serving_hardship, serving_many

    count = runs or RUNS.get(what, 1)
    measures: dict[What, Callable[[Running], Awaitable[Found]]] = {
        "bargein": lambda server: serving_many.barge_in(server, count, said()),
        "hostile": lambda server: serving_hardship.hostile(server, count, said()),
        "soak": lambda server: serving_hardship.soak(server, count, said()),
    }
    found: Found = {"bench": f"serving {what}", "recipe": recipe.name, "hardware": hardware()}
    if what == "steps":
        from harken.bench.serving_steps import steps
        from harken.checkpoint import load_model

        return found | steps(load_model(recipe, checkpoint), count)
    with TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        if what == "sessions":
            for speakers in AT_ONCE:
                with running(recipe, checkpoint, Limits(sessions=speakers), log) as server:
                    many = serving_many.speakers(server, speakers, seconds or SECONDS, said())
                    found[f"speakers_{speakers}"] = asyncio.run(many)
            return found
        limits = Limits(sessions=64, head_start_s=0) if what == "overhead" else Limits(sessions=64)
        with running(recipe, checkpoint, limits, log) as server:
            if what == "overhead":
                return found | overhead(server, recipe, checkpoint, count)
            return found | {what: asyncio.run(_awaited(measures[what](server)))}


async def _awaited(work: Awaitable[Found]) -> Found:
    return await work


def said() -> list[Samples]:
    """What speakers say, (N,) at 16 kHz each: the examples of a checkout, or made-up sounds."""
    files = sorted(EXAMPLES.glob("*.wav"))
    return [read(file).samples for file in files] or [recording(4.0)[0]]


def overhead(server: Running, recipe: Recipe, checkpoint: Path | None, count: int) -> Found:
    """Replies in turns: through the socket, and in this process; the other waits meanwhile."""
    from harken.checkpoint import load_model
    from harken.evaluation.progress import quiet_libraries

    quiet_libraries()
    harken, sounds = Harken(load_model(recipe, checkpoint)), said()
    harken.voice()
    socket, here = [], []
    for number in range(count + 1):
        samples = sounds[number % len(sounds)]
        through = asyncio.run(_first_sound(server.url, samples))
        within = moments(harken.reply((samples, 16_000), think="off")).first_chunk_s
        if number and through is not None and within is not None:  # the first of each warms up
            socket.append(through)
            here.append(within)
    difference_ms = [1000 * (a - b) for a, b in zip(socket, here, strict=True)]
    return {
        "socket": {"first_chunk_s": spread(socket)},
        "in_process": {"first_chunk_s": spread(here)},
        "overhead": {"ms": spread(difference_ms)},
        "pairs": len(socket),
    }


async def _first_sound(url: str, samples: Samples) -> float | None:
    """From the commit to the first sound."""
    sent, _ = at_24_khz(samples)
    async with speaker(url, audio=PUSH_TO_TALK, harken={"think": "off"}) as one:
        for start in range(0, len(sent), 24_000):
            await one.append(sent[start : start + 24_000])
        probe = one.expect("conversation.item.retrieved", "error")
        await one.send(type="conversation.item.retrieve", item_id="nobody")
        await probe  # all of it has been read
        reply, done = Reply(perf_counter()), one.expect("response.done")
        one.told = reply.take
        await one.send(type="input_audio_buffer.commit")
        await one.send(type="response.create")
        await done
    return reply.moments.first_chunk_s
