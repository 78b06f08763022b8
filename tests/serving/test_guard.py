"""A guard in the server: before anything is written, before anything is shown, and when a cause is stated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from served import ANSWER, Client, Served, a_host, heard, hum, run, script, served, silence

from harken.audio.io import Samples
from harken.dialogue.guard import Care, Exchange
from harken.testing import FakeVoice, ScriptedLM, heard_turn
from harken.voices.base import NEUTRAL, Style

HELP = "Please talk to somebody you trust."
PUSH_TO_TALK = {"turn_detection": None}


def transcript(client: Client) -> str:
    return "".join(event["delta"] for event in client.of("response.output_audio_transcript.delta"))


def answered(guard: Callable[[Exchange], str | None], talk: Callable[[Client], object]) -> ScriptedLM:
    """A turn and its reply under a guard; gives the model."""
    model = ScriptedLM(script, heard)

    async def whole(running: Served) -> None:
        async with running.client() as client:
            await client.set(PUSH_TO_TALK)
            await client.say()
            await talk(client)  # type: ignore[misc]

    with served(a_host(model=model, guard=guard, voice=FakeVoice(chunk_s=0.5))) as running:
        run(lambda: whole(running))
    return model


def test_what_the_user_said_is_seen_before_the_model_writes_and_is_remembered() -> None:
    def guard(turn: Exchange) -> str | None:
        return HELP if turn.said == "I lost my job." and not turn.reply else None

    async def talk(client: Client) -> None:
        await client.until("response.done")
        assert transcript(client) == HELP and client.of("response.output_audio.delta")
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Thanks."}]}
        await client.connection.conversation.item.create(item=item)
        await client.connection.response.create()
        await client.until("response.done")

    model = answered(guard, talk)
    read = "".join(text for text in model.read_texts if len(text) > 1)
    assert f"<|im_start|>assistant\n{HELP}<|im_end|>\n<|im_start|>user\nThanks.<|im_end|>" in read
    assert "Thanks.<|im_end|>\n<|im_start|>assistant\n" in read and "lost my job" not in read


def test_a_reply_is_left_before_what_may_not_be_said_is_shown() -> None:
    def guard(turn: Exchange) -> str | None:
        return HELP if "Tell" in turn.reply else None

    async def talk(client: Client) -> None:
        done = (await client.until("response.done"))["response"]
        shown = transcript(client)
        assert shown == f"I am sorry to hear that. Tel … {HELP}"
        assert done["output"][0]["content"][0]["transcript"] == shown
        seconds = (
            sum(len(event["delta"]) * 3 / 4 for event in client.of("response.output_audio.delta")) / 48_000
        )
        assert seconds == pytest.approx((24 + len(HELP)) / 15, abs=0.2)

    answered(guard, talk)


def test_what_is_said_after_the_cause_is_stated_is_a_response_of_its_own() -> None:
    def guard(turn: Exchange) -> str | None:
        return HELP if turn.attribution is not None and turn.attribution.cause == "my job" else None

    async def talk(client: Client) -> None:
        first = (await client.until("response.done"))["response"]
        second = (await client.until("response.done"))["response"]
        told = [response["output"][0]["content"][0]["transcript"] for response in (first, second)]
        assert told == [ANSWER, HELP] and first["id"] != second["id"]
        assert client.of("harken.attribution")

    answered(guard, talk)


def test_a_guard_that_speaks_up_while_the_user_talks_does_not_leave_them_unanswered() -> None:
    talks, told = threading.Event(), threading.Event()
    objections = iter([HELP])

    def guard(turn: Exchange) -> str | None:
        if turn.attribution is None:
            return None
        assert talks.wait(60)
        return next(objections, None)

    class Held(FakeVoice):
        def speak(self, text: str, style: Style = NEUTRAL) -> Iterator[Samples]:
            assert text != HELP or told.wait(60)
            yield from super().speak(text, style)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            append = client.connection.input_audio_buffer.append
            await append(audio=hum(0.6))
            await append(audio=silence(0.6))
            assert (await client.until("response.done"))["response"]["status"] == "completed"
            await append(audio=hum(0.6))
            await client.until("input_audio_buffer.speech_started")
            talks.set()
            while HELP not in transcript(client):
                await client.until("response.output_audio_transcript.delta")
            await append(audio=silence(0.6))
            await client.until("input_audio_buffer.speech_stopped")
            told.set()
            left = (await client.until("response.done"))["response"]
            assert (left["status"], left["status_details"]["reason"]) == ("cancelled", "turn_detected")
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "completed"
            assert done["output"][0]["content"][0]["transcript"] == ANSWER

    with served(a_host(guard=guard, voice=Held(chunk_s=0.5))) as running:
        run(lambda: talk(running))


def test_care_answers_what_speaks_of_danger() -> None:
    model = ScriptedLM(script, lambda samples: heard_turn("I want to die.", width=1))

    async def whole(running: Served) -> None:
        async with running.client() as client:
            await client.set(PUSH_TO_TALK)
            await client.say()
            await client.until("response.done")
            assert "emergency number" in transcript(client) and client.of("response.output_audio.delta")

    with served(a_host(model=model, guard=Care())) as running:
        run(lambda: whole(running))
