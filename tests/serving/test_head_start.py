"""Where speech is made slowly a reply begins later, so that it has no pauses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def chunk(start_s: float, end_s: float) -> AudioChunk:
    return AudioChunk(np.zeros(0, np.float32), 24_000, 1000 * start_s, 1000 * end_s, 0)


def test_the_first_sound_and_short_replies_tell_nothing() -> None:
    ahead = HeadStart(4.0)
    for pieces, pace in (([(5.0, 10.0), (5.5, 11.0)], None), ([(5.0, 10.0), (5.5, 11.0), (7.0, 12.0)], 1.0)):
        start, begin_s = Start(ahead, lambda _: None), 0.0
        for end_s, now_s in pieces:
            start.made(chunk(begin_s, end_s), now_s)
            begin_s = end_s
        start.over()
        start.over()
        assert ahead.pace == pace


@given(st.floats(0.0, 1.2), st.integers(0, 30))
def test_who_begins_so_late_hears_no_pause_at_an_even_pace(pace: float, more: int) -> None:
    """Half a second and then pieces of 0.37 s, up to twelve: each is there when it is to be heard."""
    ahead = HeadStart(4.0)
    ahead.learn(pace)
    made_s, length, begun_s = 0.0, 0.0, None
    for chunk in (0.5, *[0.37] * more):
        made_s += pace * chunk
        assert begun_s is None or made_s <= begun_s + length + 1e-9
        length += chunk
        if begun_s is None and length >= ahead.seconds:
            begun_s = made_s


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


def test_of_a_reply_that_is_left_before_nothing_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = told(3.9, 2, monkeypatch, "cancelled")
    assert [kinds.count(SOUND) for kinds in sent] == [0, 0, 0]
    assert "response.done" in sent[-1]
