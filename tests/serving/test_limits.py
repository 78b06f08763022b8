"""Who is let in, how many, for how long and with how much; what watches over the server; and how it ends."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import urllib.error
import urllib.request
import weakref
from typing import Any

import pytest
import websockets
from served import HeldLM, Served, a_host, connected, heard, hum, on_server, run, script, served

from harken.errors import InputError
from harken.serving.auth import is_loopback, key_for, may_enter
from harken.serving.connection import Outbox
from harken.serving.limits import Limits
from harken.testing import ScriptedLM

PUSH_TO_TALK = {"turn_detection": None}
KEY = "the-key"


def got(url: str, **headers: str) -> tuple[int, str]:
    """The status and the body of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def told(connection: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(await asyncio.wait_for(connection.recv(), 20))
    return event


def test_a_full_server_says_that_it_is_busy_and_takes_the_next_when_one_has_left() -> None:
    async def talk(running: Served) -> None:
        base = f"http://127.0.0.1:{running.port}"
        async with running.client() as first:
            assert (await asyncio.to_thread(got, f"{base}/readyz"))[0] == 503
            async with connected(running) as second:
                error = (await told(second))["error"]
                assert (error["code"], error["type"]) == ("server_busy", "server_error")
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await second.recv()
                assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
            await first.set()  # undisturbed
            figures = (await asyncio.to_thread(got, f"{base}/metrics"))[1]
            assert "harken_active_sessions 1.0" in figures
            assert 'harken_refused_sessions_total{why="busy"} 1.0' in figures
        await until_empty(running)
        assert await asyncio.to_thread(got, f"{base}/readyz") == (200, '{"free_sessions":1}')
        async with running.client():
            pass

    with served(a_host(Limits(sessions=1))) as running:
        run(lambda: talk(running))


async def until_empty(running: Served) -> None:
    while not running.host.empty:
        await asyncio.sleep(0.01)


def test_a_key_is_asked_for_in_every_way_in_which_it_may_come() -> None:
    async def talk(running: Served) -> None:
        async with running.client(key=KEY):
            pass
        protocols = ["realtime", f"openai-insecure-api-key.{KEY}"]
        async with connected(running, subprotocols=protocols) as page:
            assert page.subprotocol == "realtime"
            assert (await told(page))["type"] == "session.created"
        for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with connected(running, additional_headers=wrong):
                    pass
            assert refused.value.response.status_code == 401
            assert b"invalid_api_key" in (refused.value.response.body or b"")
        url = f"{running.url}/audio/replies"
        status, body = await asyncio.to_thread(posted, url, b"")
        assert status == 401 and "invalid_api_key" in body
        assert (await asyncio.to_thread(posted, url, b"", Authorization=f"Bearer {KEY}"))[0] == 422

    with served(a_host(), key=KEY) as running:
        run(lambda: talk(running))


def test_what_a_rush_leaves_behind_goes_when_the_last_has_left() -> None:
    class Left:
        """Holds itself, so that only the collector frees it."""

        def __init__(self) -> None:
            self.itself = self

    host = a_host()
    gc.disable()
    try:
        with host.session():
            with host.session():
                left = weakref.ref(Left())
            assert left() is not None, "somebody is there still"
        assert left() is None
    finally:
        gc.enable()


def test_who_is_refused_over_http_is_told_what_would_be_taken() -> None:
    with served(a_host(), key=KEY) as running:
        for url, headers, status, told_in, what in (
            (f"{running.url}/audio/replies", {}, 401, "WWW-Authenticate", "Bearer"),
            (f"{running.url.removesuffix('/v1')}/healthz", {}, 405, "Allow", "GET"),
        ):
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(url, b"", headers), timeout=30)
            assert refused.value.code == status and what in refused.value.headers[told_in]


