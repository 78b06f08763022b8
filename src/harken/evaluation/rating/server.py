"""The rating page's server: the page, the replies, their sound, and what is rated, on this machine alone.

It answers to no other host's name, and takes ratings as JSON only, so that no other page in the rater's
browser can read or write them.
"""

from __future__ import annotations

import errno
import socket

from harken.errors import HarkenError, InputError, MissingExtra
from harken.evaluation.rating.session import DIMENSIONS, Session

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, JSONResponse, Response
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles
except ImportError as error:
    raise MissingExtra("rating", "eval") from error

HOST = "127.0.0.1"
_KINDS = {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg"}


def listen(port: int) -> socket.socket:
    """A socket at a port of this machine; 0 takes a free one. Raises InputError where it cannot be had."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
        raise InputError(f"port {port} {what}", "name another: --port 8010, for example") from None


def serve(session: Session, at: socket.socket) -> None:
    """Answer until the user interrupts."""
    config = uvicorn.Config(
        rating_app(session), lifespan="off", log_level="warning", timeout_graceful_shutdown=1
    )
    try:
        uvicorn.Server(config).run(sockets=[at])
    except KeyboardInterrupt:  # how it ends
        return


def rating_app(session: Session) -> Starlette:
    """The page and what it asks for."""

    def state(request: Request) -> Response:
        return JSONResponse({"rater": session.rater, "done": session.done(), "dimensions": DIMENSIONS})

    def item(request: Request) -> Response:
        return JSONResponse(session.item(request.path_params["number"]))

    def sound(request: Request) -> Response:
        where = request.path_params
        path = session.sound(where["number"], where["turn"], where["who"])
        return FileResponse(path, media_type=_KINDS.get(path.suffix.lower(), "audio/ogg"))

    async def rate(request: Request) -> Response:
        number, dimension, rating = await _asked(request)
        session.rate(number, dimension, rating)
        return JSONResponse({"done": session.done()})

    return Starlette(
        routes=[
            Route("/state", state),
            Route("/items/{number:int}", item),
            Route("/items/{number:int}/{turn:int}/{who}", sound),
            Route("/ratings", rate, methods=["POST"]),
            Mount("/", StaticFiles(packages=[("harken.evaluation.rating", "site")], html=True)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
        exception_handlers={HarkenError: _fault},
    )


async def _asked(request: Request) -> tuple[int, object, object]:
    """The number of a reply, the dimension and the rating. Raises InputError where they are not there."""
    if request.headers.get("content-type") != "application/json":
        raise InputError("a rating is sent as JSON")
    try:
        asked = await request.json()
        return int(asked["number"]), asked["dimension"], asked["rating"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"that is no rating: {error!r}") from None


def _fault(request: Request, error: Exception) -> Response:
    """A fault as the page shows it."""
    assert isinstance(error, HarkenError)
    return JSONResponse({"error": error.message, "hint": error.hint}, status_code=400)
