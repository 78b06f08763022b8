"""The server's routes: the Realtime socket, replies to recordings, the page, and what watches over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from harken.errors import MissingExtra

try:
    from fastapi import Depends, FastAPI, Request, Response, WebSocket
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, PlainTextResponse
    from fastapi.staticfiles import StaticFiles
    from pydantic import BaseModel
    from starlette.exceptions import HTTPException
except ImportError as error:
    raise MissingExtra("harken serve", "serve") from error

from harken import __version__
from harken.serving import auth, connection, memory, metrics, recordings
from harken.serving.host import Host
from harken.serving.wire import Refused

CODES = {401: "invalid_api_key", 404: "not_found", 405: "method_not_allowed"}


class Alive(BaseModel):
    """Of the server."""

    alive: bool


class Room(BaseModel):
    """For more sessions."""

    free_sessions: int


def serving_app(host: Host, key: str | None = None) -> FastAPI:
    """All of it. Args: key: what clients have to know; None lets this machine's in."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        host.worker.start()
        await host.warm_up()
        with memory.settled():
            yield
        await host.worker.stop()

    # FastAPI's own pages of the description load their programs from another host; ours is part of the page.
    app = FastAPI(title="Harken", version=__version__, lifespan=life, docs_url=None, redoc_url=None)

    @app.websocket("/v1/realtime")
    async def realtime(socket: WebSocket) -> None:
        await connection.connect(socket, host, key)

    def admitted(request: Request) -> None:
        if not auth.may_enter(request.headers, key):
            raise HTTPException(401, "the key is missing or wrong", {"WWW-Authenticate": "Bearer"})

    app.include_router(recordings.routes(host), dependencies=[Depends(admitted)])

    _tell_faults(app)

    @app.get("/healthz", summary="Whether the server lives", response_model=Alive, responses=_also(Alive))
    async def healthz() -> JSONResponse:
        alive = host.worker.alive
        return JSONResponse({"alive": alive}, 200 if alive else 503)

    @app.get(
        "/readyz", summary="Whether another session may begin", response_model=Room, responses=_also(Room)
    )
    async def readyz() -> JSONResponse:
        return JSONResponse({"free_sessions": host.free}, 200 if host.free > 0 else 503)

    @app.get("/metrics", summary="Figures for Prometheus", response_class=PlainTextResponse)
    async def figures() -> Response:
        return Response(host.metrics.text(), media_type=metrics.CONTENT_TYPE)

    page = Path(str(files("harken.serving"))) / "page"
    if page.is_dir():
        app.mount("/", StaticFiles(directory=page, html=True))
    return app


def _also(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The same is answered where it is not so."""
    return {503: {"model": model}}


def _tell_faults(app: FastAPI) -> None:
    """Every error over HTTP in one form."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        refused = Refused(str(error.detail), CODES.get(error.status_code, "invalid_request"))
        answer = recordings.fault(refused, error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        param = str(first["loc"][-1])
        return recordings.fault(Refused(f"{param}: {first['msg']}", param=param), 422)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return recordings.fault(Refused("the server failed", "server_failed", kind="server_error"), 500)