def posted(url: str, body: bytes, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, body, {"Content-Type": "audio/wav", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_without_a_key_only_this_machine_and_its_own_pages_are_let_in() -> None:
    assert key_for("127.0.0.1", {}) is None and key_for("::1", {}) is None
    assert (
        key_for("localhost", {"HARKEN_API_KEY": " k "}) == "k" == key_for("0.0.0.0", {"HARKEN_API_KEY": "k"})
    )
    with pytest.raises(InputError, match="HARKEN_API_KEY holds no key"):
        key_for("0.0.0.0", {"HARKEN_API_KEY": " "})
    for strange in ("a=", "a/b", "a b", "a,b", "kéy", 'a"', "a:b"):
        with pytest.raises(InputError, match="HARKEN_API_KEY holds what a page cannot send") as refused:
            key_for("127.0.0.1", {"HARKEN_API_KEY": strange})
        assert "openssl rand -hex 32" in refused.value.hint and strange not in refused.value.message
    assert key_for("127.0.0.1", {"HARKEN_API_KEY": "a.B-9_~!"}) == "a.B-9_~!"
    assert not is_loopback("example.org") and is_loopback("127.0.0.2")
    mine = {"host": "localhost:8998"}
    assert may_enter(mine, None) and may_enter(mine | {"origin": "http://localhost:8998"}, None)
    for origin in ("https://example.org", "http://localhost:80", "null", "http://["):
        assert not may_enter(mine | {"origin": origin}, None)
    assert not may_enter({"host": "example.org"}, None)  # a name that was made to point here
    assert not may_enter({"host": "[", "authorization": "Bearer "}, None)


def test_a_page_of_another_site_is_refused(serving: Served) -> None:
    async def talk() -> None:
        with pytest.raises(websockets.InvalidStatus):
            async with connected(serving, origin="https://example.org"):
                pass
        async with connected(serving, origin=f"http://127.0.0.1:{serving.port}") as mine:
            assert (await told(mine))["type"] == "session.created"

    run(talk)


def test_a_session_ends_when_its_time_is_over() -> None:
    async def talk(running: Served) -> None:
        async with connected(running) as connection:
            assert (await told(connection))["type"] == "session.created"
            assert (await told(connection))["error"]["code"] == "session_expired"
            with pytest.raises(websockets.ConnectionClosedOK):
                await connection.recv()
        await until_empty(running)

    with served(a_host(Limits(session_s=0.05))) as running:
        run(lambda: talk(running))


def test_the_buffer_takes_no_more_than_it_may() -> None:
    async def talk(running: Served) -> None:
        async with running.client() as client:
            await client.set(PUSH_TO_TALK)
            buffer = client.connection.input_audio_buffer
            await buffer.append(audio=hum(1.5))
            await buffer.append(audio=hum(1.5))
            assert (await client.error())["code"] == "input_audio_buffer_full"
            item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": hum(3)}]}
            await client.connection.conversation.item.create(item=item)
            assert "2 s long at most" in (await client.error())["message"]
            await buffer.commit()
            assert (await client.until("harken.heard"))["seconds"] == pytest.approx(1.5, abs=0.01)

    with served(a_host(Limits(buffered_s=2))) as running:
        run(lambda: talk(running))


def test_a_message_that_is_too_long_closes_the_connection_and_nothing_else(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as other:
            async with connected(serving) as connection:
                await told(connection)
                with pytest.raises(websockets.ConnectionClosed):
                    await connection.send("x" * (17 << 20))
                    while True:
                        await connection.recv()
            await other.set()

    run(talk)


class StuckSocket:
    """Takes one message, and then no more."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send_text(self, text: str) -> None:
        self.sent.append(text)
        await asyncio.Event().wait()


def test_what_waits_for_a_client_that_does_not_read_is_bounded() -> None:
    async def talk() -> None:
        outbox = Outbox(StuckSocket(), most_bytes=8000)  # type: ignore[arg-type]
        sending = asyncio.create_task(outbox.send())
        outbox.put({"n": "x" * 500})
        await asyncio.wait_for(outbox.room(), 20)
        outbox.put({"n": "x" * 1000})
        waiting = asyncio.create_task(outbox.room())
        for _ in range(5):
            outbox.put({"n": "x" * 1000})
        assert not outbox.overflowed.is_set() and not waiting.done()
        outbox.put({"n": "x" * 2000})
        assert outbox.overflowed.is_set()
        sending.cancel()
        waiting.cancel()

    run(talk)


def test_a_client_that_does_not_read_holds_up_nobody_else(serving: Served) -> None:
    async def deaf(connection: Any) -> None:
        session = {"type": "realtime", "instructions": "x" * 7000}
        update = json.dumps({"type": "session.update", "session": session})
        while True:
            await connection.send(update)

    async def talk() -> None:
        async with connected(serving, max_queue=1) as connection:
            stuck = asyncio.create_task(deaf(connection))
            async with serving.client() as other:
                await other.set(PUSH_TO_TALK, harken={"think": "off"})
                for _ in range(3):
                    await other.say()
                    done = await other.until("response.done")
                    assert done["response"]["status"] == "completed"
            stuck.cancel()
            connection.transport.abort()
        await until_empty(serving)

    run(talk)


def test_asked_to_end_the_server_finishes_what_it_had_begun_to_say() -> None:
    model = HeldLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            await client.set(PUSH_TO_TALK, harken={"think": "off"})
            model.hold(12)
            await client.say()
            await client.until("response.output_audio_transcript.delta")
            running.server.handle_exit(signal.SIGTERM, None)
            await on_server(running, running.host.left.wait())
            status, _ = await asyncio.to_thread(got, f"http://127.0.0.1:{running.port}/readyz")
            assert status == 503
            async with connected(running) as late:
                assert (await told(late))["error"]["code"] == "server_leaving"
            model.let_go()
            done = await client.until("response.done")
            assert done["response"]["status"] == "completed"
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.next()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))


def test_sessions_share_the_model_and_each_has_its_own_conversation() -> None:
    async def talk(running: Served) -> None:
        async def one(name: str) -> None:
            async with running.client() as client:
                await client.set(PUSH_TO_TALK, instructions=f"You speak to {name}.")
                for _ in range(3):
                    await client.say(0.3)
                    done = await client.until("response.done")
                    assert done["response"]["output"][0]["content"][0]["transcript"] == f"Hello, {name}."

        await asyncio.gather(*(one(name) for name in ("Ann", "Ben", "Cleo", "Dan")))

    def by_name(read: str) -> str:
        name = read.split("You speak to ")[-1].split(".")[0] if "You speak to " in read else "you"
        return "Hm.</think>" if read.endswith("<think>\n") else f"Hello, {name}."

    with served(a_host(model=ScriptedLM(by_name, heard))) as running:
        run(lambda: talk(running))


def test_what_watches_over_it_sees_replies(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            await client.set(PUSH_TO_TALK)
            await client.say()
            await client.until("response.done")
            await client.connection.response.cancel()
            await client.error()
        base = f"http://127.0.0.1:{serving.port}"
        assert await asyncio.to_thread(got, f"{base}/healthz") == (200, '{"alive":true}')
        figures = (await asyncio.to_thread(got, f"{base}/metrics"))[1]
        for line in (
            'harken_replies_total{status="completed"} 1.0',
            "harken_time_to_first_audio_seconds_count 1.0",
            "harken_real_time_factor_count 1.0",
            'harken_errors_total{code="response_cancel_not_active"} 1.0',
            "harken_queue ",
        ):
            assert line in figures
        assert "I lost my job" not in figures

    run(talk)


def test_memory_goes_back_after_a_rush_and_is_kept_for_the_next_of_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trimmed: list[int] = []
    monkeypatch.setattr("harken.serving.host.give_back", lambda: trimmed.append(1))

    async def talk(running: Served) -> None:
        assert gc.get_freeze_count() > 1000, "the collector does not look at what a server begins with"
        for _ in range(2):
            async with running.client():
                pass
            await until_empty(running)
        assert not trimmed
        async with running.client(), running.client():
            pass
        await until_empty(running)
        assert trimmed == [1]

    with served(a_host(Limits(sessions=2))) as running:
        run(lambda: talk(running))
    assert gc.get_freeze_count() == 0
