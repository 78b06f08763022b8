"""A server of this process: its socket, and its end, at which replies that have begun are finished."""

from __future__ import annotations

import errno
import socket
from time import monotonic
from types import FrameType

from harken.errors import InputError, MissingExtra

try:
    import uvicorn
except ImportError as error:
    raise MissingExtra("harken serve", "serve") from error

from harken.serving.app import serving_app
from harken.serving.host import Host

UNANSWERED_S = 20.0
"""A client that answers no ping for so long has gone."""


def listen(host: str, port: int) -> socket.socket:
    """A socket at a port; 0 takes a free one. Raises InputError where it cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
        raise InputError(f"port {port} of {host} {what}", "name another: --port 8999, for example") from None


class Server(uvicorn.Server):
    """Asked to end, it begins nothing new, and ends when what has begun is out; asked twice, at once."""

    def __init__(self, host: Host, key: str | None = None) -> None:
        """Args: key: what clients have to know; None lets this machine's in."""
        config = uvicorn.Config(
            serving_app(host, key),
            log_level="warning",
            access_log=False,  # who speaks when is nobody's business
            ws_max_size=host.limits.message_bytes,
            ws_ping_timeout=UNANSWERED_S,
            ws_per_message_deflate=False,  # sound does not get smaller by it
            timeout_graceful_shutdown=5,
        )
        super().__init__(config)
        self._host = host
        self._leave_by_s = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        if self._host.leaving:
            super().handle_exit(sig, frame)
        else:
            self.leave()

    def leave(self) -> None:
        """End in good order; may be called from any thread."""
        self._leave_by_s = monotonic() + self._host.limits.shutdown_s
        self._host.leave()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether it is over."""
        if self._host.leaving and (self._host.empty or monotonic() > self._leave_by_s):
            self.should_exit = True
        return await super().on_tick(counter)
