"""A model hub on this machine, for the real client: repositories that are folders, at commits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

LARGE = ".safetensors"
"""How the names of files end of which the hub gives a sha256, as it does of what is in Git LFS."""


@dataclass
class FakeHub:
    """Repositories by `owner/name`; of each, commits in order, and what is in their files."""

    repositories: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    licence: str | None = "apache-2.0"
    asked: list[str] = field(default_factory=list)
    """The paths that were asked for."""
    tokens: set[str | None] = field(default_factory=set)
    """What askers said of who they are."""
    broken: set[str] = field(default_factory=set)
    """Files of which a byte is wrong on the way."""
    url: str = ""

    def commit(self, name: str, files: Mapping[str, bytes] | Path) -> str:
        """Add a commit, of bytes by path or of a folder; its name."""
        if isinstance(files, Path):
            files = {p.relative_to(files).as_posix(): p.read_bytes() for p in files.rglob("*") if p.is_file()}
        commits = self.repositories.setdefault(name, {})
        revision = hashlib.sha1(f"{name} {len(commits)}".encode()).hexdigest()
        commits[revision] = dict(files)
        return revision

    def about(self, name: str, revision: str | None) -> dict[str, Any]:
        """What the hub's API says of a repository. Raises KeyError where there is none."""
        commits = self.repositories[name]
        revision = revision or list(commits)[-1]
        files = [self._file(path, data) for path, data in commits[revision].items()]
        return {"id": name, "sha": revision, "cardData": {"license": self.licence}, "siblings": files}

    def _file(self, path: str, data: bytes) -> dict[str, Any]:
        told: dict[str, Any] = {
            "rfilename": path,
            "size": len(data),
            "blobId": hashlib.sha1(data).hexdigest(),
        }
        if path.endswith(LARGE):
            sha256 = hashlib.sha256(data).hexdigest()
            told["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        return told

    def sent(self, name: str, revision: str, path: str) -> bytes:
        """What comes of a file. Raises KeyError where there is none."""
        data = self.repositories[name][revision][path]
        return data[:-1] + bytes([data[-1] ^ 1]) if path in self.broken else data


def settings(hub: FakeHub, home: Path) -> dict[str, str]:
    """The environment in which the client asks this hub, as somebody with a token."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(home),
        "HF_TOKEN": "hf_mine",
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A hub with nothing in it yet."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        """Answers as the hub does."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0].strip("/")
            hub.asked.append(path)
            hub.tokens.add(self.headers.get("authorization"))
            try:
                api, models, owner, name, *rest = [*path.split("/"), None, None]
                if (api, models) == ("api", "models"):
                    revision = rest[1] if rest[0] == "revision" else None
                    self._send(json.dumps(hub.about(f"{owner}/{name}", revision)).encode(), {})
                    return
                owner, name, _, revision, file = path.split("/", 4)
                data = hub.sent(f"{owner}/{name}", str(revision), file)
                self._send(
                    data, {"X-Repo-Commit": str(revision), "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
                )
            except (KeyError, ValueError):
                self._send(b"", {"X-Error-Code": "RepoNotFound"}, 404)

        do_HEAD = do_GET

        def _send(self, data: bytes, headers: dict[str, str], status: int = 200) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
