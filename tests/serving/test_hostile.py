"""Whatever a client sends is answered by an event of the protocol; the session goes on, and so do others."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import Served, a_host, connected, run, served

from harken.bench.hostile import huge, mutated, whole_events
from harken.serving.limits import Limits
from harken.serving.session import TROUBLE_FROM, Session
from harken.serving.wire import CLIENT_EVENTS, SERVER_EVENTS

MESSAGE = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]}


def created(**changes: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": MESSAGE | changes}


def updated(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def detected(**changes: Any) -> dict[str, Any]:
    return updated(audio={"input": {"turn_detection": {"type": "server_vad", **changes}}})


def said(*content: Any) -> dict[str, Any]:
    return created(content=list(content))


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"type": "session.delete"}, "type"),
        ({"type": 3}, "type"),
        ({}, "type"),
        ([1], "type"),
        ({"type": "input_audio_buffer.append"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": 3}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AA!="}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "audio"),
        ({"type": "input_audio_buffer.commit"}, None),
        ({"type": "conversation.item.retrieve", "item_id": "nobody"}, "item_id"),
        ({"type": "conversation.item.delete", "item_id": "nobody"}, "item_id"),
        ({"type": "conversation.item.create", "item": MESSAGE, "previous_item_id": "no"}, "previous_item_id"),
        ({"type": "conversation.item.create"}, "item"),
        (created(id="x" * 101), "item.id"),
        (created(role="narrator"), "item.role"),
        (created(content=[]), "item.content"),
        (said({"type": "input_image", "image_url": "data:"}), "item.content"),
        (said({"type": "input_text", "text": "\ud800"}), "item.content"),
        (said({"type": "input_text", "text": "x" * 9000}), "item.content"),
        (said({"type": "input_text", "text": " "}), "item.content"),
        (said({"type": "input_audio", "audio": "AAAA"}), "audio"),
        (said({"type": "input_audio", "audio": "AAAAAAAA"}), "item.content"),
        (said({"type": "input_audio"}), "item.content"),
        ({"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c",
                                                       "output": "3"}}, "item.type"),
        (updated(tools=[{"type": "function", "name": "f", "parameters": {}}]), "session.tools"),
        (updated(output_modalities=["text", "audio"]), "session.output_modalities"),
        (updated(max_output_tokens=0), "session.max_output_tokens"),
        (updated(instructions="x" * 9000), "session.instructions"),
        (updated(audio={"output": {"voice": "nobody"}}), "session.audio.output.voice"),
        (updated(audio={"output": {"speed": 1.5}}), "session.audio.output.speed"),
        (updated(audio={"input": {"format": {"type": "audio/pcm", "rate": 8000}}}),
         "session.audio.input.format.rate"),
        (updated(harken={"heard": "perhaps"}), "session.harken.heard"),
        (updated(harken={"hears": True}), "session.harken.hears"),
        ({"type": "session.update", "session": {"type": "transcription"}}, "session.type"),
        (detected(threshold=1.5), "session.audio.input.turn_detection.threshold"),
        (detected(silence_duration_ms=-1), "session.audio.input.turn_detection.silence_duration_ms"),
        (detected(prefix_padding_ms=10**9), "session.audio.input.turn_detection.prefix_padding_ms"),
        (detected(idle_timeout_ms=10**9), "session.audio.input.turn_detection.idle_timeout_ms"),
        (detected(threshold=10**400), "session.audio.input.turn_detection.threshold"),
        (updated(max_output_tokens=10**400), "session.max_output_tokens"),
        (created(role="system", content=[{"type": "input_text", "transcript": 5}]), "item.content"),
        (updated(output_modalities=["x"] * 1000), None),
        (updated(tracing={"metadata": [[0] * 500] * 3}), None),
        (updated(tracing={"metadata": {str(n): {} for n in range(1000)}}), None),
        ({"type": "response.create"}, None),
        ({"type": "response.create", "response": {"conversation": "none"}}, None),
        ({"type": "response.create", "response": {"input": []}}, None),
        ({"type": "response.create", "response": {"metadata": {"a": "x" * 9000}}}, "response.metadata"),
        ({"type": "response.cancel"}, None),
        ({"type": "response.cancel", "response_id": "nobody"}, None),
        ({"type": "output_audio_buffer.clear"}, None),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_an_error_that_names_it(event: Any, param: str | None) -> None:
    async def talk() -> None:
        async with connected(FOR_ERRORS) as connection:
            await connection.recv()
            await connection.send(
                json.dumps(event | {"event_id": "mine"} if isinstance(event, dict) else event)
            )
            told = json.loads(await connection.recv())
            SERVER_EVENTS["error"].model_validate(told)
            error = told["error"]
            assert (error["type"], error["param"]) == ("invalid_request_error", param), error
            assert error["event_id"] == ("mine" if isinstance(event, dict) else None)
            await connection.send(json.dumps(updated()))
            assert json.loads(await connection.recv())["type"] == "session.updated"

    run(talk)


FOR_ERRORS: Served


@pytest.fixture(scope="module", autouse=True)
def for_errors() -> Any:
    """One server for all of this."""
    global FOR_ERRORS
    with served(a_host(Limits(buffered_s=20, after_broken_s=0))) as FOR_ERRORS:
        yield
        assert FOR_ERRORS.host.worker.alive


@pytest.mark.parametrize(
    "chosen",
    [
        {"type": "server_vad", "kind": "x", "eagerness": "low"},
        {"type": "semantic_vad", "threshold": "x"},
        {"type": "semantic_vad", "prefix_padding_ms": 300.5, "silence_duration_ms": "long", "kind": "x"},
    ],
)
def test_what_a_kind_of_turn_detection_has_not_is_passed_over(chosen: dict[str, Any]) -> None:
    async def talk() -> None:
        told: list[Any] = []
        session = Session(FOR_ERRORS.host, told.append)
        await session.receive(
            json.dumps(updated(audio={"input": {"turn_detection": {"type": chosen["type"]}}}))
        )
        await session.receive(json.dumps(updated(audio={"input": {"turn_detection": chosen}})))
        plain, found = (event["session"]["audio"]["input"]["turn_detection"] for event in told)
        assert found == plain
        session.close()

    run(talk)


def test_texts_that_are_full_of_commas_are_read() -> None:
    async def talk() -> None:
        session = Session(FOR_ERRORS.host, lambda event: None)
        asked = {"instructions": "," * 8000, "metadata": {str(n): "," * 500 for n in range(15)}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FOR_ERRORS.host.worker, "submit", lambda *given: None)
            assert await session.receive(json.dumps({"type": "response.create", "response": asked}))
        assert session.replying
        session.close()

    run(talk)


def test_a_message_of_very_many_values_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    async def talk() -> None:
        session = Session(FOR_ERRORS.host, told.append)
        with monkeypatch.context() as patch:
            patch.setattr("harken.serving.wire.json.loads", lambda *_, **__: pytest.fail("it is read"))
            assert not await session.receive("[" + "0," * 30_000 + "0]")
        session.close()

    run(talk)
    assert "20,000 commas" in told[0]["error"]["message"]


def test_every_event_of_a_client_is_among_those_that_are_changed() -> None:
    kinds = {event["type"] for event in whole_events()}
    assert kinds == set(CLIENT_EVENTS)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_any_message_is_answered_by_the_protocol_and_the_session_goes_on(seed: int) -> None:
    draw = random.Random(seed)

    async def talk() -> None:
        async with connected(FOR_ERRORS) as connection:
            for _ in range(10):
                await connection.send(mutated(draw))
            probe = {"type": "conversation.item.retrieve", "item_id": "of nobody", "event_id": "probe"}
            await connection.send(json.dumps(probe))
            while True:
                told = json.loads(await asyncio.wait_for(connection.recv(), 30))
                SERVER_EVENTS[told["type"]].model_validate(told)
                error = told.get("error") or {}
                assert error.get("code") != "server_failed", error
                if error.get("event_id") == "probe":
                    return

    run(talk)


def test_who_sends_much_that_is_broken_is_troublesome_until_it_does_better() -> None:
    async def talk() -> None:
        session = Session(FOR_ERRORS.host, lambda event: None)
        for _ in range(TROUBLE_FROM):
            assert not session.troublesome
            assert not await session.receive("{")
        assert session.troublesome
        for _ in range(3 * TROUBLE_FROM):
            assert await session.receive(json.dumps(updated()))
        assert not session.troublesome
        session.close()

    run(talk)


def test_a_reply_to_who_sends_what_is_broken_is_made_behind_the_others() -> None:
    async def talk() -> None:
        host, behind = FOR_ERRORS.host, []
        session = Session(host, lambda event: None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(host.worker, "submit", lambda *given: behind.append(given[-1]))
            await session.receive(json.dumps(created()))
            await session.receive(json.dumps({"type": "response.create"}))
            assert not behind[0]()
            for _ in range(TROUBLE_FROM):
                await session.receive("{")
            assert behind[0]()
        session.close()

    run(talk)


def test_what_cannot_be_done_now_is_no_trouble() -> None:
    async def talk() -> None:
        session = Session(FOR_ERRORS.host, lambda event: None)
        for _ in range(2 * TROUBLE_FROM):
            assert await session.receive(json.dumps({"type": "response.cancel"}))
        assert not session.troublesome
        session.close()

    run(talk)


def test_what_follows_a_broken_message_waits_and_nobody_else_does() -> None:
    async def talk() -> None:
        with served(a_host(Limits(after_broken_s=3600))) as server:
            async with connected(server) as broken, connected(server) as other:
                await broken.recv(), await other.recv()
                await broken.send("{")
                await broken.send(json.dumps(updated()))
                assert json.loads(await broken.recv())["type"] == "error"
                waiting = asyncio.create_task(broken.recv())
                for _ in range(3):
                    await other.send(json.dumps(updated()))
                    assert json.loads(await other.recv())["type"] == "session.updated"
                assert not waiting.done()
                waiting.cancel()
                broken.transport.abort()  # a good end would have to wait as well

    run(talk)


def test_the_longest_appends_are_refused_one_by_one() -> None:
    async def talk() -> None:
        async with connected(FOR_ERRORS) as connection:
            await connection.recv()
            for seed in range(3):
                await connection.send(huge(random.Random(seed)))
                told = json.loads(await asyncio.wait_for(connection.recv(), 30))
                assert told["error"]["code"] == "input_audio_buffer_full"

    run(talk)
