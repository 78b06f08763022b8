"""The page's button, switch and microphone: what is held, let go, lost or late."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("starlette", reason="the page needs harken[serve]")
pytest.importorskip("uvicorn", reason="the page needs harken[serve]")

from scripted_page import EXAMPLES, SAD, count, drop, key, next_frame, state, texts, until_sent
from scripted_realtime import ScriptedServer, serving

KEPT = """(() => {
  const asked = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async wanted => (window.stream = await asked(wanted));
})()"""
"""A microphone that can be lost."""


def test_what_was_not_sent_as_a_turn_is_in_no_later_one(browser: Any) -> None:
    with serving(ScriptedServer([SAD], finds=0)) as server:
        browser.open(server.address)
        browser.value(f"{KEPT} ?? true")
        browser.press(" ")
        browser.until(state("listening"))
        until_sent(browser, server, 24_000)
        browser.press(" ")
        browser.until(state("idle"))
        browser.value("document.getElementById('hold').click() ?? true")
        key(browser, "keyDown")
        browser.until(state("holding"))
        while all(event["type"] != "input_audio_buffer.clear" for event in server.got):
            next_frame(browser)  # what was sent before the button was let go has come then
        until_sent(browser, server, server.samples + 12_000)
        browser.value("stream.getTracks()[0].dispatchEvent(new Event('ended'))")
        browser.until("document.getElementById('fault').dataset.kind === 'missing'")
        key(browser, "keyUp")
        drop(browser, (EXAMPLES / "sad.wav").read_bytes())
        browser.until(f"{count('.user b')} === 1")
        assert texts(browser, ".user .length") == ["5.7 s"]
        sent = [event["type"] for event in server.got if event["type"] != "session.update"]
        clear = "input_audio_buffer.clear"
        assert sent == [clear, clear, "input_audio_buffer.commit", "response.create"]


LATE = """(() => {
  const asked = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const allowed = new Promise(allow => { window.allow = allow; });
  navigator.mediaDevices.getUserMedia = async wanted => {
    window.asked = true;
    await allowed;
    return asked(wanted);
  };
})()"""
"""A microphone that is there when somebody allows it."""


def test_a_connection_that_is_lost_while_the_microphone_opens_is_not_listened_on(browser: Any) -> None:
    with serving(ScriptedServer([SAD])) as server:
        browser.open(server.address)
        browser.value(f"{LATE} ?? true")
        browser.press(" ")
        browser.until("window.asked")
        server.hang_up("server_leaving")
        browser.until("document.getElementById('fault').dataset.kind === 'leaving'")
        browser.value("allow() ?? true")
        browser.until(f"!({state('waiting')})")
        assert browser.value(state("idle"))
        assert browser.value("document.getElementById('fault').dataset.kind") == "leaving"
        browser.press(" ")  # begins anew, and does not stop what is not there
        browser.until(f"{count('.user b')} >= 1")


@pytest.mark.parametrize("kind", ["pointerup", "keyup", "pointercancel", "blur"])
def test_a_button_that_was_let_go_before_it_was_ready_is_not_held(browser: Any, kind: str) -> None:
    with serving(ScriptedServer([SAD])) as server:
        browser.open(server.address)
        browser.value(f"{LATE} ?? true")
        browser.value("document.getElementById('hold').click() ?? true")
        key(browser, "keyDown")
        browser.until("window.asked")
        browser.value(f"dispatchEvent(new Event('{kind}'))")
        browser.value("allow() ?? true")
        browser.until(f"!({state('waiting')})")
        assert browser.value(state("hold"))
        key(browser, "keyUp")


def test_a_switch_is_switched_by_keys_and_leaves_them_to_talking_when_it_was_clicked(browser: Any) -> None:
    with serving(ScriptedServer([SAD])) as server:
        browser.open(server.address)
        browser.value("document.getElementById('hold').focus() ?? true")
        browser.press(" ")
        assert browser.value("document.getElementById('hold').checked") and browser.value(state("hold"))
        browser.press(" ")
        assert not browser.value("document.getElementById('hold').checked") and browser.value(state("idle"))
        browser.value("document.activeElement.blur() ?? true")
        box = browser.value(
            "(({ x, y, width, height }) => [x + width / 2, y + height / 2])"
            "(document.querySelector('label:has(#hold)').getBoundingClientRect())"
        )
        for checked in (True, False):
            for pointer in ("mousePressed", "mouseReleased"):
                at = {"type": pointer, "x": box[0], "y": box[1], "button": "left", "clickCount": 1}
                browser.ask("Input.dispatchMouseEvent", **at)
            assert browser.value("document.getElementById('hold').checked") is checked
        browser.press(" ")
        browser.until(state("listening") + "||" + state("hearing"))
        assert not browser.value("document.getElementById('hold').checked")
