"""docs/realtime.md holds: each row of its tables, with the stock clients of Python and of JavaScript, and its
two programs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agents_sdk import BIN, agents_client
from served import ANSWER, Client, HeldLM, SlowVoice, a_host, heard, hum, run, script, served, silence

from harken.audio.io import read
from harken.testing import heard_turn

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "realtime.md").read_text(encoding="utf-8")
KEY = "the-key"
UNHEARD_S, UNCLEAR_S = 0.2, 0.3
"""How long a turn is that cannot be heard, or is not understood."""
VAD = {
    "type": "server_vad", "threshold": 0.6, "prefix_padding_ms": 200, "silence_duration_ms": 400,
    "idle_timeout_ms": 9000, "create_response": False, "interrupt_response": False,
}  # fmt: skip
FORMATS = [{"type": "audio/pcmu"}, {"type": "audio/pcma"}, {"type": "audio/pcm", "rate": 24_000}]
TAKEN: dict[str, list[Any]] = {
    "instructions": ["Be kind."],
    "output_modalities": [["text"], ["audio"]],
    "max_output_tokens": [9, "inf"],
    "audio.input.format": [
        {"type": "audio/pcmu"},
        {"type": "audio/pcma"},
        {"type": "audio/pcm", "rate": 24_000},
    ],
    "audio.input.transcription": [{"model": "any"}, None],
    "audio.input.turn_detection": [VAD, {"type": "semantic_vad", "eagerness": "high"}, None],
    "audio.output.format": [
        {"type": "audio/pcmu"},
        {"type": "audio/pcma"},
        {"type": "audio/pcm", "rate": 24_000},
    ],
    "audio.output.voice": ["alloy", "fake"],
    "harken": [{"heard": False, "think": "before", "trace": True}],
}
WITHOUT_EFFECT: dict[str, Any] = {
    "model": "gpt-realtime",
    "tracing": "auto",
    "tool_choice": "none",
    "audio.input.noise_reduction": {"type": "near_field"},
}
WRITTEN = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
RESULT = {"type": "function_call_output", "call_id": "call", "output": "{}"}
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "session.tools": ("session.update", {"tools": [{"type": "function", "name": "f", "parameters": {}}]}),
    "session.prompt": ("session.update", {"prompt": {"id": "mine"}}),
    "session.audio.output.speed": ("session.update", {"audio": {"output": {"speed": 1.5}}}),
    "response.input": ("response.create", {"response": {"input": [WRITTEN]}}),
    "response.conversation": ("response.create", {"response": {"conversation": "none"}}),
    "item.type": ("conversation.item.create", {"item": RESULT}),
    "item.content": ("conversation.item.create", {"item": WRITTEN | {"content": [PICTURE]}}),
}
Talk = Callable[[Client], Coroutine[Any, Any, None]]


def rows(title: str) -> set[str]:
    """The names in the first column of a table."""
    _, _, rest = PAGE.partition(f"| {title} | |\n| --- | --- |\n")
    return set(re.findall(r"^\| `([^`]+)`", rest.partition("\n\n")[0], re.MULTILINE))


def program(language: str, port: int) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found and "127.0.0.1:8998" in found[1]
    return found[1].replace("127.0.0.1:8998", f"127.0.0.1:{port}")


def hear(samples: np.ndarray) -> Any:
    seconds = round(len(samples) / 16_000, 1)
    if seconds == UNHEARD_S:
        raise MemoryError
    return heard_turn(confidence=0.1, seconds=seconds, width=1) if seconds == UNCLEAR_S else heard(samples)


@pytest.fixture(params=["openai for Python", "agents SDK for JavaScript"])
def talked(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`talked(talk)` has a client talk to a server."""
    sdk = None if "Python" in request.param else request.getfixturevalue("agents_sdk")

    async def whole(running: Any, talk: Talk) -> None:
        async with running.client() if sdk is None else agents_client(running, sdk) as client:
            await talk(client)

    def talked(talk: Talk, **host: Any) -> None:
        with served(a_host(**host)) as running:
            run(lambda: whole(running, talk))

    return talked


