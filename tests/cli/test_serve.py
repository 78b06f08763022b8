"""`harken serve`: what it refuses before it loads anything, and what it serves."""

from __future__ import annotations

import threading
import urllib.request
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="serving needs harken[serve]")

from harken import api
from harken.cli import main
from harken.serving import server, turns
from harken.serving.capacity import pace, sessions_at
from harken.testing import FakeVoice, ScriptedLM, heard_turn, loud_is_speech


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--port", "99999"], 2, "--port 99999 is no port"),
        (["--sessions", "0"], 2, "--sessions 0"),
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


class Clock:
    """Goes on by so much for each chunk of sound that is made."""

    def __init__(self, a_chunk_s: float) -> None:
        self.a_chunk_s, self.now_s = a_chunk_s, 0.0

    def __call__(self) -> float:
        self.now_s += self.a_chunk_s
        return self.now_s


@pytest.mark.parametrize(
    ("a_chunk_s", "factor", "many"), [(0.1, 0.2, 5), (0.2, 0.4, 2), (0.8, 1.6, 1), (0.0, 0.0, 32)]
)
def test_as_many_are_spoken_to_as_hear_no_pauses(a_chunk_s: float, factor: float, many: int) -> None:
    model = ScriptedLM(
        lambda _: "That was a long day, and I am sorry for it.", lambda samples: heard_turn(width=1)
    )
    found = pace(api.Harken(model, FakeVoice(chunk_s=0.5)), Clock(a_chunk_s))
    assert found == pytest.approx(factor) and sessions_at(found) == many
    assert pace(api.Harken(model, None)) is None and sessions_at(None) == 32


def test_a_server_is_told_where_it_is_and_ends_when_it_is_asked_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    monkeypatch.setattr(api, "_open_voice", lambda kind, speaker: FakeVoice())
    monkeypatch.setattr(turns, "open_vad", lambda: loud_is_speech)
    monkeypatch.setattr(server, "Server", Watched)
    codes: list[int] = []
    thread = threading.Thread(
        target=lambda: codes.append(main(["serve", "--port", "0", "--sessions", "3", "--voice", "anna"]))
    )
    thread.start()
    assert started.wait(60)
    port = servers[0].servers[0].sockets[0].getsockname()[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30) as answer:
        assert answer.read() == b'{"free_sessions":3}'
    servers[0].leave()
    thread.join(60)
    assert codes == [0] and len(runs_on) == 1 and loaded_by == runs_on, "two threads are slower"
    assert f"ws://127.0.0.1:{port}/v1/realtime takes 3 sessions at once" in capsys.readouterr().err
