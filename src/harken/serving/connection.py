"""One client's WebSocket: admitted or told why not, its messages handed to its session one at a time, and the
session's events sent as fast as the client reads. A client that does not read holds up itself alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Any

from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from harken.serving import auth, wire
from harken.serving.host import Host
from harken.serving.session import Session
from harken.serving.wire import Event, Refused

TRY_AGAIN, TOO_SLOW, OVER, LEAVING = 1013, 1008, 1000, 1012
"""Codes that a connection is closed with."""
CLOSE_S = 2.0


class Outbox:
    """Events that wait until the client reads them."""

    def __init__(self, socket: WebSocket, most_bytes: int) -> None:
        self.overflowed = asyncio.Event()
        self._socket, self._most = socket, most_bytes
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    def put(self, event: Event) -> None:
        text = json.dumps(event, separators=(",", ":"))
        if self._bytes + len(text) > self._most:
            self.overflowed.set()
            return
        self._waiting.append(text)
        self._count(len(text))
        self._filled.set()

    async def room(self) -> None:
        """Wait until most of it has been read: what a client asks for meanwhile has to wait, too."""
        await self._has_room.wait()

    async def send(self) -> None:
        """Send for ever. Raises WebSocketDisconnect when the client has gone."""
        while True:
            await self._filled.wait()
            while self._waiting:
                text = self._waiting.popleft()
                await self._socket.send_text(text)
                self._count(-len(text))
            self._filled.clear()

    async def empty(self) -> None:
        """Wait until all has been sent."""
        while self._bytes:
            await asyncio.sleep(0.01)

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._most // 8:
            self._has_room.clear()
        else:
            self._has_room.set()


async def connect(socket: WebSocket, host: Host, key: str | None) -> None:
    """Hold one connection, from its handshake to its end. Args: key: the server's."""
    if not auth.may_enter(socket.headers, key):
        host.metrics.refused.labels("key").inc()
        fault = wire.fault(Refused("the key is missing or wrong", "invalid_api_key"))
        await socket.send_denial_response(JSONResponse({"error": fault["error"]}, 401))
        return
    offered = auth.protocols(socket.headers)
    await socket.accept(auth.PROTOCOL if auth.PROTOCOL in offered else None)
    with contextlib.suppress(WebSocketDisconnect):
        try:
            with host.session():
                await _hold(socket, host)
        except Refused as refused:
            await socket.send_text(json.dumps(wire.fault(refused)))
            await socket.close(TRY_AGAIN, refused.code)


async def _hold(socket: WebSocket, host: Host) -> None:
    outbox = Outbox(socket, host.limits.unread_bytes)
    session = Session(host, outbox.put)
    session.begin()
    work = [
        _read(host, socket, session, outbox),
        outbox.send(),
        outbox.overflowed.wait(),
        _leave(host, session),
    ]
    reading, sending, slow, leaving = ends = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.wait(ends, timeout=host.limits.session_s, return_when=asyncio.FIRST_COMPLETED)
        if slow.done():
            await _close(socket, TOO_SLOW, "too_slow", sending)
        elif leaving.done():
            await _close(socket, LEAVING, "server_leaving", sending, outbox)
        elif not reading.done() and not sending.done():
            minutes = host.limits.session_s / 60
            session.refuse(Refused(f"a session lasts {minutes:g} minutes at most", "session_expired"))
            await _close(socket, OVER, "session_expired", sending, outbox)
    finally:
        session.close()
        for task in ends:
            task.cancel()
        failed = await asyncio.gather(*ends, return_exceptions=True)
    for error in failed:
        if isinstance(error, Exception) and not isinstance(error, WebSocketDisconnect):
            raise error


async def _leave(host: Host, session: Session) -> None:
    """Wait until the server is to end, and this session has said what it had begun to say."""
    await host.left.wait()
    while session.replying:
        await asyncio.sleep(0.02)


async def _read(host: Host, socket: WebSocket, session: Session, outbox: Outbox) -> None:
    """Hand on what the client sends, until it goes. Who sends what is broken waits, not those beside."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        await outbox.room()
        text = message.get("text")
        if not await session.receive(message["bytes"] if text is None else text):
            await asyncio.sleep(host.limits.after_broken_s)


async def _close(
    socket: WebSocket, code: int, why: str, sending: asyncio.Task[Any], unsent: Outbox | None = None
) -> None:
    """Close in good order, where the client lets it. Args: unsent: is sent first."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            if unsent is not None:
                await unsent.empty()
            sending.cancel()  # nothing may come after the end
            await socket.close(code, why)
