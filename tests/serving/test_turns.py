"""When the user's turn begins and ends, and what follows: moments in a stream, then over a real socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import ANSWER, Client, HeldLM, Served, SlowVoice, a_host, heard, hum, run, script, served, silence

from harken.audio.io import Samples, read
from harken.serving.listening import Listening
from harken.serving.session import STILL_HERE, Session
from harken.serving.settings import Settings
from harken.serving.turns import WINDOW, Started, Stopped, TurnDetector, open_vad
from harken.serving.wire import Refused
from harken.testing import ScriptedLM, loud_is_speech

EXAMPLE = Path(__file__).parents[2] / "examples"
SETTINGS = Settings("m", "", ("anna",), "anna")


def stream(*parts: tuple[float, bool]) -> Samples:
    """Seconds of sound and of silence, 16 kHz."""
    pieces = [np.full(int(s * 16_000), 0.3 if loud else 0.0, np.float32) for s, loud in parts]
    return np.concatenate(pieces)


def test_a_turn_ends_when_it_has_been_quiet_for_long_enough_however_the_stream_is_cut() -> None:
    sound = stream((0.32, False), (0.64, True), (0.32, False), (0.64, True), (1.28, False), (0.64, True))
    told = []
    for size in (7, 512, 4000, len(sound)):
        detector = TurnDetector(loud_is_speech(), 0.5, 500)
        told.append([t for n in range(0, len(sound), size) for t in detector.hear(sound[n : n + size])])
    begin, end = int(0.32 * 16_000), int((0.32 + 0.64 + 0.32 + 0.64) * 16_000)
    quiet = -(-500 * 16 // WINDOW) * WINDOW  # whole windows
    assert told[0] == [Started(begin), Stopped(end + quiet), Started(end + int(1.28 * 16_000))]
    assert all(one == told[0] for one in told)


def test_speech_goes_on_while_it_is_only_a_little_less_likely() -> None:
    likely = iter([0.6, *[0.4] * 50, 0.3, *[0.4] * 14, 0.3, 0.3])
    detector = TurnDetector(lambda samples: next(likely), 0.5, 500)
    told = detector.hear(np.zeros(67 * WINDOW, np.float32))
    assert told == [Started(0), Stopped((51 + 16) * WINDOW)]  # counted from the first that was unlikely


def test_silero_hears_speech_and_not_noise() -> None:
    pytest.importorskip("silero_vad", reason="needs harken[serve]")
    import torch

    threads = torch.get_num_threads()
    judge = open_vad()
    assert torch.get_num_threads() == threads
    speech = read(next(iter(sorted(EXAMPLE.glob("*.wav"))))).samples
    noise = np.random.default_rng(0).normal(0, 0.01, 32_000).astype(np.float32)
    sound = np.concatenate([noise, speech, noise])
    told = TurnDetector(judge(), 0.5, 500).hear(sound)
    assert isinstance(told[0], Started) and isinstance(told[-1], Stopped)
    assert 32_000 - 8000 < told[0].at < 32_000 + 16_000 and told[-1].at > len(speech)
    assert TurnDetector(judge(), 0.5, 500).hear(noise) == []


async def _all(turns: Any) -> list[Any]:
    return [turn async for turn in turns]


def test_before_speech_only_the_padding_is_kept_and_a_turn_begins_with_it() -> None:
    async def talk() -> None:
        listening = Listening(SETTINGS, loud_is_speech, most_s=60)
        for _ in range(200):
            assert await _all(listening.append(silence(0.2))) == []
        assert sum(map(len, listening._kept)) < 2 * 16_000
        (started,) = await _all(listening.append(hum(0.5)))
        begin = listening.padded(started.at)
        assert started.at - begin == 300 * 16 and started.at == pytest.approx(40 * 16_000, abs=2 * WINDOW)
        (stopped,) = await _all(listening.append(silence(1)))
        samples = listening.take(begin, stopped.at)
        assert len(samples) == stopped.at - begin
        assert np.abs(samples[: 250 * 16]).max() < 0.01 < np.abs(samples[300 * 16 : 800 * 16]).max()

    run(talk)


def test_a_turn_that_does_not_end_is_ended_where_no_more_is_kept() -> None:
    async def talk() -> None:
        listening = Listening(SETTINGS, loud_is_speech, most_s=2)
        told = [turn for _ in range(30) for turn in await _all(listening.append(hum(0.1)))]
        assert [type(turn) for turn in told[:2]] == [Started, Stopped]
        with pytest.raises(Refused, match="holds 2 s"):
            await _all(listening.append(hum(2.5)))

    run(talk)


async def speak(client: Client, seconds: float = 0.6) -> None:
    """A turn, as a microphone hears it: in pieces, with quiet after it."""
    for audio in (silence(0.4), hum(seconds / 2), hum(seconds / 2), silence(0.3), silence(0.6)):
        await client.connection.input_audio_buffer.append(audio=audio)


def test_the_server_finds_the_turn_and_answers_it(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            await speak(client)
            await client.until("response.done")
            kinds = client.kinds()[1:]
            order = [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                "conversation.item.added",
                "conversation.item.done",
                "response.created",
                "harken.heard",
            ]
            assert kinds[: len(order)] == order
            started, stopped, committed = (client.of(kind)[0] for kind in order[:3])
            assert started["item_id"] == stopped["item_id"] == committed["item_id"]
            assert started["audio_start_ms"] == pytest.approx(100, abs=40)  # 300 ms before 400
            assert stopped["audio_end_ms"] == pytest.approx(1500, abs=40)  # 500 ms after 1000
            seconds = client.of("harken.heard")[0]["seconds"]
            assert 1000 * seconds == pytest.approx(stopped["audio_end_ms"] - started["audio_start_ms"], abs=1)

    run(talk)


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad"])
def test_without_create_response_the_turn_is_heard_and_not_answered(serving: Served, kind: str) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            vad = {"type": kind, "create_response": False}
            session = await client.set({"turn_detection": vad, "transcription": {"model": "any"}})
            assert session["audio"]["input"]["turn_detection"]["type"] == kind
            await speak(client)
            await client.until("conversation.item.input_audio_transcription.completed")
            assert not client.of("response.created")
            await client.connection.response.create()
            await client.until("response.done")

    run(talk)


def test_speech_stops_the_reply_and_leaves_what_was_heard_of_it() -> None:
    model = ScriptedLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            await client.set(harken={"think": "off"})
            await speak(client)
            await client.until("response.done")
            reply = client.of("response.done")[0]["response"]["output"][0]
            assert reply["content"][0]["transcript"] == ANSWER
            await client.connection.input_audio_buffer.append(audio=hum(0.1))
            cut = await client.until("conversation.item.truncated")
            assert cut["item_id"] == reply["id"] and cut["audio_end_ms"] < 19_000  # of 20 s
            await client.connection.conversation.item.retrieve(item_id=reply["id"])
            found = (await client.until("conversation.item.retrieved"))["item"]
            said = found["content"][0]["transcript"]
            assert ANSWER.startswith(said) and len(said) < len(ANSWER) and found["status"] == "incomplete"
            await client.connection.conversation.item.truncate(
                item_id=reply["id"], content_index=0, audio_end_ms=12_000
            )  # the client knows better
            await client.until("conversation.item.truncated")
            await client.connection.conversation.item.retrieve(item_id=reply["id"])
            found = (await client.until("conversation.item.retrieved"))["item"]
            assert found["content"][0]["transcript"].startswith("I am sorry to hear that.")

    with served(a_host(model=model, voice=SlowVoice())) as running:
        run(lambda: talk(running))


@pytest.mark.parametrize("interrupt", [True, False])
def test_speech_in_the_middle_of_a_reply_cancels_it_if_it_may(interrupt: bool) -> None:
    model = HeldLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            vad = {"type": "server_vad", "interrupt_response": interrupt}
            await client.set({"turn_detection": vad}, harken={"think": "off"})
            model.hold(12)
            await speak(client)
            await client.until("response.output_audio_transcript.delta")
            assert model.waits.wait(60)
            await client.connection.input_audio_buffer.append(audio=hum(0.3))
            await client.until("input_audio_buffer.speech_started")
            if not interrupt:
                model.let_go()
            done = (await client.until("response.done"))["response"]
            assert done["status"] == ("cancelled" if interrupt else "completed")
            if interrupt:
                assert done["status_details"]["reason"] == "turn_detected"
                model.let_go()
                await client.connection.input_audio_buffer.append(audio=silence(0.8))
                done = (await client.until("response.done"))["response"]  # of what interrupted it
                assert done["status"] == "completed"

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))


def test_a_user_who_says_nothing_is_told_once_that_the_server_still_listens(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            vad = {"type": "server_vad", "idle_timeout_ms": 1}
            await client.set({"turn_detection": vad}, output_modalities=["text"], harken={"think": "off"})
            await speak(client)
            await client.until("response.done")
            idle = await client.until("input_audio_buffer.timeout_triggered")
            committed = await client.until("input_audio_buffer.committed")
            assert committed["item_id"] == idle["item_id"]
            assert idle["audio_start_ms"] <= idle["audio_end_ms"]
            done = (await client.until("response.done"))["response"]
            assert done["output"][0]["content"] == [{"type": "output_text", "text": STILL_HERE}]
            await speak(client)
            done = (await client.until("response.done"))["response"]
            assert done["output"][0]["content"][0]["text"] == ANSWER
            assert len(client.of("input_audio_buffer.timeout_triggered")) == 1

    run(talk)


def test_a_full_conversation_is_not_reminded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harken.serving.items.MOST_ITEMS", 3)
    told: list[Any] = []

    async def talk() -> None:
        session = Session(a_host(), told.append)
        for text in ("One.", "Two."):
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
            await session.receive(json.dumps({"type": "conversation.item.create", "item": item}))
        session._idle_for_long(0)  # takes two items
        session.close()

    run(talk)
    assert [event["type"] for event in told] == ["conversation.item.added", "conversation.item.done"] * 2


def test_the_buffer_is_cleared_and_too_little_is_not_committed(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            await client.set({"turn_detection": None})
            buffer = client.connection.input_audio_buffer
            await buffer.append(audio=hum(1.0))
            await buffer.clear()
            await client.until("input_audio_buffer.cleared")
            await buffer.commit(event_id="mine")
            error = await client.error()
            assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "mine")
            await buffer.append(audio=hum(0.1))
            await buffer.commit()
            await client.until("input_audio_buffer.committed")
            assert (await client.until("harken.heard"))["seconds"] == pytest.approx(0.1, abs=0.001)

    run(talk)


def test_sound_that_plays_is_stopped_by_the_client(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            await client.connection.output_audio_buffer.clear()
            assert (await client.error())["code"] == "nothing_to_clear"
            await client.set({"turn_detection": None}, harken={"think": "off"})
            await client.say()
            await client.until("response.done")
            await client.connection.output_audio_buffer.clear()
            cleared = await client.until("output_audio_buffer.cleared")
            assert cleared["response_id"] == client.of("response.done")[0]["response"]["id"]
            assert client.of("conversation.item.truncated")

    run(talk)
