"""Beginnings that many prompts share: read once, in one slot, and kept in files that any slot can start from.

What a language model has made of a prompt's beginning is a state of some megabytes, and putting it into a
slot takes milliseconds where reading takes seconds. Which prompt goes into which slot is `slots`' choice.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from harken.llm.slots import common

LEAST = 200  # characters that are worth keeping
KEPT = 32  # beginnings at once; the one that has lain longest goes
_TIMEOUT_S = 60.0

Act = Callable[[int, str, str], bool]
"""Does an action ("save" or "restore") with a slot and a file's name; False where it could not."""


def shared(prompts: Iterable[str]) -> list[str]:
    """What at least two prompts begin with, where that is long: once for each kind of prompt."""
    found: list[str] = []
    beginning, of = "", 0
    for prompt in [*sorted(set(prompts)), ""]:
        alike = common(beginning, prompt)
        if of and alike >= LEAST:
            beginning, of = beginning[:alike], of + 1
            continue
        if of > 1:
            found.append(beginning)
        beginning, of = prompt, 1
    return found


class Beginnings:
    """The beginnings that a server's slots can start from."""

    def __init__(self, folder: Path, act: Act) -> None:
        """Args: folder: where the server keeps its states."""
        self._folder, self._act = folder, act
        self._files: dict[str, str] = {}  # beginning -> name of its file
        self._lock = threading.Lock()

    def longest(self, prompt: str) -> str:
        """The longest of them that the prompt begins with; "" where there is none."""
        with self._lock:
            return max((b for b in self._files if prompt.startswith(b)), key=len, default="")

    def keep(self, slot: int, beginning: str) -> None:
        """Keep what a slot has just read. Where that cannot be, prompts are read whole, as without it."""
        name = hashlib.sha256(beginning.encode(errors="surrogatepass")).hexdigest()
        if not self._act(slot, "save", name):
            return
        with self._lock:
            self._files[beginning] = name
            if len(self._files) > KEPT:
                (self._folder / self._files.pop(next(iter(self._files)))).unlink(missing_ok=True)

    def start(self, slot: int, prompt: str, read: int) -> None:
        """Put a slot behind the prompt's beginning, unless it has read so many characters of it already."""
        beginning = self.longest(prompt)
        if len(beginning) > read:
            self._act(slot, "restore", self._files.get(beginning, ""))


def over_http(address: str, key: str) -> Act:
    """Actions of a llama.cpp server at `address`, which knows `key`."""
    place = urlsplit(address)

    def act(slot: int, action: str, name: str) -> bool:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_TIMEOUT_S)
        try:
            connection.request(
                "POST",
                f"/slots/{slot}?action={action}",
                json.dumps({"filename": name}),
                {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
            )
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return act


def new_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for states, gone with the object."""
    return tempfile.TemporaryDirectory(prefix="harken-beginnings-", ignore_cleanup_errors=True)
