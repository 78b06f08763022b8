"""The audit's page in a real browser: it renders without errors, asks nothing of the network, and plays.

Headless Chromium, spoken to by the DevTools protocol over its pipe: no driver and no port.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="an audit needs harken[data]")
pytest.importorskip("matplotlib", reason="an audit needs harken[data]")
pytest.importorskip("pyarrow", reason="an audit needs harken[data]")

from harken.data.audit import audit
from harken.data.audit_plots import PLOTS
from harken.data.rows import Affect, Instruction, Row, Speaker, Teacher, Turn
from harken.data.shards import write_shard
from harken.data.steps.base import Dropped
from harken.data.workspace import Workspace

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-pipe", "--autoplay-policy=no-user-gesture-required", "--window-size=390,844",
)  # fmt: skip
EVIL = "<script>alert('x')</script><img src=http://evil.example/x.png onerror=alert(1)>"
PLAYED = """Promise.all([...document.querySelectorAll("audio")].map(async audio => {
  audio.preload = "auto";
  const moved = new Promise(done => audio.ontimeupdate = () => audio.currentTime > 0 && done());
  await audio.play();
  await moved;
  return audio.duration;
}))"""


class Browser:
    """A browser with one page. `events` has what it told so far."""

    def __init__(self, binary: str, profile: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self._unread, self._number, self._session = b"", 0, ""
        with ExitStack() as open_here:  # all of it is closed again where the browser does not start
            self._start(binary, profile, open_here)
            target = self.ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.ask(f"{domain}.enable")
            self._open = open_here.pop_all()

    def _start(self, binary: str, profile: Path, open_here: ExitStack) -> None:
        with ExitStack() as only_for_the_start:
            commands, self._commands = (_out_of_the_way(end) for end in os.pipe())
            self._answers, answers = (_out_of_the_way(end) for end in os.pipe())
            for end in (self._commands, self._answers):
                open_here.callback(os.close, end)
            for end in (commands, answers):
                only_for_the_start.callback(os.close, end)
            started = ("bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", binary)
            process = subprocess.Popen(
                [*started, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
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

    def open(self, page: Path) -> None:
        """Show a file, and wait until all of it has loaded."""
        self.ask("Page.navigate", url=page.as_uri())
        while not self.told("Page.loadEventFired"):
            self._note(self._next())

    def value(self, script: str) -> Any:
        """What a script on the page gives, awaited."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"]["value"]

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


@pytest.fixture
def browser(tmp_path: Path, needs: Callable[[str, bool, str], None]) -> Iterator[Browser]:
    needs("chromium", CHROMIUM is not None, "there is no Chromium on PATH")
    assert CHROMIUM is not None
    opened = Browser(CHROMIUM, tmp_path / "profile")
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Of a set with three recordings, in which one row's every text would run a script if it could."""
    folder = tmp_path / "set"
    workspace = Workspace(folder / "work", root=folder)
    hum = (0.3 * np.sin(np.arange(12_000) / 20)).astype(np.float32)
    asked, said, answered = (workspace.save(name, hum, 24_000) for name in ("asked", "said", "answered"))
    teacher = Teacher("qwen", "abc123", "f" * 64, '{"temperature":0.7}', 0)
    felt = (Affect("sad", "rule"), Affect("fear", "model", 0.7, model="readout@1"))
    turns = (
        Turn("user", "I lost my job.", said, 0.5, speaker=Speaker("af_bella", "female"), affect=felt),
        Turn("assistant", "I am sorry.", answered, 0.5, style="gentle"),
    )
    good = Row(
        "a", "g1", "train", "trajectory", "1-2", "en", "mine", "CC0-1.0", True, turns, teacher=teacher,
        instruction=Instruction("How did it go?", asked, "am_adam", 0.5), target="I am sorry.",
    )  # fmt: skip
    evil = Row(
        EVIL, EVIL, "train", "empathy", "1-2", "zh", EVIL, EVIL, True, (Turn("user", EVIL, affect=felt),),
        target=EVIL, trace=EVIL + " so", injection=EVIL,
    )  # fmt: skip
    write_shard(folder, 0, [good, evil], workspace, [Dropped(evil, "speak", EVIL)])
    audit(folder)
    return folder / "audit" / "index.html"


def test_the_page_renders_plays_and_asks_nothing_of_the_network(browser: Browser, page: Path) -> None:
    browser.open(page)
    count = "document.querySelectorAll({!r}).length"
    assert browser.value(count.format("table")) >= 5 and browser.value(count.format("td")) > 20
    pictures = browser.value("[...document.images].map(image => image.complete && image.naturalWidth)")
    assert len(pictures) >= len(PLOTS) // 2 and min(pictures) > 100
    assert "I lost my job." in browser.value("document.body.innerText")
    assert browser.value("document.body.innerText").count(EVIL) >= 3, "text of rows is shown as it is"
    assert browser.value("document.documentElement.scrollWidth <= innerWidth"), "a phone shows it whole"
    lengths_s = browser.value(PLAYED)
    assert len(lengths_s) == 3 and all(abs(seconds - 0.5) < 0.1 for seconds in lengths_s)

    asked = {sent["request"]["url"] for sent in browser.told("Network.requestWillBeSent")}
    assert page.as_uri() in asked
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    errors = browser.told("Runtime.exceptionThrown", "Log.entryAdded")
    logged = [one for one in browser.told("Runtime.consoleAPICalled") if one["type"] in ("error", "assert")]
    assert not errors and not logged


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells what a process has open")
def test_a_browser_that_does_not_start_leaves_nothing_open(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises((AssertionError, BrokenPipeError)):
        Browser("false", tmp_path / "profile")
    assert set(os.listdir("/proc/self/fd")) == before
