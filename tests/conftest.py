"""What all tests share: where development data may be, a browser, and settings that make results equal on a
fast machine and a busy one.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test reaches a model hub
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads would wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parent.parent

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-pipe", "--autoplay-policy=no-user-gesture-required", "--window-size=390,844",
)  # fmt: skip

# How fast an example runs says nothing about whether it is right.
settings.register_profile(
    "harken", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("harken")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Development corpora beside the checkout; no part of Harken, so a test that wants them skips without."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the development corpora in ../shared/data, which are not part of Harken")
    return folder


@pytest.fixture(scope="session")
def needs() -> Callable[[str, bool, str], None]:
    """`needs(name, there, reason)` skips a test where something outside Python's packages is not there; what
    HARKEN_REQUIRE names, with commas between, must be there."""

    def check(name: str, there: bool, reason: str) -> None:
        if there:
            return
        if name in os.environ.get("HARKEN_REQUIRE", "").split(","):
            pytest.fail(
                f"HARKEN_REQUIRE names {name}, but {reason}: install it, or leave {name} out of "
                "HARKEN_REQUIRE (empty, it skips what is missing)"
            )
        pytest.skip(reason)

    return check


class Browser:
    """Headless Chromium with one page, spoken to by the DevTools protocol over its pipe: no driver and no
    port. `events` has what it told so far.
    """

    def __init__(self, binary: str, profile: Path, flags: Sequence[str] = ()) -> None:
        self.events: list[dict[str, Any]] = []
        self._unread, self._number, self._session = b"", 0, ""
        with ExitStack() as open_here:  # all of it is closed again where the browser does not start
            self._start([binary, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"], open_here)
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.ask(f"{domain}.enable")
            self._open = open_here.pop_all()

    def _start(self, command: Sequence[str], open_here: ExitStack) -> None:
        with ExitStack() as only_for_the_start:
            commands, self._commands = (_out_of_the_way(end) for end in os.pipe())
            self._answers, answers = (_out_of_the_way(end) for end in os.pipe())
            for end in (self._commands, self._answers):
                open_here.callback(os.close, end)
            for end in (commands, answers):
                only_for_the_start.callback(os.close, end)
            started = ("bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash")
            process = subprocess.Popen(
                [*started, *command],
                pass_fds=(commands, answers),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            open_here.callback(process.wait)
            open_here.callback(os.killpg, process.pid, signal.SIGKILL)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (told := self._next()).get("id") != self._number:
            self._note(told)
        assert "error" not in told, told["error"]
        result: dict[str, Any] = told["result"]
        return result

    def open(self, url: str) -> None:
        """Show a page, and wait until all of it has loaded."""
        before = len(self.told("Page.loadEventFired"))
        self.ask("Page.navigate", url=url)
        while len(self.told("Page.loadEventFired")) == before:
            self._note(self._next())

    def press(self, key: str) -> None:
        """Press and let go of a key, as a person does."""
        text = {"Enter": "\r"}.get(key, key) if len(key) == 1 or key == "Enter" else ""
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, text=text if kind == "keyDown" else "")

    def value(self, script: str) -> Any:
        """What a script on the page gives, awaited."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"]["value"]

    def until(self, condition: str) -> None:
        """Wait until something is so on the page."""
        look = f"const look = () => ({condition}) ? done(true) : requestAnimationFrame(look); look();"
        assert self.value(f"new Promise(done => {{ {look} }})")

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """Events of these names."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def close(self) -> None:
        self._open.close()

    def _note(self, event: dict[str, Any]) -> None:
        """A dialog would stop everything until somebody answers it."""
        assert event.get("method") != "Page.javascriptDialogOpening", event
        self.events.append(event)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            read = os.read(self._answers, 1 << 16)
            assert read, "the browser is gone"
            self._unread += read
        message, self._unread = self._unread.split(b"\0", 1)
        told: dict[str, Any] = json.loads(message)
        return told


def _out_of_the_way(end: int) -> int:
    """The same end of a pipe under a number that a shell does not give to others."""
    moved = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(end)
    return moved


@pytest.fixture(scope="session")
def start_browser() -> Callable[..., Browser]:
    """Starts a browser: its binary, a folder for its profile, and flags."""
    return Browser


@pytest.fixture(scope="session")
def chromium(needs: Callable[[str, bool, str], None]) -> str:
    """The browser's binary."""
    needs("chromium", CHROMIUM is not None, "there is no Chromium on PATH")
    assert CHROMIUM is not None
    return CHROMIUM


@pytest.fixture
def browser(tmp_path: Path, chromium: str) -> Iterator[Browser]:
    opened = Browser(chromium, tmp_path / "profile")
    try:
        yield opened
    finally:
        opened.close()
