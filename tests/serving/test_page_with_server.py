"""The page and the server together, on a model with a script: what one sends the other understands."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="serving needs harken[serve]")

from scripted_page import EXAMPLES, FAKE_MICROPHONE, next_frame, texts
from served import ANSWER, a_host, heard, script, served

from harken.recipes import ReflectConfig
from harken.serving.limits import Limits
from harken.testing import ScriptedLM


@pytest.fixture
def page(chromium: str, start_browser: Callable[..., Any], tmp_path: Path) -> Any:
    """A browser whose microphone plays a recording, over and over."""
    opened = start_browser(chromium, tmp_path / "profile", FAKE_MICROPHONE)
    try:
        yield opened
    finally:
        opened.close()


def frames(page: Any) -> list[str]:
    """What the page has sent by its WebSocket."""
    return [sent["response"]["payloadData"] for sent in page.told("Network.webSocketFrameSent")]


def test_a_turn_is_found_heard_answered_and_explained(page: Any) -> None:
    asked, answered = ".user:has(mark)", ".reply:has(.player:not([hidden]))"  # others may have been cut off
    with served(a_host()) as running:
        page.open(f"http://127.0.0.1:{running.port}/")
        page.press(" ")
        page.until(f"document.querySelector({asked!r}) && document.querySelector({answered!r})")
        page.press(" ")
        assert texts(page, f"{asked} .words")[0] == "I lost my job." and texts(page, "mark")[0] == "my job"
        assert texts(page, f"{asked} .why")[0] == "You seem sad, because of “my job”"
        assert texts(page, f"{answered} .words")[0].startswith(ANSWER[:5])
        assert "first sound after" in texts(page, f"{answered} .note")[0]
        assert page.told("Runtime.exceptionThrown", "Log.entryAdded") == []
        assert page.value("document.getElementById('fault').hidden")


def test_a_server_that_does_not_speak_answers_in_writing(page: Any) -> None:
    with served(a_host(voice="none")) as running:
        page.open(f"http://127.0.0.1:{running.port}/")
        page.press(" ")
        page.until(f"[...document.querySelectorAll('.reply .words')].some(e => e.textContent === {ANSWER!r})")
        page.until("document.querySelector('.user mark')")  # stated after the reply
        page.press(" ")
        page.until("document.body.dataset.state === 'idle'")
        assert page.value("document.getElementById('fault').hidden")
        assert texts(page, ".user mark")[0] == "my job"


def test_a_recording_may_be_as_long_as_the_servers_turns(page: Any) -> None:
    choose = (
        "(() => { const data = new DataTransfer(); data.items.add(new File([sound], 'said.wav'));"
        " const input = document.getElementById('file'); input.files = data.files;"
        " input.dispatchEvent(new Event('change')); return true; })()"
    )
    recording = base64.b64encode((EXAMPLES / "sad.wav").read_bytes()).decode()
    with served(a_host(Limits(buffered_s=5))) as running:
        page.open(f"http://127.0.0.1:{running.port}/")
        page.value(f"(window.sound = Uint8Array.from(atob('{recording}'), c => c.charCodeAt(0))) && true")
        page.value(choose)
        page.until("document.getElementById('fault').dataset.kind === 'long'")
        assert texts(page, "#fault-text") == ["A recording may be 5 s long."]
    with served(a_host(Limits(buffered_s=6))) as running:
        page.open(f"http://127.0.0.1:{running.port}/")
        page.value(f"(window.sound = Uint8Array.from(atob('{recording}'), c => c.charCodeAt(0))) && true")
        page.value(choose)
        page.until("document.querySelector('.user mark')")


def test_a_held_turn_and_its_key(page: Any) -> None:
    with served(a_host(), key="secret") as running:
        page.open(f"http://127.0.0.1:{running.port}/")
        page.value("document.getElementById('hold').click() ?? true")
        page.press(" ")
        page.until("document.activeElement.id === 'key'")
        page.value("document.getElementById('key').value = 'secret'")
        page.press("Enter")
        page.until("document.getElementById('fault').hidden && document.body.dataset.state === 'hold'")
        page.value("document.activeElement.blur() ?? true")
        page.ask("Input.dispatchKeyEvent", type="keyDown", key=" ", text=" ")
        page.until("document.body.dataset.state === 'holding'")
        while sum("input_audio_buffer.append" in sent for sent in frames(page)) < 15:  # of 40 ms each
            next_frame(page)
        page.ask("Input.dispatchKeyEvent", type="keyUp", key=" ")
        page.until("document.querySelector('.user mark')")
        assert texts(page, ".user .words") == ["I lost my job."]


def test_a_full_server_says_that_it_is_busy(page: Any) -> None:
    with served(a_host(Limits(sessions=1))) as running:
        with running.host.session():
            page.open(f"http://127.0.0.1:{running.port}/")
            page.press(" ")
            page.until("document.getElementById('fault').dataset.kind === 'busy'")
            assert "as many people as it can" in texts(page, "#fault-text")[0]
        page.value("document.getElementById('mend').click() ?? true")
        page.until("document.getElementById('fault').hidden")


def test_what_is_thought_while_speaking_is_shown_to_who_wants_it(page: Any) -> None:
    how = ReflectConfig(response_tokens=10, reflection_tokens=8, real_time=False)
    model = ScriptedLM(script, heard, reflect=how, reflection=lambda _: "Sad?")
    answered = "document.querySelectorAll('.reply .player:not([hidden])').length >= {}"
    with served(a_host(model=model)) as running:
        page.open(f"http://127.0.0.1:{running.port}/")
        assert page.value("document.getElementById('reflecting').hidden")
        page.press(" ")
        page.until("!document.getElementById('reflecting').hidden")
        page.until(answered.format(1))
        assert texts(page, ".thoughts li") == []
        page.value("document.getElementById('reflect').click() ?? true")
        page.until("document.querySelectorAll('.thoughts li').length >= 3")
        page.press(" ")
        told = texts(page, ".thoughts li")
        assert told[0] == "Sad?" and all("Sad?".startswith(text) for text in told), "the last may be coming"
        assert all("Sad" not in words for words in texts(page, ".reply .words"))
        assert page.told("Runtime.exceptionThrown", "Log.entryAdded") == []


def test_a_model_that_cannot_reflect_has_no_switch_for_it(page: Any) -> None:
    with served(a_host()) as running:
        page.open(f"http://127.0.0.1:{running.port}/")
        page.press(" ")
        page.until("document.getElementById('model').textContent !== ''")
        assert page.value("document.getElementById('reflecting').hidden")


def test_the_http_side_is_described_on_a_page_that_asks_nobody_else(page: Any) -> None:
    with served(a_host()) as running:
        here = f"http://127.0.0.1:{running.port}/"
        page.open(f"{here}docs")
        page.until("document.body.dataset.state === 'shown'")
        assert {"POST /v1/audio/replies", "GET /healthz", "GET /readyz", "GET /metrics"} <= set(
            texts(page, "h3 code")
        )
        assert {"think", "voice", "503", "real_time_factor"} <= set(texts(page, "td:first-child code"))
        assert page.value("document.querySelector('#routes a').hash.slice(1) !== ''")
        asked = {sent["request"]["url"] for sent in page.told("Network.requestWillBeSent")}
        assert all(address.startswith((here, "data:")) for address in asked)
        assert page.told("Runtime.exceptionThrown", "Log.entryAdded") == []
