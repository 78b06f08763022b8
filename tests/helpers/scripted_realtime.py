"""A Realtime server that says what a script has, so that the page can be tried without a model: it finds
turns by counting samples, and keeps what the page sent.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

RATE_HZ = 24_000
Event = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """A turn: what is heard in it, and what is replied."""

    words: str
    emotion: str
    scores: dict[str, float]
    reply: str
    cause: str | None = None
    reply_s: float = 1.0
    whole: bool = True
    """Without: the reply begins, and its end never comes."""


@dataclass
class ScriptedServer:
    """Plays its turns over and over. `got` has every event of a client, without its sound."""

    turns: list[Said]
    turn_s: float = 2.0
    """How long a turn is, where the server finds turns."""
    finds: int | None = None
    """So many turns and no more."""
    interjects: Said | None = None
    """Is said when a turn begins."""
    busy: bool = False
    key: str = ""
    got: list[Event] = field(default_factory=list)
    samples: int = 0
    clients: list[WebSocket] = field(default_factory=list)
    address: str = ""
    loop: asyncio.AbstractEventLoop | None = None

    def app(self) -> Starlette:
        page = StaticFiles(packages=[("harken.serving", "page")], html=True)
        return Starlette(
            routes=[
                Route("/v1/audio/replies", self._reply, methods=["POST"]),
                WebSocketRoute("/v1/realtime", self._talk),
                Mount("/", page),
            ]
        )

    def hang_up(self, why: str = "") -> None:
        """Close every connection, from any thread."""
        assert self.loop is not None, "somebody is connected"
        for client in list(self.clients):
            asyncio.run_coroutine_threadsafe(client.close(1011, why), self.loop).result()

    def _reply(self, request: Request) -> Response:
        return JSONResponse({}, 401 if self.key else 422)

    async def _talk(self, client: WebSocket) -> None:
        offered = client.headers.get("sec-websocket-protocol", "")
        if self.key and f"openai-insecure-api-key.{self.key}" not in offered:
            await client.send_denial_response(JSONResponse({}, 401))
            return
        await client.accept(subprotocol="realtime" if offered else None)
        if self.busy:
            await client.send_json({"type": "error", "error": {"code": "server_busy", "message": "busy"}})
            await client.close(1013, "server_busy")
            return
        self.loop = asyncio.get_running_loop()
        self.clients.append(client)
        try:
            await _Talk(self, client).run()
        except (WebSocketDisconnect, RuntimeError):  # either side has hung up
            self.clients.remove(client)


class _Talk:
    """One session."""

    def __init__(self, server: ScriptedServer, client: WebSocket) -> None:
        self.server, self.client = server, client
        self.finds_turns = self.in_turn = False
        self.samples = self.turn_at = self.number = 0
        self.heard_text: dict[str, str] = {}

    async def run(self) -> None:
        await self.tell("session.created", session={"type": "realtime", "model": "scripted"})
        while True:
            event = await self.client.receive_json()
            if event["type"] != "input_audio_buffer.append":
                self.server.got.append(event)
            await self.take(event)

    async def take(self, event: Event) -> None:
        kind = event["type"]
        if kind == "session.update":
            self.finds_turns = event["session"]["audio"]["input"]["turn_detection"] is not None
            self.turn_at = self.samples
            await self.tell("session.updated", session=event["session"])
        elif kind == "input_audio_buffer.append":
            self.samples += len(base64.b64decode(event["audio"])) // 2
            self.server.samples = self.samples
            if self.finds_turns and (self.server.finds is None or self.number < self.server.finds):
                await self.find_turn()
        elif kind == "input_audio_buffer.commit":
            await self.tell("input_audio_buffer.committed", item_id=f"item-{self.number}")
        elif kind == "response.create":
            await self.answer()
        elif kind == "conversation.item.truncate":
            self.heard_text[event["item_id"]] = "I am"
            await self.tell(
                "conversation.item.truncated", item_id=event["item_id"], content_index=0, audio_end_ms=1
            )
        elif kind == "conversation.item.retrieve":
            content = [{"type": "output_audio", "transcript": self.heard_text[event["item_id"]]}]
            await self.tell("conversation.item.retrieved", item={"id": event["item_id"], "content": content})

    async def find_turn(self) -> None:
        item, ms = f"item-{self.number}", self.samples * 1000 // RATE_HZ
        begun_ms = self.turn_at * 1000 // RATE_HZ
        if not self.in_turn and ms >= begun_ms + 200:
            self.in_turn = True
            await self.tell("input_audio_buffer.speech_started", item_id=item, audio_start_ms=begun_ms + 100)
            if self.server.interjects is not None:
                await self.say(self.server.interjects, "interjection", "interjection")
        end_ms = begun_ms + int(1000 * self.server.turn_s)
        if self.in_turn and ms >= end_ms:
            self.in_turn, self.turn_at = False, self.samples
            await self.tell("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=end_ms)
            await self.tell("input_audio_buffer.committed", item_id=item)
            await self.answer()

    async def answer(self) -> None:
        number, said = self.number, self.server.turns[self.number % len(self.server.turns)]
        self.number += 1
        item, response = f"item-{number}", f"response-{number}"
        await self.tell(
            "harken.heard", item_id=item, emotion=said.emotion, scores=said.scores, speaker={"gender": None},
            transcript=said.words, confidence=0.9, seconds=2.0,
        )  # fmt: skip
        await self.say(said, f"reply-{number}", response)
        if not said.whole:
            return
        start = said.words.find(said.cause) if said.cause else -1
        await self.tell(
            "harken.attribution", item_id=item, response_id=response, emotion=said.emotion, cause=said.cause,
            words={"start": start, "end": start + len(said.cause or "")} if start >= 0 else None,
        )  # fmt: skip
        await self.tell("response.done", response={"id": response, "status": "completed"})

    async def say(self, said: Said, reply: str, response: str) -> None:
        of = {"response_id": response, "item_id": reply, "output_index": 0, "content_index": 0}
        await self.tell("response.created", response={"id": response, "status": "in_progress"})
        await self.tell("response.output_item.added", response_id=response, item={"id": reply})
        for word in said.reply.split(" "):
            await self.tell("response.output_audio_transcript.delta", delta=word + " ", **of)
        for part in np.array_split(_hum(said.reply_s), 4):
            await self.tell(
                "response.output_audio.delta", delta=base64.b64encode(part.tobytes()).decode(), **of
            )

    async def tell(self, kind: str, **fields: Any) -> None:
        await self.client.send_json({"type": kind, "event_id": "event", **fields})


def _hum(seconds: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A voice of sorts: it swells with each syllable."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    swell = np.abs(np.sin(2 * np.pi * 1.9 * t)) * (0.55 + 0.45 * np.sin(2 * np.pi * 0.31 * t))
    return (6_000 * swell * np.sin(2 * np.pi * 170 * t)).astype(np.int16)


@contextmanager
def serving(server: ScriptedServer) -> Iterator[ScriptedServer]:
    """Serves on a free port of this machine; its address is then known."""
    config = uvicorn.Config(server.app(), lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as at:
        server.address = f"http://127.0.0.1:{at.getsockname()[1]}/"
        thread = threading.Thread(target=running.run, kwargs={"sockets": [at]})
        thread.start()
        try:
            yield server
        finally:
            running.should_exit = True
            thread.join()
