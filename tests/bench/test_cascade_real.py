"""The parts of the cascades on their real weights: what they hear, write and say."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import soxr

from harken.audio.io import read
from harken.bench import cascade
from harken.bench.apart import Apart
from harken.bench.piper import WEIGHTS, PiperVoice
from harken.bench.recording import EXAMPLES
from harken.dialogue.events import AudioChunk, Done, TextDelta
from harken.evaluation.moonshine import Moonshine
from harken.evaluation.words import word_error_rate
from harken.recipes import mini
from harken.weights.store import ensure

pytestmark = pytest.mark.weights
TEXT = "The old dog ran home through the rain, and nobody saw it."


def test_piper_is_understood() -> None:
    voice = PiperVoice(ensure(WEIGHTS))
    (sound,) = voice.speak(TEXT)
    assert voice.sample_rate == 22_050 and sound.dtype == np.float32 and np.abs(sound).max() <= 1
    heard = Moonshine()(soxr.resample(sound, voice.sample_rate, 16_000))
    assert word_error_rate([TEXT], [heard]) <= 0.2
    assert list(voice.speak("...")) == []


def test_the_fastest_cascade_answers_a_recording() -> None:
    answer = cascade.fastest(mini())
    events = list(answer(read(EXAMPLES / "sad.wav").samples))
    written = "".join(event.text for event in events if isinstance(event, TextDelta))
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    assert isinstance(events[-1], Done) and events[-1].reply == written and len(written.split()) > 3
    assert chunks and chunks[-1].text_end == len(written.rstrip())
    spoken = [i for i, event in enumerate(events) if isinstance(event, AudioChunk)]
    deltas = [i for i, event in enumerate(events) if isinstance(event, TextDelta)]
    assert spoken[0] < deltas[-1]  # sound begins before all is written


def test_in_a_process_of_its_own_it_answers_too() -> None:
    system = Apart(partial(cascade.fastest, mini()))
    try:
        first, second = (system(read(EXAMPLES / f"{name}.wav").samples) for name in ("sad", "happy"))
    finally:
        system.close()
    assert first.text and second.text and first.text != second.text
    assert first.audible_s is not None and 0 < first.first_text_s < first.audible_s <= first.total_s  # type: ignore[operator]


def test_faster_whisper_hears_what_was_said() -> None:
    pytest.importorskip("faster_whisper", reason="the extra bench is not installed")
    heard = cascade._faster_whisper()(read(EXAMPLES / "sad.wav").samples)
    assert (
        word_error_rate(["I finally got the job I wanted, but my dad isn't here to see it."], [heard]) <= 0.2
    )
