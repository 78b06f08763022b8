"""Somebody who speaks to a Realtime server as people do: recordings at the pace of speech, quiet while the
reply plays; and when what happened in each reply.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import numpy as np
import soxr

from harken.audio import pcm
from harken.audio.io import Samples
from harken.audio.silence import audible_s
from harken.bench.moments import Moments
from harken.dialogue.events import AudioChunk
from harken.errors import MissingExtra

try:
    import websockets
except ImportError as error:
    raise MissingExtra("harken bench serving", "serve") from error

PIECE_S = 0.04
"""What a microphone sends at once."""
PATIENCE_S = 60.0
EVERYTHING: dict[str, Any] = {"max_size": None, "max_queue": None, "ping_interval": None}
"""How a client connects that reads whatever it is sent; unread events would hold up its end."""
PUSH_TO_TALK: dict[str, Any] = {"input": {"turn_detection": None}}
"""A session's sound where the speaker says when a turn is over."""
Event = dict[str, Any]


class Busy(Exception):
    """The server has no room."""


class Speaker:
    """One connection. `told` is called with each event and when it came, in seconds of `perf_counter`."""

    def __init__(self, connection: Any) -> None:
        self.told: Callable[[Event, float], None] = lambda event, at_s: None
        self._connection = connection
        self._seen: dict[str, asyncio.Future[tuple[Event, float]]] = {}
        self._reading = asyncio.create_task(self._read())

    async def send(self, **event: Any) -> None:
        await self._connection.send(json.dumps(event))

    def expect(self, *kinds: str) -> asyncio.Future[tuple[Event, float]]:
        """The next event of a kind, and when it came."""
        found: asyncio.Future[tuple[Event, float]] = asyncio.get_running_loop().create_future()
        self._seen |= dict.fromkeys(kinds, found)
        return found

    async def append(self, samples: Samples) -> None:
        """Samples (N,) at 24 kHz, at once."""
        await self.send(type="input_audio_buffer.append", audio=pcm.encoded(samples))

    async def speak(self, samples: Samples, until: asyncio.Future[Any] | None = None) -> float:
        """Samples (N,) at 24 kHz at their own pace, up to when something comes; gives when the first went."""
        size, begun_s = round(PIECE_S * pcm.SAMPLE_RATE_HZ), perf_counter()
        for number, start in enumerate(range(0, len(samples), size)):
            await asyncio.sleep(max(0.0, begun_s + number * PIECE_S - perf_counter()))
            if until is not None and until.done():
                break
            await self.append(samples[start : start + size])
        return begun_s

    async def quiet(self, until: asyncio.Future[Any]) -> None:
        """Silence, at its own pace, until something has come."""
        deadline_s = perf_counter() + PATIENCE_S
        second = np.zeros(pcm.SAMPLE_RATE_HZ, np.float32)
        while not until.done():
            if perf_counter() > deadline_s:
                raise TimeoutError("the server did not answer")
            await self.speak(second, until)

    def close(self) -> None:
        self._reading.cancel()

    async def _read(self) -> None:
        async for message in self._connection:
            at_s, event = perf_counter(), json.loads(message)
            self.told(event, at_s)
            found = self._seen.pop(event["type"], None)
            if found is not None and not found.done():
                found.set_result((event, at_s))


@asynccontextmanager
async def speaker(url: str, **session: Any) -> AsyncIterator[Speaker]:
    """A connection, its session as chosen. Raises Busy where the server has no room."""
    async with websockets.connect(url, **EVERYTHING) as connection:
        first = json.loads(await connection.recv())
        if first["type"] == "error":
            raise Busy(first["error"]["message"])
        opened = Speaker(connection)
        try:
            done = opened.expect("session.updated")
            await opened.send(type="session.update", session={"type": "realtime", **session})
            await asyncio.wait_for(done, PATIENCE_S)
            yield opened
        finally:
            opened.close()


class Reply:
    """Collects one reply, from the end of the user's turn."""

    def __init__(self, asked_s: float) -> None:
        self.moments = Moments()
        self._asked_s = asked_s

    def take(self, event: Event, at_s: float) -> None:
        now_s = at_s - self._asked_s
        if event["type"] == "response.output_audio_transcript.delta":
            found = self.moments
            found.first_text_s = now_s if found.first_text_s is None else found.first_text_s
            found.text += event["delta"]
        elif event["type"] == "response.output_audio.delta":
            samples = pcm.decoded([event["delta"]])
            end_ms = 1000 * (self.moments.seconds + len(samples) / pcm.SAMPLE_RATE_HZ)
            chunk = AudioChunk(samples, pcm.SAMPLE_RATE_HZ, 1000 * self.moments.seconds, end_ms, 0)
            self.moments.arrivals_s.append(now_s)
            self.moments.chunks.append(chunk)
        elif event["type"] == "response.done":
            self.moments.total_s = now_s


def at_24_khz(samples: Samples) -> tuple[Samples, float]:
    """(N,) at 16 kHz as it is sent, and where in it the first sound is, in seconds."""
    found = audible_s(samples, 16_000)
    sent: Samples = soxr.resample(samples, 16_000, pcm.SAMPLE_RATE_HZ)
    return sent, found[0] if found else 0.0
