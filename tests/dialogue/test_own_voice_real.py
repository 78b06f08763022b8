"""mini as it ships, answering a recording in its own voice: understood, in time, the same each time, and cut
short where it is told to.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import soxr

import harken
from harken.api import Harken
from harken.bench.recording import EXAMPLES
from harken.dialogue.events import AudioChunk, Done, Event, TextDelta
from harken.errors import InputError, RecipeError
from harken.evaluation.moonshine import Moonshine
from harken.evaluation.speaking import Replies, spoken
from harken.evaluation.words import word_error_rate
from harken.model.own_voice import OwnVoice
from harken.recipes import mini
from harken.unit_checkpoint import SPEAK, load_own_voice

pytestmark = pytest.mark.weights
QUESTION = EXAMPLES / "sad.wav"


@pytest.fixture(scope="module")
def model() -> Harken:
    return harken.load("mini")


@pytest.fixture(scope="module")
def events(model: Harken) -> list[Event]:
    return list(model.reply(QUESTION, think="off"))


def sounds(events: Iterator[Event] | list[Event]) -> list[AudioChunk]:
    return [event for event in events if isinstance(event, AudioChunk)]


def test_it_speaks_for_itself_while_it_writes(model: Harken, events: list[Event]) -> None:
    assert isinstance(model.voice(), OwnVoice)
    kinds = [type(event) for event in events]
    assert kinds.index(AudioChunk) < len(kinds) - 1 - kinds[::-1].index(TextDelta)
    chunks = sounds(events)
    assert chunks[-1].text_end == len(events[-1].reply) and isinstance(events[-1], Done)
    assert all(one.end_ms == two.start_ms and one.text_end <= two.text_end for one, two in pairwise(chunks))
    wave = np.concatenate([chunk.samples for chunk in chunks])
    assert np.isfinite(wave).all() and 0.05 < np.abs(wave).max() < 1.0


def test_the_same_question_is_answered_the_same(model: Harken, events: list[Event]) -> None:
    again = sounds(model.reply(QUESTION, think="off"))
    assert len(again) == len(sounds(events))
    assert all(np.array_equal(a.samples, b.samples) for a, b in zip(again, sounds(events), strict=True))


def test_most_words_are_understood_and_replies_end_by_themselves(model: Harken) -> None:
    texts = ("I am sorry to hear that.", "What happened then?", "That must be hard for you.")
    heard = model.model.hear(harken.api.read_audio(QUESTION).samples)
    voice = model.voice()
    assert isinstance(voice, OwnVoice)
    said = spoken(voice, [Replies(model.model).given(heard, text) for text in texts])
    assert all(sound.ended and 0.8 < sound.seconds < 4 for sound in said)
    read = [Moonshine()(soxr.resample(sound.samples, sound.sample_rate, 16_000)) for sound in said]
    assert word_error_rate(texts, read) <= 0.5


def test_an_interrupted_reply_is_remembered_as_far_as_it_was_heard(model: Harken) -> None:
    session = model.conversation()
    events = session.reply(QUESTION)
    first = next(event for event in events if isinstance(event, AudioChunk))
    events.close()  # type: ignore[attr-defined]
    remembered = session.turns[-1].text if len(session.turns) > 1 else ""
    assert len(remembered) == first.text_end


def test_what_does_not_fit_is_refused(model: Harken, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(InputError, match="no voice 'nobody'"):
        model.voice("nobody")
    other = model.voice("am_michael")
    assert isinstance(other, OwnVoice) and other.speaker == "am_michael"
    from harken.checkpoint import shipped
    from harken.tensors import read_bytes, save_bytes

    folder = tmp_path_factory.mktemp("other")
    for part in shipped("mini").iterdir():
        (folder / part.name).write_bytes(part.read_bytes())
    tensors, _ = read_bytes(folder / SPEAK)
    save_bytes(folder / SPEAK, tensors, {"codec_sha256": "0" * 64})
    with pytest.raises(RecipeError, match="says units of another codec: 00000000"):
        load_own_voice(mini(), folder, model.model.core)
