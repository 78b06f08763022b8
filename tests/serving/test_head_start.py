"""Where speech is made slowly a reply begins later, so that it has no pauses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import HeldLM, Served, a_host, heard, hum, run, script, served, silence

from harken.dialogue.events import AudioChunk, TextDelta
from harken.serving import response
from harken.serving.head_start import HeadStart, Start
from harken.serving.response import Response, Status
from harken.serving.settings import Settings


@pytest.mark.parametrize(
    ("pace", "seconds"), [(None, 0.0), (0.3, 0.0), (0.5, 0.0), (0.9, 1.2), (1.5, 3.0), (3.0, 4.0)]
)
def test_the_slower_speech_is_made_the_more_of_it_comes_first(pace: float | None, seconds: float) -> None:
    ahead = HeadStart(4.0)
    ahead.learn(pace)
    assert ahead.seconds == pytest.approx(seconds)


def test_it_is_learned_from_reply_to_reply() -> None:
    ahead = HeadStart(4.0)
    for pace in (0.6, None, 1.0):
        ahead.learn(pace)
    assert ahead.pace == pytest.approx(0.8)
    ahead.learn(60.0)  # somebody stopped the machine for a minute
    assert ahead.seconds < 4.0


def chunk(start_s: float, end_s: float) -> AudioChunk:
    return AudioChunk(np.zeros(0, np.float32), 24_000, 1000 * start_s, 1000 * end_s, 0)


def test_the_first_sound_and_short_replies_tell_nothing_and_the_next_reply_begins_anew() -> None:
    start = Start(HeadStart(4.0), lambda _: None)
    assert start.over() is None
    for pieces, pace in (
        ([(5.0, 10.0), (5.5, 11.0)], None),
        ([(5.0, 20.0), (5.5, 21.0), (7.0, 23.0)], 1.5),
        ([(5.0, 90.0), (7.0, 91.0)], 0.5),
    ):
        begin_s = 0.0
        for end_s, now_s in pieces:
            start.made(chunk(begin_s, end_s), now_s)
            begin_s = end_s
        assert start.over() == pace


@given(st.floats(0.0, 1.2), st.integers(0, 30))
def test_who_begins_so_late_hears_no_pause_at_an_even_pace(pace: float, more: int) -> None:
    """Half a second and then pieces of 0.37 s, up to twelve seconds: each is there when it is to be heard."""
    ahead, now_s, ends_s, count = HeadStart(4.0), 0.0, 0.0, 0
    ahead.learn(pace)

    def hear(piece: AudioChunk) -> None:
        nonlocal ends_s, count
        assert not count or now_s <= ends_s + 1e-9
        ends_s = max(ends_s, now_s) + (piece.end_ms - piece.start_ms) / 1000
        count += 1

    start, begin_s = Start(ahead, hear), 0.0
    for length_s in (0.5, *[0.37] * more):
        now_s += pace * length_s
        start.made(chunk(begin_s, begin_s + length_s), now_s)
        begin_s += length_s
    start.over()
    assert count == 1 + more


SETTINGS = Settings("harken-mini", "Be kind.", ("anna",), "anna", spoken=True, reflects=False)


def told(seconds: float, chunks: int, monkeypatch: pytest.MonkeyPatch, end: Status) -> list[list[str]]:
    """What is sent for each half second of sound that is made in half a second, and at the end."""
    now_s = 0.0
    monkeypatch.setattr(response, "monotonic", lambda: now_s)
    events: list[dict[str, Any]] = []
    ahead = HeadStart(4.0)
    ahead.learn(0.5 + seconds / 3)
    reply = Response(SETTINGS, events.append, lambda item: None, 0.0, ahead)
    reply.take(TextDelta("Yes."))
    sent = []
    for number in range(chunks):
        events.clear()
        now_s += 0.5
        sound = np.full(12_000, 0.1, np.float32)
        reply.take(AudioChunk(sound, 24_000, 500.0 * number, 500.0 * number + 500.0, 4))
        sent.append([event["type"] for event in events])
    events.clear()
    reply.end(end)
    sent.append([event["type"] for event in events])
    assert reply.item.duration_ms == 500 * sum(kinds.count(SOUND) for kinds in sent)
    return sent


SOUND = "response.output_audio.delta"


def test_sound_is_held_back_until_there_is_enough_and_then_sent_as_it_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = told(1.2, 5, monkeypatch, "completed")
    assert [kinds.count(SOUND) for kinds in sent] == [0, 0, 3, 1, 1, 0]


def test_a_reply_that_ends_before_is_sent_then(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = told(3.9, 2, monkeypatch, "completed")
    assert [kinds.count(SOUND) for kinds in sent] == [0, 0, 2]
    assert sent[-1].index(SOUND) < sent[-1].index("response.output_audio.done")


def test_a_reply_that_fails_before_is_heard_as_far_as_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [kinds.count(SOUND) for kinds in told(3.9, 2, monkeypatch, "failed")] == [0, 0, 2]


def test_of_a_reply_that_is_left_before_nothing_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = told(3.9, 2, monkeypatch, "cancelled")
    assert [kinds.count(SOUND) for kinds in sent] == [0, 0, 0]
    assert "response.done" in sent[-1]


def test_who_breaks_in_while_sound_is_held_back_has_heard_nothing_and_is_answered_then() -> None:
    """FakeVoice says the first of two sentences, which is held back; the model waits in the second."""
    model = HeldLM(script, heard)

    async def talk(running: Served) -> None:
        running.host.head_start.learn(2.0)
        before = running.host.head_start.pace
        async with running.client() as client:
            await client.set({"turn_detection": {"type": "server_vad"}}, harken={"think": "off"})
            model.hold(12)
            for audio in (hum(1.0), silence(0.8)):
                await client.connection.input_audio_buffer.append(audio=audio)
            await client.until("response.output_audio_transcript.delta")
            assert model.waits.wait(60)
            await client.connection.input_audio_buffer.append(audio=hum(0.3))
            cancelled = (await client.until("response.done"))["response"]
            assert cancelled["status"] == "cancelled" and not client.of(SOUND)
            await client.connection.conversation.item.retrieve(item_id=cancelled["output"][0]["id"])
            found = (await client.until("conversation.item.retrieved"))["item"]
            assert found["content"][0]["transcript"] == ""
            assert running.host.head_start.pace == before
            model.let_go()
            await client.connection.input_audio_buffer.append(audio=silence(0.8))
            done = (await client.until("response.done"))["response"]
            assert done["status"] == "completed" and client.of(SOUND)

    with served(a_host(model=model)) as running:
        run(lambda: talk(running))
