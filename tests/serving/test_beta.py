"""The protocol's beta: its names and its form of a session, which older clients speak."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from openai.types.beta import realtime
from served import ANSWER, Served, a_host, connected, hum, run, served

from harken.serving.wire import by_type

CLIENT = by_type(*get_args(get_args(realtime.RealtimeClientEvent)[0]))
SERVER = by_type(*get_args(get_args(realtime.RealtimeServerEvent)[0]))
SETTINGS = {
    "modalities": ["text", "audio"],
    "instructions": "Be brief.",
    "voice": "alloy",
    "input_audio_format": "pcm16",
    "output_audio_format": "g711_ulaw",
    "input_audio_transcription": {"model": "whisper-1"},
    "turn_detection": None,
    "max_response_output_tokens": 40,
}


@pytest.fixture
def beta() -> Iterator[Served]:
    with served(a_host(beta=True)) as running:
        yield running


class Older:
    """An older client: only what the beta's models have."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.told: list[dict[str, Any]] = []

    async def send(self, **event: Any) -> None:
        CLIENT[event["type"]].model_validate(event)
        await self.connection.send(json.dumps(event))

    async def until(self, kind: str) -> dict[str, Any]:
        while True:
            event: dict[str, Any] = json.loads(await self.connection.recv())
            self.told.append(event)
            if not event["type"].startswith("harken."):
                SERVER[event["type"]].model_validate(event)
            if event["type"] == kind:
                return event
            assert event["type"] != "error", event


def test_a_turn_goes_by_the_betas_names(beta: Served) -> None:
    async def talk() -> None:
        async with connected(beta) as connection:
            client = Older(connection)
            first = (await client.until("session.created"))["session"]
            assert (
                first["modalities"] == ["text", "audio"] and first["turn_detection"]["type"] == "server_vad"
            )
            await client.send(type="session.update", session=SETTINGS)
            session = (await client.until("session.updated"))["session"]
            assert {name: session[name] for name in SETTINGS} == SETTINGS
            said = {"type": "text", "text": "Hello."}
            item = {"type": "message", "role": "assistant", "content": [said]}
            await client.send(type="conversation.item.create", item=item)
            assert (await client.until("conversation.item.created"))["item"]["content"] == [said]
            await client.send(type="input_audio_buffer.append", audio=hum(0.5))
            await client.send(type="input_audio_buffer.commit")
            await client.send(type="response.create", response={"instructions": "Be kind."})
            done = (await client.until("response.done"))["response"]
            assert done["output"][0]["content"][0] == {"type": "audio", "transcript": ANSWER}
            kinds = {event["type"] for event in client.told}
            assert {"response.audio.delta", "response.audio_transcript.delta", "response.audio.done"} <= kinds
            assert not kinds & {
                "response.output_audio.delta",
                "conversation.item.added",
                "conversation.item.done",
            }
            await client.send(
                type="response.create", response={"modalities": ["text"], "instructions": "Go on."}
            )
            await client.until("response.text.done")

    run(talk)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.update", "session": {"modalities": 3}},
        {"type": "session.update", "session": {"input_audio_format": "mp3"}},
        {"type": "session.update", "session": 3},
        {"type": "session.update"},
        {"type": "conversation.item.create", "item": {"role": "assistant", "content": [3, {"type": {}}]}},
        {"type": "response.create", "response": [1]},
        {"type": "response.create", "response": {"instructions": "Go on.", "conversation": "none"}},
        {"type": "response.create", "response": {"instructions": "Go on.", "input": []}},
        {"type": "response.create", "response": {"instructions": "Go on.", "prompt": {"id": "p"}}},
    ],
)
def test_what_cannot_be_read_or_done_is_an_error(beta: Served, event: dict[str, Any]) -> None:
    async def talk() -> None:
        async with connected(beta) as connection:
            client = Older(connection)
            await client.until("session.created")
            await connection.send(json.dumps(event | {"event_id": "mine"}))
            told = json.loads(await connection.recv())
            assert told["type"] == "error" and told["error"]["event_id"] == "mine"
            assert told["error"]["code"] != "server_failed"

    run(talk)
