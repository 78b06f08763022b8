"""What a server has to bear: broken and huge events, clients that come and go, and those who do not read."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import perf_counter
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import websockets

from harken.audio.io import Samples
from harken.bench.hostile import huge, mutated
from harken.bench.serving_many import Heard, talk
from harken.bench.serving_process import Running
from harken.bench.speaker import EVERYTHING, PATIENCE_S, PUSH_TO_TALK, Busy, at_24_khz, speaker
from harken.serving.wire import SERVER_EVENTS

CLIENTS = 8
"""Hostile ones at once."""
EVENTS_A_CONNECTION = 100
LEAST = 19
"""How nice their process is: in use they are on other machines, here they take what the server leaves."""
HUGE = 0.002
"""Share of events that are as long as may be."""
AT_ONCE = 50
TEXT = {"output_modalities": ["text"], "max_output_tokens": 2, "harken": {"think": "off"}}


async def hostile(server: Running, count: int, sounds: list[Samples]) -> dict[str, Any]:
    """Broken events from several connections, one client who never reads, and one who only talks."""
    heard, attacked, each = Heard(), asyncio.Event(), -(-count // CLIENTS)
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=os.nice, initargs=(LEAST,)) as elsewhere:
        await asyncio.wrap_future(elsewhere.submit(_attacked, server.url, 0))  # it has begun
        begun_s = perf_counter()
        other = asyncio.create_task(talk(server, sounds, heard, attacked.is_set))
        told = await asyncio.wrap_future(elsewhere.submit(_attacked, server.url, each))
        seconds = perf_counter() - begun_s
        attacked.set()
        await other
    return {
        "events": each * CLIENTS,
        "seconds": round(seconds, 1),
        "answered_with": dict(told.most_common()),
        "alive": server.alive,
        **{f"other_{name}": value for name, value in heard.figures().items()},
        "log_lines": _lines(server),
    }


def _attacked(url: str, each: int) -> Counter[str]:
    """So many events from each of several clients, while one never reads."""
    told: Counter[str] = Counter()

    async def attack() -> None:
        deaf = asyncio.create_task(_never_read(url))
        await asyncio.gather(*(_attack(url, random.Random(n), each, told) for n in range(CLIENTS)))
        deaf.cancel()
        await asyncio.gather(deaf, return_exceptions=True)

    asyncio.run(attack())
    return told


async def _attack(url: str, draw: random.Random, count: int, told: Counter[str]) -> None:
    """So many events, some on each connection; counts what they were answered with."""
    while count > 0:
        async with websockets.connect(url, **EVERYTHING, open_timeout=PATIENCE_S) as connection:
            for _ in range(min(EVENTS_A_CONNECTION, count)):
                count -= 1
                await connection.send(huge(draw) if draw.random() < HUGE else mutated(draw))
            probe = {"type": "conversation.item.retrieve", "item_id": "nobody", "event_id": "probe"}
            await connection.send(json.dumps(probe))
            while True:
                event = json.loads(await asyncio.wait_for(connection.recv(), PATIENCE_S))
                SERVER_EVENTS[event["type"]].model_validate(event)
                error = event.get("error") or {}
                if error.get("event_id") == "probe":
                    break
                told[f"error {error['code']}" if event["type"] == "error" else "another event"] += 1


async def _never_read(url: str) -> None:
    """Asks for long answers, and reads none."""
    session = {"type": "realtime", "instructions": "x" * 7_000}
    update = json.dumps({"type": "session.update", "session": session})
    while True:
        connection = await websockets.connect(url, max_queue=1, ping_interval=None)
        try:
            while True:
                await connection.send(update)
        except websockets.ConnectionClosed:  # what it deserves
            continue
        finally:
            connection.transport.abort()  # a good end would have to be read


async def _free(server: Running) -> int:
    """Sessions that may still begin."""
    address = urlsplit(server.url)._replace(scheme="http", path="/readyz").geturl()

    def asked() -> int:
        try:
            with urlopen(address, timeout=PATIENCE_S) as answer:
                return int(json.load(answer)["free_sessions"])
        except HTTPError:  # 503: none
            return 0

    return await asyncio.to_thread(asked)


async def soak(server: Running, count: int, sounds: list[Samples]) -> dict[str, Any]:
    """Sessions in a row, then as many, 50 at once, of which half are left in the middle. Memory is looked at
    when the last has left."""
    draw, ended, free = random.Random(0), Counter[str](), await _free(server)

    async def held_mb() -> float:
        while await _free(server) < free:
            await asyncio.sleep(0.2)
        return server.held_mb()

    async def some(left: Iterator[int]) -> None:
        for _ in left:
            await _session(server, sounds[draw.randrange(len(sounds))], draw.random() * 2, ended)

    async def at_once(count: int) -> None:
        left = iter(range(count))
        await asyncio.gather(*(some(left) for _ in range(min(AT_ONCE, count))))

    for _ in range(20):  # what is made once is made, for one and for many
        await _session(server, sounds[0], 1.0, ended)
    await at_once(min(AT_ONCE, count))
    begun_mb, begun_s = await held_mb(), perf_counter()
    await some(iter(range(count)))
    in_a_row_mb = await held_mb()
    await at_once(count)
    over_mb = await held_mb()
    return {
        "sessions": dict(ended),
        "seconds": round(perf_counter() - begun_s, 1),
        "held_mb_at_first": round(begun_mb, 1),
        "held_mb_after_a_row": round(in_a_row_mb, 1),
        "held_mb_after_many_at_once": round(over_mb, 1),
        "grown": round(over_mb / begun_mb - 1, 4),
        "alive": server.alive,
        "log_lines": _lines(server),
    }


async def _session(server: Running, samples: Samples, whole: float, ended: Counter[str]) -> None:
    """A short session; `whole` below 1 leaves it after that share of the sound or in the reply, at once."""
    sent, _ = at_24_khz(samples[:16_000])
    try:
        async with speaker(server.url, audio=PUSH_TO_TALK, **TEXT) as one:
            await one.append(sent)
            if whole < 0.5:
                ended["left while speaking"] += 1
                return
            done = one.expect("response.done")
            await one.send(type="input_audio_buffer.commit")
            await one.send(type="response.create")
            if whole < 1:
                ended["left in the reply"] += 1
                return
            event, _ = await asyncio.wait_for(done, PATIENCE_S)
            ended[event["response"]["status"]] += 1
    except Busy:
        ended["busy"] += 1


def _lines(server: Running) -> list[str]:
    """The first lines that the server wrote to its log."""
    return server.log.read_text(errors="replace").splitlines()[:20]
