"""A server on a real socket, on fakes; what a session hears and says is made up."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import websockets

pytest.importorskip("fastapi", reason="serving needs harken[serve]")
pytest.importorskip("prometheus_client", reason="serving needs harken[serve]")

from openai import AsyncOpenAI

from harken.api import Harken
from harken.audio.io import Samples
from harken.audio.pcm import encoded
from harken.serving.host import Host
from harken.serving.limits import Limits
from harken.serving.server import Server, listen
from harken.serving.wire import SERVER_EVENTS
from harken.testing import FakeVoice, ScriptedLM, heard_turn, loud_is_speech
from harken.voices.base import NEUTRAL, Style

ANSWER = "I am sorry to hear that. Tell me more."
TRACE = 'The speaker feels sad because: "my job"'
PUSH_TO_TALK = {"turn_detection": None}
Event = dict[str, Any]


def script(read: str) -> str:
    return f"{TRACE}</think>" if read.endswith("<think>\n") else ANSWER


def heard(samples: np.ndarray) -> Any:
    return heard_turn("I lost my job.", seconds=len(samples) / 16_000, width=1)


def hum(seconds: float, rate: int = 24_000, level: float = 0.3) -> str:
    """Sound in base64."""
    return encoded((level * np.sin(np.arange(int(seconds * rate)) / 10)).astype(np.float32))


def silence(seconds: float) -> str:
    return base64.b64encode(bytes(2 * int(seconds * 24_000))).decode()


def a_host(limits: Limits | None = None, model: Any = None, voice: Any = None, **options: Any) -> Host:
    model = model or ScriptedLM(script, heard)
    return Host(Harken(model), loud_is_speech, limits, voice=voice or FakeVoice(chunk_s=0.5), **options)


class HeldLM(ScriptedLM):
    """Takes its steps freely, until it is held after some; `waits` is set while it waits."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.waits = threading.Event()
        self.read_at_once: list[int] = []
        """Of how many replies a token each was read together."""
        self._free = threading.Semaphore(10_000)

    def read(self, *given: Any) -> Any:
        if not self._free.acquire(blocking=False):
            self.waits.set()
            self._free.acquire()
        return super().read(*given)

    def read_each(self, inputs: Any, states: Any) -> Any:
        self.read_at_once.append(len(states))
        return super().read_each(inputs, states)

    def hold(self, after: int) -> None:
        """So many steps are free from now on."""
        while self._free.acquire(blocking=False):
            pass
        self.waits.clear()
        self._free.release(after)

    def let_go(self) -> None:
        self._free.release(10_000)


class SlowVoice(FakeVoice):
    """Takes ten seconds for each sentence, in chunks of one."""

    def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
        for _ in range(10):
            yield np.full(self.sample_rate, 0.1, np.float32)


@dataclass
class Served:
    """A running server."""

    host: Host
    port: int
    server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @asynccontextmanager
    async def client(self, key: str = "none", model: str = "gpt-realtime") -> AsyncIterator[Client]:
        """The stock client, connected, with the session's first event read."""
        stock = AsyncOpenAI(api_key=key, base_url=self.url)
        options: Any = {"max_queue": None}  # unread events would hold up its end
        async with stock.realtime.connect(model=model, websocket_connection_options=options) as connection:
            client = Client(connection)
            await client.until("session.created")
            yield client


class Client:
    """The stock client's connection; remembers all that it was told, in order."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.told: list[Event] = []

    async def next(self) -> Event:
        event = (await asyncio.wait_for(self.connection.recv(), 20)).to_dict(use_api_names=True)
        SERVER_EVENTS[event["type"]].model_validate(event)
        self.told.append(event)
        return event

    async def until(self, *kinds: str) -> Event:
        """The next event of these kinds; an error only where it is one of them."""
        while (event := await self.next())["type"] not in kinds:
            assert event["type"] != "error", event
        return event

    async def send(self, kind: str, **fields: Any) -> None:
        """Any event."""
        await self.connection.send({"type": kind, **fields})

    async def error(self) -> Event:
        error: Event = (await self.until("error"))["error"]
        return error

    async def set(self, audio_input: Event | None = None, **session: Any) -> Event:
        """Settings that are changed; gives those of the session."""
        audio = {"audio": {"input": audio_input}} if audio_input is not None else {}
        await self.connection.session.update(session={"type": "realtime", **audio, **session})
        found: Event = (await self.until("session.updated"))["session"]
        return found

    async def say(self, seconds: float = 1.0) -> None:
        """Push to talk: a turn, and a reply asked for."""
        await self.connection.input_audio_buffer.append(audio=hum(seconds))
        await self.connection.input_audio_buffer.commit()
        await self.connection.response.create()

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.told if event["type"] in kinds]

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.told]


@contextmanager
def served(host: Host, key: str | None = None) -> Iterator[Served]:
    """A server in a thread of its own, until it is left."""
    with listen("127.0.0.1", 0) as at:
        server = Server(host, key)
        ready = threading.Event()
        begin = server.startup

        async def startup(*given: Any, **named: Any) -> None:
            try:
                await begin(*given, **named)
            finally:
                ready.set()

        server.startup = startup  # type: ignore[method-assign]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
        thread.start()
        assert ready.wait(60) and server.started
        try:
            yield Served(host, at.getsockname()[1], server)
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


def connected(running: Served, **options: Any) -> Any:
    """A connection of no particular client."""
    url = f"ws://127.0.0.1:{running.port}/v1/realtime"
    return websockets.connect(url, **{"max_size": None, "max_queue": None, **options})


def run(talk: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A test's conversation, with an end in any case."""
    asyncio.run(asyncio.wait_for(talk(), 120))


async def on_server(running: Served, work: Coroutine[Any, Any, Any]) -> Any:
    """What something gives that has to run on the server's own event loop."""
    loop = running.host.worker._loop
    assert loop is not None
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


def shown(client: Client, kind: str = "response.output_audio_transcript.delta") -> str:
    return "".join(event["delta"] for event in client.of(kind))


def asked(model: ScriptedLM) -> str:
    """What the model read last before it wrote."""
    return [text for text in model.read_texts if text.endswith("<|im_start|>assistant\n")][-1]


async def push_to_talk(client: Client, **session: Any) -> None:
    await client.set(PUSH_TO_TALK, **session)
    await client.say()
    await client.until("response.done")
