"""OpenAI's JavaScript agents SDK, from npm, as it is: only the address is another."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from agents_sdk import AgentsSdk, agents_client
from served import ANSWER, HeldLM, SlowVoice, a_host, heard, hum, run, script, served, silence

from harken.audio import pcm
from harken.audio.io import read
from harken.testing import FakeVoice

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "sad.wav"
PUSH_TO_TALK = {"audio": {"input": {"turnDetection": None, "transcription": {"model": "any"}}}}
Talk = Callable[[AgentsSdk], Coroutine[Any, Any, None]]


def talked(sdk: Path, talk: Talk, config: Any = None, **host: Any) -> None:
    """A session of the SDK's with a server, in which nothing is an error to either."""

    async def whole(running: Any) -> None:
        async with agents_client(running, sdk, **(config or {})) as client:
            await talk(client)
            assert not client.of("error", "sdk.error")

    with served(a_host(**host)) as running:
        run(lambda: whole(running))


def words(item: Any) -> str | None:
    (content,) = item["content"]
    found: str | None = content.get("transcript", content.get("text"))
    return found


def test_a_recording_is_understood_and_answered(agents_sdk: Path) -> None:
    recording = read(EXAMPLE, sample_rate=24_000).samples

    async def talk(client: AgentsSdk) -> None:
        for start in range(0, len(recording), 12_000):
            piece = recording[start : start + 12_000]
            await client.sound(pcm.encoded(piece), commit=start + 12_000 >= len(recording))
        history = await client.history("conversation.item.retrieved")
        assert [words(item) for item in history] == ["I lost my job."]
        assert client.of("harken.heard")[0]["seconds"] == pytest.approx(len(recording) / 24_000, abs=0.01)
        await client.send("response.create")
        assert (await client.until("sdk.agent_end"))["said"] == ANSWER
        done = client.of("response.done")[0]["response"]
        assert done["status"] == "completed"
        bytes_heard = sum(event["bytes"] for event in client.of("sdk.audio"))
        assert bytes_heard / 48_000 == pytest.approx(len(ANSWER) / 15, abs=0.1)
        assert client.of("sdk.history")[-1]["history"][-1]["itemId"] == done["output"][0]["id"]

    talked(agents_sdk, talk, PUSH_TO_TALK)


def test_a_text_is_answered_and_the_conversation_may_be_taken_back(agents_sdk: Path) -> None:
    async def talk(client: AgentsSdk) -> None:
        await client.call("sendMessage", "I passed!")
        assert (await client.until("sdk.agent_end"))["said"] == ANSWER
        history = client.of("sdk.history")[-1]["history"]
        assert [(item["role"], words(item)) for item in history] == [
            ("user", "I passed!"),
            ("assistant", ANSWER),
        ]
        await client.call("updateHistory", history[:1])
        assert await client.history("conversation.item.deleted") == history[:1]

    talked(agents_sdk, talk)


def test_speech_stops_the_reply_and_leaves_what_was_heard_of_it(agents_sdk: Path) -> None:
    async def talk(client: AgentsSdk) -> None:
        for audio in (silence(0.4), hum(0.6), silence(1.0)):
            await client.sound(audio)
        await client.until("sdk.agent_end")
        await client.sound(hum(0.2))
        await client.until("sdk.audio_interrupted")
        cut = words((await client.until("conversation.item.retrieved"))["item"])
        said, reply = (await client.until("sdk.history"))["history"]
        assert words(said) == "I lost my job." and reply["status"] == "incomplete"
        assert cut is not None and ANSWER.startswith(cut) and len(cut) < len(ANSWER)
        assert words(reply) == (cut or ANSWER)  # it keeps the words of what was not heard at all

    talked(agents_sdk, talk, voice=SlowVoice())


def test_the_reply_is_stopped_by_a_call_while_it_is_made(agents_sdk: Path) -> None:
    model = HeldLM(script, heard)

    async def talk(client: AgentsSdk) -> None:
        model.hold(len(ANSWER))  # past its first sentence
        await client.call("sendMessage", "I passed!")
        await client.until("sdk.audio")
        await client.call("interrupt")
        done = (await client.until("response.done"))["response"]
        assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
        await client.until("conversation.item.truncated")
        model.let_go()
        await client.call("sendMessage", "Go on.")
        assert (await client.until("response.done"))["response"]["status"] == "completed"

    talked(agents_sdk, talk, model=model, voice=FakeVoice(chunk_s=0.5))
