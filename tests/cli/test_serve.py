"""`harken serve`: what it refuses before it loads anything, and what it serves."""

from __future__ import annotations

import sys
import threading
import urllib.request
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="serving needs harken[serve]")

from harken import api
from harken.cli import main
from harken.serving import server, turns
from harken.testing import FakeVoice, ScriptedLM, heard_turn, loud_is_speech


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--port", "99999"], 2, "--port 99999 is no port"),
        (["--sessions", "0"], 2, "--sessions 0"),
        (["--head-start", "-1"], 2, "--head-start -1 is not from 0 to 60 s"),
        (["--recipe", "nothing"], 2, "nothing"),
        (["--recipe", "mini", "--checkpoint", "."], 2, "both given"),
        (["--host", "0.0.0.0"], 1, "HARKEN_API_KEY holds no key"),
        (["--host", "192.0.2.1"], 1, "cannot be had"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    arguments: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HARKEN_API_KEY", raising=False)
    if "192.0.2.1" in arguments:
        monkeypatch.setenv("HARKEN_API_KEY", "key")
    for name in ("fetch", "load"):
        monkeypatch.setattr(api, name, lambda *_, **__: pytest.fail("nothing is loaded"))
    assert main(["serve", *arguments]) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sessions", "3", "--head-start", "0"], ["3 sessions at once"]),
        (["--head-start", "0"], ["takes 1.60 s to make on this machine; they may have pauses"]),
        ([], ["begin when 3.3 s of them are made; they may have pauses", "1 session at once"]),
    ],
)
def test_a_server_is_told_where_it_is_and_ends_when_it_is_asked_to(
    options: list[str],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started = threading.Event()
    servers: list[server.Server] = []

    class Watched(server.Server):
        async def startup(self, *given: Any, **named: Any) -> None:
            await super().startup(*given, **named)
            servers.append(self)
            started.set()

    loaded_by, runs_on = set(), set()

    def heard(samples: object) -> Any:
        runs_on.add(threading.current_thread())
        return heard_turn(width=1)

    fetched_by = []

    def load(recipe: str | None, trained: object, voice: str) -> api.Harken:
        assert fetched_by == [thread], "fetching can be interrupted, loading cannot"
        loaded_by.add(threading.current_thread())
        return api.Harken(ScriptedLM(lambda _: "Yes.", heard), FakeVoice())

    monkeypatch.setattr(api, "fetch", lambda *_: fetched_by.append(threading.current_thread()))
    monkeypatch.setattr(api, "load", load)
    monkeypatch.setattr("harken.serving.capacity.pace", lambda harken: 1.6)
    monkeypatch.setattr(api, "_open_voice", lambda kind, speaker: FakeVoice())
    monkeypatch.setattr(turns, "open_vad", lambda: loud_is_speech)
    monkeypatch.setattr(server, "Server", Watched)
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(main(["serve", "--port", "0", "--voice", "anna", *options]))
    )
    thread.start()
    assert started.wait(60)
    port = servers[0].servers[0].sockets[0].getsockname()[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:
        assert answer.read() == b'{"free_sessions":%d}' % (3 if "3" in options else 1)
    servers[0].leave()
    thread.join(60)
    assert codes == [0] and len(runs_on) == 1 and loaded_by == runs_on, "two threads are slower"
    err = capsys.readouterr().err
    assert f"open http://127.0.0.1:{port}; clients take ws://127.0.0.1:{port}/v1/realtime\n" in err
    assert all(each in err for each in said)


@pytest.mark.parametrize("package", ["uvicorn", "fastapi"])
def test_without_the_packages_it_is_said_how_to_get_them(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for name in ("app", "server"):
        monkeypatch.delitem(sys.modules, f"harken.serving.{name}")
    assert main(["serve"]) == 1
    err = capsys.readouterr().err
    assert "harken serve needs packages that are not installed" in err and "harken[serve]" in err
