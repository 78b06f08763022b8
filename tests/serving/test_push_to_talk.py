"""The Realtime protocol without turn detection, over a real socket, with the stock client."""

from __future__ import annotations

import base64
import threading
from typing import Any

import numpy as np
import pytest
from served import (
    ANSWER,
    PUSH_TO_TALK,
    Client,
    HeldLM,
    Served,
    a_host,
    asked,
    heard,
    hum,
    on_server,
    push_to_talk,
    run,
    script,
    served,
    shown,
)

from harken.audio import pcm
from harken.evaluation.systems.base import Question
from harken.evaluation.systems.realtime import RealtimeSystem
from harken.testing import FakeVoice, ScriptedLM, heard_turn, spelled_words, tiny_model, tiny_own_voice
from harken.voices.phonemes import SpokenWord
from harken.voices.symbols import SYMBOL_IDS

ORDER = [
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "harken.heard",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "harken.attribution",
]


def sound(client: Client) -> np.ndarray:
    return pcm.decoded([event["delta"] for event in client.of("response.output_audio.delta")])


def spelled(text: str) -> list[SpokenWord]:
    return [word for word in spelled_words(text) if set(word.symbols) <= set(SYMBOL_IDS)]


def test_a_spoken_turn_is_answered_in_the_order_of_the_protocol() -> None:
    created = threading.Event()
    created.set()

    def heard_then(samples: np.ndarray) -> Any:
        assert created.wait(60)  # a response may be asked for before the turn is heard, and after it
        return heard(samples)

    async def talk(serving: Served) -> None:
        async with serving.client() as client:
            await client.set(PUSH_TO_TALK)
            created.clear()
            await client.say()
            await client.until("response.created")
            created.set()
            await client.until("harken.attribution")
            kinds = client.kinds()[2:]
            once = [kind for place, kind in enumerate(kinds) if kind not in kinds[max(0, place - 1) : place]]
            assert [kind for kind in ORDER if kind in kinds] == ORDER
            assert once[:8] == ORDER[:8] and once[-7:] == ORDER[-7:]
            assert shown(client) == ANSWER
            seconds = len(sound(client)) / 24_000
            assert seconds == pytest.approx(len(ANSWER) / 15, abs=0.1) and np.abs(sound(client)).max() > 0.05
            (done,) = client.of("response.done")
            assert done["response"]["status"] == "completed"
            assert done["response"]["output"][0]["content"][0]["transcript"] == ANSWER
            assert len({event["event_id"] for event in client.told}) == len(client.told)

    with served(a_host(model=ScriptedLM(script, heard_then))) as serving:
        run(lambda: talk(serving))