def at(path: str, value: Any) -> dict[str, Any]:
    """A setting in its place: `audio.input.format` → {"audio": {"input": {"format": …}}}."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


async def found(client: Client, path: str, value: Any) -> Any:
    """What a setting is after it was asked for."""
    await client.send("session.update", session={"type": "realtime", **at(path, value)})
    setting = (await client.until("session.updated"))["session"]
    for name in path.split("."):
        setting = setting[name]
    return setting


def test_settings_that_are_taken_are_as_asked_for(talked: Callable[..., None]) -> None:
    assert rows("a session's setting") == set(TAKEN)

    async def talk(client: Client) -> None:
        for path, values in TAKEN.items():
            for value in values:
                setting = await found(client, path, value)
                assert (setting | value if isinstance(value, dict) else value) == setting, path

    talked(talk)


def test_settings_without_effect_are_shown_as_not_there(talked: Callable[..., None]) -> None:
    assert rows("taken, and makes no difference") == set(WITHOUT_EFFECT)

    async def talk(client: Client) -> None:
        for path, value in WITHOUT_EFFECT.items():
            await found(client, "instructions", "Be brief.")
            before = client.told[-1]["session"]
            await found(client, path, value)
            assert client.told[-1]["session"] == before, path

    talked(talk)


def test_what_is_refused_is_named_and_changes_nothing(talked: Callable[..., None]) -> None:
    assert rows("refused") == set(REFUSED)

    async def talk(client: Client) -> None:
        for place, (kind, fields) in REFUSED.items():
            if kind == "session.update":
                fields = {"session": {"type": "realtime", "instructions": "No.", **fields}}
            await client.send(kind, **fields)
            error = (await client.until("error"))["error"]
            assert error["code"] in ("unsupported", "invalid_value"), error
            assert error["param"] in (place, None) or error["param"].startswith(place), error
        assert await found(client, "max_output_tokens", 9) == 9
        assert client.told[-1]["session"]["instructions"] != "No."

    talked(talk)


class Talker:
    """Says what it is told to, and remembers the names of all that it sent."""

    def __init__(self, client: Client) -> None:
        self.client, self.sent = client, set[str]()

    async def __call__(self, kind: str, *until: str, **fields: Any) -> Any:
        """Send an event; gives the next of those names that the server answers with."""
        self.sent.add(kind)
        await self.client.send(kind, **fields)
        return await self.client.until(*until) if until else None

    async def set(self, turns: Any, modality: str) -> None:
        audio = {"input": {"turn_detection": turns, "transcription": {"model": "any"}}}
        session = {
            "type": "realtime",
            "audio": audio,
            "output_modalities": [modality],
            "harken": {"trace": True},
        }
        await self("session.update", "session.updated", session=session)

    async def say(self, seconds: float, *until: str) -> None:
        await self("input_audio_buffer.append", audio=hum(seconds))
        await self("input_audio_buffer.commit", *until)


async def every_event(talker: Talker, model: HeldLM) -> None:
    """A conversation in which every event happens."""
    client = talker.client
    await talker.set(None, "audio")
    await talker("input_audio_buffer.append", audio=hum(1.0))
    await talker("input_audio_buffer.clear", "input_audio_buffer.cleared")
    await talker.say(1.0, "harken.heard")
    await talker("response.create", "harken.attribution")
    reply = client.of("response.done")[0]["response"]["output"][0]["id"]
    cut = {"item_id": reply, "content_index": 0, "audio_end_ms": 9000}
    await talker("conversation.item.truncate", "conversation.item.truncated", **cut)
    await talker("conversation.item.retrieve", "conversation.item.retrieved", item_id=reply)
    await talker("output_audio_buffer.clear", "output_audio_buffer.cleared")
    await talker("conversation.item.create", "conversation.item.done", item=WRITTEN | {"id": "mine"})
    await talker("conversation.item.delete", "conversation.item.deleted", item_id="mine")
    await talker("conversation.item.retrieve", "error", item_id="mine")

    await talker.set(None, "text")
    await talker("conversation.item.create", "conversation.item.done", item=WRITTEN)
    model.hold(1)
    await talker("response.create", "response.created")
    done = await talker("response.cancel", "response.done")
    assert done["response"]["status"] == "cancelled"
    model.let_go()
    await talker.say(UNHEARD_S, "conversation.item.input_audio_transcription.failed")
    await talker.say(UNCLEAR_S)
    await talker("response.create", "response.done")

    await talker.set({"type": "server_vad"}, "text")
    for audio in (silence(0.4), hum(0.6), silence(0.9)):
        await talker("input_audio_buffer.append", audio=audio)
    await client.until("response.done")
    await talker.set({"type": "server_vad", "idle_timeout_ms": 1}, "text")
    await client.until("input_audio_buffer.timeout_triggered")
    await client.until("response.done")


def test_every_event_of_the_tables_happens_and_no_other(talked: Callable[..., None]) -> None:
    model = HeldLM(script, hear)

    async def talk(client: Client) -> None:
        talker = Talker(client)
        await every_event(talker, model)
        assert talker.sent == rows("a client's event")
        told = {kind for kind in client.kinds() if not kind.startswith("sdk.")}
        assert told == rows("the server's event")

    talked(talk, model=model, voice=SlowVoice())


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_the_pages_programs_say_a_recording_and_keep_the_reply(
    tmp_path: Path, request: pytest.FixtureRequest, language: str
) -> None:
    command: list[Any] = [sys.executable, "talk.py"]
    if language == "javascript":
        sdk = request.getfixturevalue("agents_sdk")
        (tmp_path / "node_modules").symlink_to(sdk / "node_modules")
        command = [BIN and BIN / "node", "talk.mjs"]
    recording = read(ROOT / "examples" / "sad.wav", sample_rate=24_000).samples
    (tmp_path / "question.pcm").write_bytes(np.round(recording * 32767).astype("<i2").tobytes())
    environment = {"HARKEN_API_KEY": KEY}
    with served(a_host(), key=KEY) as running:
        (tmp_path / command[1]).write_text(program(language, running.port), encoding="utf-8")
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
        )
    assert (done.returncode, done.stdout) == (0, f"{ANSWER}\n"), done.stderr
    sound = np.frombuffer((tmp_path / "reply.pcm").read_bytes(), "<i2")
    assert len(sound) / 24_000 == pytest.approx(len(ANSWER) / 15, abs=0.1)
    assert np.abs(sound).max() > 1000
