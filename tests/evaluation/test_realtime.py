"""The client of Realtime servers, over real sockets: a small server that says what a test tells it to."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from harken.audio import pcm
from harken.errors import HarkenError, InputError, MissingExtra
from harken.evaluation.systems.base import Question, Unanswered
from harken.evaluation.systems.realtime import RealtimeSystem
from harken.evaluation.systems.select import open_system
from harken.recipes import mini

pytest.importorskip("websockets")
realtime = pytest.importorskip("openai.types.realtime")

from websockets.sync.server import ServerConnection, serve  # noqa: E402

CLIENT = TypeAdapter[Any](realtime.RealtimeClientEvent)
SERVER = TypeAdapter[Any](realtime.RealtimeServerEvent)
TONE = (0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)
WHOLE = {"type": "response.done", "response": {"status": "completed"}}
Sent = dict[str, Any]


class Server:
    """Takes what a session is, remembers what it is sent, and answers with what `respond` gives."""

    def __init__(self) -> None:
        self.beta = False
        self.respond: Callable[[], Iterator[Sent]] = spoken
        self.greets = True
        self.status: HTTPStatus | None = None
        self.received: list[list[Sent]] = []
        """What was sent over each connection."""
        self.requests: list[tuple[str, str | None]] = []
        """The path and the key of each connection."""
        self.released = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    def refuse(self, connection: ServerConnection, request: Any) -> Any:
        self.requests.append((request.path, request.headers.get("Authorization")))
        if self.status:
            return connection.respond(self.status, "no")
        return None

    def hold(self, connection: ServerConnection) -> None:
        session = {"modalities": ["text", "audio"]} if self.beta else {"type": "realtime"}
        if not self.greets:
            self.released.wait(60)
            return
        self.send(connection, {"type": "session.created", "session": session})
        self.received.append([])
        for message in connection:
            self.take(connection, json.loads(message))

    def take(self, connection: ServerConnection, event: Sent) -> None:
        self.received[-1].append(event)
        if not self.beta:
            CLIENT.validate_python(event)
        if event["type"] == "session.update":
            if "nobody" in json.dumps(event):
                self.send(connection, fault("there is no voice 'nobody', Bearer secret"))
            else:
                self.send(connection, {"type": "session.updated", "session": event["session"]})
        elif event["type"] == "input_audio_buffer.commit":
            self.send(connection, {"type": "input_audio_buffer.committed", "item_id": "i"})
        elif event["type"] == "response.create":
            for answer in self.respond():
                self.send(connection, answer)

    def send(self, connection: ServerConnection, event: Sent) -> None:
        event = {"event_id": "e", **event}
        if event["type"] in GA_EVENTS and not self.beta:
            SERVER.validate_python(event)
        connection.send(json.dumps(event))


GA_EVENTS = {
    "session.created", "session.updated", "input_audio_buffer.committed", "error", "response.done",
    "response.output_audio.delta", "response.output_text.delta", "response.output_audio_transcript.delta",
}  # fmt: skip


def delta(kind: str, piece: str) -> Sent:
    place = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    return {"type": f"response.{kind}.delta", "delta": piece, **place}


def fault(message: str) -> Sent:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


def spoken(prefix: str = "output_") -> Iterator[Sent]:
    yield {"type": "server.says.something.else", "delta": {"of": "its own"}}
    yield delta(f"{prefix}audio_transcript", "I am ")
    for half in (TONE[:4000], TONE[4000:]):
        yield delta(f"{prefix}audio", pcm.encoded(half))
    yield delta(f"{prefix}audio_transcript", "here.")
    yield WHOLE


@pytest.fixture
def server() -> Iterator[Server]:
    fake = Server()
    with serve(fake.hold, "127.0.0.1", 0, process_request=fake.refuse) as served:
        fake.port = served.socket.getsockname()[1]
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield fake
        fake.released.set()
        served.shutdown()


def content(event: Sent) -> Sent:
    (part,) = event["item"]["content"]
    return {"role": event["item"]["role"], **part}


def test_a_whole_conversation_is_sent_in_order_and_its_answer_read(
    server: Server, recordings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "secret")
    system = open_system(server.url, recipe=mini(), model="live", api_key_env="THE_KEY", voice="anna")
    answer = system.answer(Question("set", "key", recordings, ("Oh no.",), "Be brief.", spoken=True))
    assert system.name == "live" and answer.text == "I am here."
    assert answer.samples is not None and np.allclose(answer.samples, TONE, atol=1e-3)
    assert answer.sample_rate == 24_000 and answer.first_audio_s is not None and answer.first_audio_s > 0
    assert server.requests == [("/v1/realtime?model=live", "Bearer secret")]
    (sent,) = server.received
    assert [event["type"] for event in sent] == [
        "session.update",
        "conversation.item.create",
        "conversation.item.create",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "conversation.item.create",
        "response.create",
    ]
    settings, first, reply, last, _, instruction, _ = sent
    sound = {"type": "audio/pcm", "rate": 24_000}
    assert settings["session"]["output_modalities"] == ["audio"]
    assert settings["session"]["audio"] == {
        "input": {"format": sound, "turn_detection": None},
        "output": {"format": sound, "voice": "anna"},
    }
    assert content(first)["role"] == "user" and content(first)["type"] == "input_audio"
    assert content(reply) == {"role": "assistant", "type": "output_text", "text": "Oh no."}
    assert content(instruction) == {"role": "user", "type": "input_text", "text": "Be brief."}
    assert [len(pcm.decoded([part["audio"]])) for part in (content(first), last)] == [12_000, 6000]


def test_text_alone_is_asked_for_where_no_sound_is_wanted(
    server: Server, recordings: tuple[Path, Path]
) -> None:
    server.respond = lambda: iter([delta("output_text", "I hear "), delta("output_text", "you."), WHOLE])
    system = RealtimeSystem(server.url, voice="anna")
    answer = system.answer(Question("set", "key", recordings, (None,)))
    assert (answer.text, answer.samples, answer.first_audio_s) == ("I hear you.", None, None)
    (sent,) = server.received
    assert sent[0]["session"]["output_modalities"] == ["text"] and "anna" not in json.dumps(sent[0])
    assert [event["type"] for event in sent].count("conversation.item.create") == 1  # it had said nothing
    assert server.requests == [("/v1/realtime", None)] and system.name == server.url


def test_a_server_of_the_beta_is_spoken_to_in_its_own_form(
    server: Server, recordings: tuple[Path, Path]
) -> None:
    server.beta, server.respond = True, lambda: spoken("")
    system = RealtimeSystem(server.url, voice="anna")
    question = Question("set", "key", recordings, ("Oh no.",), spoken=True)
    answer = system.answer(question)
    assert answer.text == "I am here." and answer.samples is not None and len(answer.samples) == len(TONE)
    server.respond = lambda: iter([delta("text", "In writing."), WHOLE])
    assert system.answer(question).text == "In writing."
    settings, _, reply, *_ = server.received[0]
    assert settings["session"] == {
        "modalities": ["text", "audio"],
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "turn_detection": None,
        "voice": "anna",
    }
    assert content(reply) == {"role": "assistant", "type": "text", "text": "Oh no."}
    assert len(server.received) == 2  # each question has a connection of its own


def test_what_is_said_under_both_names_is_read_once(server: Server, recordings: tuple[Path, Path]) -> None:
    both = [delta(f"{prefix}audio_transcript", "Yes.") for prefix in ("output_", "")]
    server.respond = lambda: iter([*both, WHOLE])
    assert RealtimeSystem(server.url).answer(Question("set", "key", recordings[:1])).text == "Yes."


def done(status: str, **details: object) -> Sent:
    return {"type": "response.done", "response": {"status": status, "status_details": details}}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([fault("the buffer is too small")], "too small"),
        ([delta("output_text", "I"), done("incomplete", reason="max_output_tokens")], "max_output_tokens"),
        ([done("failed", error={"message": "out of memory"})], "failed: out of memory"),
        ([done("cancelled")], "is cancelled"),
        ([WHOLE], "holds no text"),
        ([delta("output_text", "I"), delta("output_audio", "AAA"), WHOLE], "cannot be read"),
        ([{"type": "response.text.delta"}], "an event of the server cannot be read"),
    ],
)
def test_a_response_that_is_none_is_one_unanswered_question(
    server: Server, recordings: tuple[Path, Path], answer: list[Sent], why: str
) -> None:
    server.respond = lambda: iter(answer)
    system = RealtimeSystem(server.url, "live")
    with pytest.raises(Unanswered, match=f"live: .*{why}"):
        system.answer(Question("set", "key", recordings[:1]))
    server.respond = spoken
    assert system.answer(Question("set", "key", recordings[:1])).text == "I am here."
    with pytest.raises(Unanswered, match="no such file"):
        system.answer(Question("set", "key", (Path("none.wav"),)))


def test_a_connection_that_is_closed_in_the_middle(server: Server, recordings: tuple[Path, Path]) -> None:
    def breaks_off() -> Iterator[Sent]:
        yield delta("output_text", "I am")
        raise RuntimeError("the server fails")

    server.respond = breaks_off
    with pytest.raises(Unanswered, match="closed the connection"):
        RealtimeSystem(server.url).answer(Question("set", "key", recordings[:1]))


@pytest.mark.parametrize("greets", [True, False])
def test_a_server_that_falls_silent(server: Server, recordings: tuple[Path, Path], greets: bool) -> None:
    def silent() -> Iterator[Sent]:
        yield delta("output_text", "I am")
        server.released.wait(60)

    server.respond, server.greets = silent, greets
    system = RealtimeSystem(server.url, timeout_s=0.5)
    with pytest.raises(Unanswered, match=r"no answer within 0.5 s"):
        system.answer(Question("set", "key", recordings[:1]))


def test_settings_that_are_refused_end_the_run(
    server: Server, recordings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", "secret")
    system = RealtimeSystem(server.url, voice="nobody", api_key_env="THE_KEY")
    with pytest.raises(HarkenError, match="no voice 'nobody', Bearer …") as refused:
        system.answer(Question("set", "key", recordings[:1], spoken=True))
    assert not isinstance(refused.value, Unanswered) and "--voice" in refused.value.hint


def test_a_connection_that_is_refused(server: Server, recordings: tuple[Path, Path]) -> None:
    question = Question("set", "key", recordings[:1])
    for status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND):
        server.status = status
        with pytest.raises(HarkenError, match="refuses the session") as refused:
            RealtimeSystem(server.url).answer(question)
        assert not isinstance(refused.value, Unanswered)
    for status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        server.status = status
        with pytest.raises(Unanswered):
            RealtimeSystem(server.url).answer(question)


def test_where_nobody_is_the_run_ends(recordings: tuple[Path, Path]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}/v1/realtime"
        for address in (url, "ws://"):
            with pytest.raises(HarkenError, match="no Realtime server answers") as gone:
                RealtimeSystem(address).answer(Question("set", "key", recordings[:1]))
            assert not isinstance(gone.value, Unanswered)


def test_without_its_package_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    with pytest.raises(MissingExtra) as missing:
        RealtimeSystem("ws://127.0.0.1:1")
    assert missing.value.hint == "pip install 'harken[eval]'"


def test_an_empty_key_is_an_error_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THE_KEY", raising=False)
    with pytest.raises(InputError, match="THE_KEY"):
        RealtimeSystem("ws://127.0.0.1:1", api_key_env="THE_KEY")