def test_what_was_heard_and_why_is_told_beside_the_protocol(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            await client.set(PUSH_TO_TALK | {"transcription": {"model": "whisper-1"}}, harken={"trace": True})
            await client.say()
            said = await client.until("conversation.item.input_audio_transcription.completed")
            told = await client.until("harken.heard")
            why = await client.until("harken.attribution")
            assert said["transcript"] == told["transcript"] == "I lost my job."
            assert told["emotion"] == "sad" and told["scores"]["sad"] == 0.7 and told["seconds"] == 1.0
            assert told["speaker"] == {"gender": "female"} and told["item_id"] == said["item_id"]
            assert (why["emotion"], why["cause"], why["item_id"]) == ("sad", "my job", said["item_id"])
            assert said["transcript"][why["words"]["start"] : why["words"]["end"]] == "my job"
            assert shown(client, "harken.trace.delta").startswith("The speaker feels sad")

    run(talk)


def test_a_session_that_wants_no_more_than_the_protocol_gets_no_more(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            await push_to_talk(client, harken={"heard": False, "think": "off"})
            await push_to_talk(client)
            mine = [kind for kind in client.kinds() if kind.startswith("harken.")]
            assert mine == [] and shown(client) == 2 * ANSWER

    run(talk)


def test_a_session_is_what_was_asked_for_and_keeps_the_rest(serving: Served) -> None:
    async def talk() -> None:
        async with serving.client() as client:
            first = client.told[0]["session"]
            vad = {"type": "server_vad", "threshold": 0.7, "idle_timeout_ms": 9000}
            session = await client.set({"turn_detection": vad}, instructions="Be brief.")
            found = session["audio"]["input"]["turn_detection"]
            assert found == first["audio"]["input"]["turn_detection"] | vad
            session = await client.set(
                PUSH_TO_TALK, max_output_tokens=9, audio={"output": {"voice": "alloy"}}
            )
            assert session["audio"]["input"]["turn_detection"] is not None  # `audio` was given as a whole
            session = await client.set(PUSH_TO_TALK)
            assert session["audio"]["input"]["turn_detection"] is None
            assert (session["instructions"], session["max_output_tokens"]) == ("Be brief.", 9)
            assert session["audio"]["output"]["voice"] == "alloy" and session["model"] == "harken-tiny"

    run(talk)


def test_what_other_servers_do_and_this_one_does_not_disturbs_no_client(serving: Served) -> None:
    """What the agents SDK sends of its own accord."""

    async def talk() -> None:
        async with serving.client() as client:
            heard_by = {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "noise_reduction": {"type": "near_field"},
                "transcription": {"model": "gpt-4o-mini-transcribe"},
                "turn_detection": {"type": "semantic_vad", "eagerness": "high"},
            }
            spoken_by = {"format": {"type": "audio/pcm", "rate": 24_000}, "speed": 1, "voice": "marin"}
            session = await client.set(
                audio={"input": heard_by, "output": spoken_by},
                tools=[],
                tool_choice="auto",
                tracing="auto",
                truncation="auto",
                include=["item.input_audio_transcription.logprobs"],
            )
            found = session["audio"]["input"]
            assert found["noise_reduction"] is None and session["tracing"] is None
            assert found["turn_detection"]["eagerness"] == "high"
            assert session["audio"]["output"] == spoken_by

    run(talk)


def test_a_text_beside_sound_says_what_to_do_with_it() -> None:
    model = ScriptedLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            await client.set(PUSH_TO_TALK, harken={"think": "off"})
            content = [
                {"type": "input_audio", "audio": hum(0.5)},
                {"type": "input_text", "text": "Be brief."},
            ]
            item = {"type": "message", "role": "user", "content": content}
            await client.connection.conversation.item.create(item=item)
            await client.connection.response.create(response={"metadata": {"n": "1"}})
            done = await client.until("response.done")
            assert done["response"]["metadata"] == {"n": "1"}
            assert asked(model).startswith("<|im_start|>user\nBe brief.\n·")
            await client.connection.input_audio_buffer.append(audio=hum(0.5))
            await client.connection.input_audio_buffer.commit()
            await client.connection.response.create(response={"instructions": "Be kind."})
            await client.until("response.done")
            assert "<|im_start|>user\nBe kind.\n·" in asked(model)

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))


@pytest.mark.parametrize(("kind", "law"), [("audio/pcmu", "ULAW"), ("audio/pcma", "ALAW")])
def test_the_telephones_sound_goes_in_and_out(kind: str, law: Any) -> None:
    from harken.audio import g711

    lengths: list[int] = []

    def hear(samples: np.ndarray) -> Any:
        lengths.append(len(samples))
        return heard(samples)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            telephone = {"format": {"type": kind}}
            audio = {"input": telephone | PUSH_TO_TALK, "output": telephone}
            await client.set(audio=audio)
            tone = (0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)
            sent = base64.b64encode(g711.encoded(tone, law)).decode()
            await client.connection.input_audio_buffer.append(audio=sent)
            await client.connection.input_audio_buffer.commit()
            await client.connection.response.create()
            await client.until("response.done")
            pieces = [base64.b64decode(event["delta"]) for event in client.of("response.output_audio.delta")]
            samples = g711.decoded(b"".join(pieces), law)
            assert len(samples) / 8000 == pytest.approx(len(ANSWER) / 15, abs=0.1)
            assert np.abs(samples).max() > 0.05

    with served(a_host(model=ScriptedLM(script, hear))) as running:
        run(lambda: talk(running))
    assert lengths[-1] == 16_000  # after the one that warms up


def test_cancelling_stops_the_model_within_a_step() -> None:
    model = HeldLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            await client.set(PUSH_TO_TALK, harken={"think": "off"})
            model.hold(12)
            await client.say()
            await client.until("response.output_audio_transcript.delta")
            assert model.waits.wait(60)
            steps = model.steps
            await client.connection.response.cancel()
            done = await client.until("response.done")
            assert done["response"]["status"] == "cancelled"
            assert done["response"]["status_details"]["reason"] == "client_cancelled"
            model.let_go()
            await on_server(running, running.host.worker.call(lambda: None))  # it has nothing left to do
            assert model.steps <= steps + 1
            before = len(client.told)
            await client.say()  # the session goes on
            await client.until("response.done")
            assert not [e for e in client.told[before:] if e.get("response_id") == done["response"]["id"]]

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))


