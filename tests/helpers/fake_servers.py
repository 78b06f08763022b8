"""What fake HTTP servers share: a free port of this machine, a thread to serve in, JSON in and out."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

QUICK = {"retry-after-ms": "1"}
"""The header that lets a client try again at once."""


class FakeServer(ThreadingHTTPServer):
    """Handles requests by a handler; its routes begin with `/v1`."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class JsonHandler(BaseHTTPRequestHandler):
    """A request's body, and an answer to it."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def body(self) -> dict[str, Any]:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        """Answer with an object as JSON, or with bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


Served = TypeVar("Served", bound=FakeServer)


@contextmanager
def serving(server: Served) -> Iterator[Served]:
    """The server, answering in a thread of its own."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
