"""The page in headless Chromium: a person talks to it by a microphone that plays a recording, by keys, and by
dropping a file; and it says what is wrong when something is. The server is scripted.
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("starlette", reason="the page needs harken[serve]")
pytest.importorskip("uvicorn", reason="the page needs harken[serve]")

from scripted_page import EXAMPLES, HAPPY, SAD, count, drop, faultless, key, state, texts, until_sent
from scripted_realtime import Said, ScriptedServer, serving


def test_a_person_talks_with_the_keyboard_alone_and_sees_what_was_heard(browser: Any) -> None:
    with serving(ScriptedServer([SAD, HAPPY])) as server:
        browser.open(server.address)
        assert "How you say it counts" in browser.value("document.body.innerText")
        browser.press(" ")
        browser.until(state("listening") + "||" + state("hearing"))
        assert browser.value("document.getElementById('talk').getAttribute('aria-pressed')") == "true"
        browser.until(f"{count('.user b')} >= 2 && {count('.reply .player:not([hidden])')} >= 2")
        browser.press(" ")
        browser.until(state("idle"))
        said = texts(browser, ".user .words")
        assert said[:2] == [SAD.words, HAPPY.words], "text is shown as it is"
        assert texts(browser, ".user .why")[0] == "You seem sad, because of “<b>my dad</b> isn't here”"
        assert texts(browser, ".user mark")[0] == "<b>my dad</b> isn't here"
        assert texts(browser, ".user .note")[0] == "sad 60 % · happy 30 % · neutral 8 %"
        assert texts(browser, ".reply .words")[0].strip() == SAD.reply
        assert all(note.startswith("first sound after ") for note in texts(browser, ".reply .note")[:2])
        label = browser.value("document.querySelector('#chart svg').getAttribute('aria-label')")
        assert label.replace("\u202f", " ").startswith("How you sounded: turn 1 sad 60 %, turn 2 happy 90 %")
        assert browser.value(f"{count('#chart .top')} >= 2 && {count('#chart .lesser')} >= 3")
        heard = browser.value("document.querySelector('.user .bars').getAttribute('d')")
        assert len(set(heard.split("v"))) > 10, "the waveform is of the recording, not flat"
        faultless(browser, server)


def test_each_turn_can_be_played_again(browser: Any) -> None:
    with serving(ScriptedServer([SAD])) as server:
        browser.open(server.address)
        drop(browser, (EXAMPLES / "sad.wav").read_bytes())
        browser.until(f"{count('.player:not([hidden])')} === 2 && {state('idle')}")
        for who in ("user", "reply"):
            played = f"document.querySelector('.{who} .line').style.getPropertyValue('--played')"
            browser.value(f"document.querySelector('.{who} .play').click() ?? true")
            browser.until(f"parseFloat({played}) > 20")
        assert browser.value(count(".play.playing")) in (0, 1), "one at a time"
        faultless(browser, server)


def test_a_recording_is_dropped_and_answered(browser: Any) -> None:
    with serving(ScriptedServer([SAD])) as server:
        browser.open(server.address)
        drop(browser, (EXAMPLES / "sad.wav").read_bytes())
        browser.until(f"{count('.user b')} === 1 && {state('idle')}")
        assert abs(server.samples / 24_000 - 5.7) < 0.1
        assert texts(browser, ".user .length") == ["5.7 s"]
        asked = [event["type"] for event in server.got]
        assert asked == ["session.update", "input_audio_buffer.commit", "response.create"]
        drop(browser, b"no sound at all", "notes.txt")
        browser.until("document.getElementById('fault').dataset.kind === 'file'")
        assert "notes.txt is no recording" in texts(browser, "#fault-text")[0]
        faultless(browser, server)


def test_the_button_is_held_to_talk(browser: Any) -> None:
    with serving(ScriptedServer([HAPPY])) as server:
        browser.open(server.address)
        browser.value("document.getElementById('hold').click() ?? true")
        browser.until(state("hold"))
        key(browser, "keyDown")
        browser.until(f"{state('holding')} && document.body.style.getPropertyValue('--level') > 0")
        until_sent(browser, server, 12_000)
        key(browser, "keyUp")
        browser.until(f"{count('.user b')} === 1 && {state('hold')}")
        assert texts(browser, ".user .words") == [HAPPY.words]
        asked = [event["type"] for event in server.got]
        assert asked == ["session.update", "input_audio_buffer.commit", "response.create"]
        updates = [e["session"]["audio"]["input"] for e in server.got if e["type"] == "session.update"]
        assert updates[0]["turn_detection"] is None and server.samples > 0
        faultless(browser, server)


def test_talking_into_a_reply_stops_it_and_shows_how_much_was_heard(browser: Any) -> None:
    long = Said("Go on.", "neutral", {"neutral": 1.0}, "I am going to tell a very long story.", None, 8.0)
    with serving(ScriptedServer([long], turn_s=3.0)) as server:
        browser.open(server.address)
        browser.press(" ")
        browser.until(f"{count('.reply s')} >= 1")
        browser.press(" ")
        assert texts(browser, ".reply .words")[0].startswith("I am going")
        assert texts(browser, ".reply s")[0].startswith(" going")
        assert "interrupted" in texts(browser, ".reply .note")[0]
        cut = next(event for event in server.got if event["type"] == "conversation.item.truncate")
        assert cut["item_id"] == "reply-0" and 0 <= cut["audio_end_ms"] < 8_000


def test_what_is_said_into_a_turn_is_silent_when_the_turn_is_answered(browser: Any) -> None:
    guard = Said("", "neutral", {}, "Please talk to somebody.", reply_s=8.0)
    with serving(ScriptedServer([SAD], finds=1, interjects=guard)) as server:
        browser.open(server.address)
        browser.press(" ")
        browser.until(f"{count('.reply s')} >= 1 && {count('.user b')} >= 1")
        cut = next(event for event in server.got if event["type"] == "conversation.item.truncate")
        assert cut["item_id"] == "interjection" and cut["audio_end_ms"] < 8_000
        assert texts(browser, ".turn:has(.user b) .reply .words")[0].strip() == SAD.reply


def test_escape_stops_a_reply(browser: Any) -> None:
    long = Said("Go on.", "neutral", {"neutral": 1.0}, "I am going on.", None, 8.0, whole=False)
    with serving(ScriptedServer([long])) as server:
        browser.open(server.address)
        drop(browser, (EXAMPLES / "angry.wav").read_bytes())
        browser.value("document.getElementById('talk').focus() ?? true")
        browser.until(state("speaking"))
        browser.press("Escape")
        browser.until(count(".reply s"))
        assert "response.cancel" in [event["type"] for event in server.got]


def test_no_permission_no_microphone_and_no_secure_page_are_said(browser: Any) -> None:
    with serving(ScriptedServer([SAD])) as server:
        browser.open(server.address)
        browser.value("delete BaseAudioContext.prototype.audioWorklet")  # no page that is not secure has it
        for error, told in (
            ("NotAllowedError", "is not allowed"),
            ("NotFoundError", "There is no microphone"),
            ("NotReadableError", "cannot be opened"),
        ):
            refuse = f'() => Promise.reject(new DOMException("no", "{error}"))'
            browser.value(f"(navigator.mediaDevices.getUserMedia = {refuse}) && true")
            browser.press(" ")
            browser.until(f"document.getElementById('fault-text').textContent.includes('{told}')")
            browser.until(state("idle"))
        browser.value("delete Object.getPrototypeOf(navigator).mediaDevices")
        browser.press(" ")
        browser.until("document.getElementById('fault').dataset.kind === 'insecure'")
        drop(browser, (EXAMPLES / "sad.wav").read_bytes())  # works without
        browser.until(f"{count('.user b')} === 1 && {count('.reply .player:not([hidden])')} === 1")
        browser.until(state("idle"))  # it has been played
        assert browser.told("Runtime.exceptionThrown") == []


def test_a_busy_server_is_said_and_tried_again(browser: Any) -> None:
    server = ScriptedServer([SAD], busy=True)
    with serving(server):
        browser.open(server.address)
        browser.press(" ")
        browser.until("document.getElementById('fault').dataset.kind === 'busy'")
        assert "as many people as it can" in texts(browser, "#fault-text")[0]
        server.busy = False
        browser.value("document.getElementById('mend').click() ?? true")
        browser.until("document.getElementById('fault').hidden")
        browser.press(" ")
        browser.until(f"{count('.user b')} >= 1")


def test_a_lost_connection_is_said_and_mended(browser: Any) -> None:
    with serving(ScriptedServer([SAD, HAPPY])) as server:
        browser.open(server.address)
        drop(browser, (EXAMPLES / "sad.wav").read_bytes())
        browser.until(f"{count('.user b')} === 1")
        server.hang_up()
        browser.until("document.getElementById('fault').dataset.kind === 'lost'")
        assert "is lost" in texts(browser, "#fault-text")[0] and texts(browser, "#mend") == ["Connect again"]
        browser.value("document.getElementById('mend').click() ?? true")
        browser.until("document.getElementById('fault').hidden")
        drop(browser, (EXAMPLES / "happy.wav").read_bytes())
        browser.until(f"{count('.user b')} === 2")
        assert texts(browser, ".user .words")[0] == SAD.words, "what was said stays to be read"
        server.hang_up("session_expired")
        browser.until("document.getElementById('fault').dataset.kind === 'over'")


def test_an_api_key_is_asked_for_and_sent(browser: Any) -> None:
    with serving(ScriptedServer([SAD], key="secret")) as server:
        browser.open(server.address)
        browser.press(" ")
        browser.until("document.activeElement.id === 'key'")
        browser.value(
            "document.getElementById('key').value = 'no, key ='; document.activeElement.blur() ?? true"
        )
        browser.value("document.getElementById('mend').click() ?? true")
        browser.until("document.activeElement.id === 'key'")  # it is asked for again
        assert texts(browser, "#fault-text") == ["This server asks for its API key."]
        browser.value("document.getElementById('key').value = ' secret '")
        browser.press("Enter")
        browser.until("document.getElementById('fault').hidden")
        assert len(server.clients) == 1


@pytest.mark.parametrize("secure", [True, False])
def test_what_was_heard_of_a_reply_is_known_when_it_is_hushed(browser: Any, secure: bool) -> None:
    with serving(ScriptedServer([SAD])) as server:
        browser.open(server.address)
        if not secure:
            browser.value("delete BaseAudioContext.prototype.audioWorklet")
        heard = browser.value("""(async () => {
          const { Speaker } = await import("./speaker.js"), told = [];
          const speaker = new Speaker(heard => told.push(heard));
          const until = so => new Promise(done => {
            const look = () => so() ? done() : requestAnimationFrame(look);
            look();
          });
          for (const part of [2400, 2400, 240000]) speaker.play("one", new Int16Array(part));
          await until(() => speaker.heard.samples > 6000);  // in the third
          const playing = speaker.playing, one = speaker.hush(), quiet = !speaker.playing;
          speaker.play("one", new Int16Array(2400));  // there is no more of it
          speaker.play("two", new Int16Array(2400));
          await until(() => speaker.heard.reply === "two" && !speaker.playing);
          const whole = speaker.heard.samples;
          const ordered = told.every((heard, n) => !n || heard.reply !== told[n - 1].reply
                                                     || heard.samples >= told[n - 1].samples);
          return { playing, one, quiet, whole, ordered };
        })()""")
    assert heard["playing"] and heard["quiet"] and heard["ordered"] and heard["whole"] == 2400
    assert heard["one"]["reply"] == "one" and 250 <= heard["one"]["ms"] < 10_200


def test_what_is_said_beside_the_users_turns_has_cards_of_its_own(browser: Any) -> None:
    with serving(ScriptedServer([SAD])) as server:
        browser.open(server.address)
        turns = browser.value("""(async () => {
          const { Conversation } = await import("./conversation.js"), all = new Conversation(() => {});
          const take = (type, fields) => all.take({ type, ...fields });
          const speak = (item_id, from) => {
            all.sending(new Int16Array(24000));
            take("input_audio_buffer.speech_started", { item_id, audio_start_ms: from });
          };
          const stop = (item_id, audio_end_ms) =>
            take("input_audio_buffer.speech_stopped", { item_id, audio_end_ms });
          const reply = id => take("response.created", { response: { id } });
          speak("a", 0); stop("a", 1000); reply("answer to a");
          speak("b", 1000); reply("a guard's"); reply("a guard's second"); stop("b", 2000);
          reply("answer to b"); reply("a guard's third");
          return all.turns.map(({ item, reply, said }) => [item ?? null, reply.id, said?.length ?? null]);
        })()""")
    assert turns == [
        ["a", "answer to a", 24_000],
        ["b", "answer to b", 24_000],
        [None, "a guard's", None],
        [None, "a guard's second", None],
        [None, "a guard's third", None],
    ]