def test_a_reply_is_cut_to_what_was_heard_of_it() -> None:
    model = ScriptedLM(script, heard)

    async def talk(running: Served) -> None:
        async with running.client() as client:
            await push_to_talk(client, harken={"think": "off"})
            item = client.of("response.done")[0]["response"]["output"][0]["id"]
            truncate = client.connection.conversation.item.truncate
            await truncate(item_id=item, content_index=0, audio_end_ms=60_000)
            assert (await client.error())["param"] == "audio_end_ms"
            await truncate(item_id=item, content_index=0, audio_end_ms=1000)
            assert (await client.until("conversation.item.truncated"))["audio_end_ms"] == 1000
            await client.connection.conversation.item.retrieve(item_id=item)
            found = (await client.until("conversation.item.retrieved"))["item"]
            assert found["content"][0]["transcript"] == "I am sorry to"  # 15 characters a second
            await client.say()
            await client.until("response.done")
            assert "<|im_start|>assistant\nI am sorry to<|im_end|>\n<|im_start|>user\n·" in asked(model)

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))


def test_the_models_own_voice_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harken.dialogue.reply.words", spelled)
    monkeypatch.setattr("harken.dialogue.utterance.LONGEST_UNITS", 40)  # a random voice does not end
    model = tiny_model(heard=lambda samples: heard_badly(samples, width=32))
    voice = tiny_own_voice(model.core)
    model.open_voice = lambda: voice

    async def talk(running: Served) -> None:
        async with running.client() as client:
            session = await client.set(PUSH_TO_TALK, audio={"output": {"voice": "ben"}})
            assert session["audio"]["output"]["voice"] == "ben"
            await push_to_talk(client)
            assert np.abs(sound(client)).max() > 0

    with served(a_host(model=model, voice="recipe")) as running:
        run(lambda: talk(running))


def test_what_is_not_understood_is_asked_for_again(serving: Served) -> None:
    serving.host.harken.model.heard = lambda samples: heard_badly(samples)

    async def talk() -> None:
        async with serving.client() as client:
            await push_to_talk(client)
            assert shown(client).endswith("I did not catch the words. Could you say it again in English?")
            notice = client.of("harken.notice")[0]
            assert "not understood" in notice["text"]
            assert client.of("harken.heard")[0]["transcript"] is None

    run(talk)


def heard_badly(samples: np.ndarray, width: int = 1) -> Any:
    return heard_turn(confidence=0.1, seconds=len(samples) / 16_000, width=width)


def test_a_model_that_fails_fails_one_response(serving: Served) -> None:
    model = serving.host.harken.model
    hear = model.heard

    def fail(samples: np.ndarray) -> Any:
        raise MemoryError

    async def talk() -> None:
        async with serving.client() as client:
            await client.set(PUSH_TO_TALK)
            model.heard = fail
            await client.say()
            failed = await client.until("conversation.item.input_audio_transcription.failed")
            assert "could not be heard" in failed["error"]["message"]
            done = await client.until("response.done")
            assert done["response"]["status"] == "failed"
            model.heard = hear
            await push_to_talk(client)
            assert shown(client) == ANSWER

    run(talk)


@pytest.mark.parametrize("beta", [False, True])
def test_harkens_own_client_of_such_servers_talks_to_it(beta: bool, tmp_path: Any) -> None:
    import soundfile

    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, 0.3 * np.sin(np.arange(16_000) / 10), 16_000)
    model = ScriptedLM(script, heard)
    with served(a_host(model=model, voice=FakeVoice(), beta=beta)) as running:
        system = RealtimeSystem(running.url.replace("http", "ws") + "/realtime")
        recordings = (tmp_path / "a.wav", tmp_path / "b.wav")
        answer = system.answer(Question("set", "key", recordings, ("Oh no.",), "Be brief.", spoken=True))
    assert answer.text == ANSWER
    assert answer.samples is not None and np.abs(answer.samples).max() > 0.05
    assert "Oh no.<|im_end|>\n<|im_start|>user\nBe brief.\n·" in asked(model)
