"""Spoken replies: what is written for them, what is said, and how both are judged, on a tiny model."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from harken.dialogue.conversation import Conversation
from harken.dialogue.events import Done
from harken.dialogue.reply import ReplySettings, reply
from harken.errors import DataError
from harken.evaluation import speaking, speech, style
from harken.evaluation.dnsmos import Opinion
from harken.evaluation.speaking import Replies, Sound, spoken
from harken.testing import FakeVoice, heard_turn, spelled_words, tiny_model, tiny_own_voice

MODEL = tiny_model()
VOICE = tiny_own_voice(MODEL.core)


@pytest.fixture(autouse=True)
def no_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "words", spelled_words)


def value(rows: Any, system: str, measure: str, data: str | None = None) -> float:
    (found,) = [
        row["value"]
        for row in rows
        if (row["system"], row["measure"]) == (system, measure) and data in (None, row["data"])
    ]
    return found[0] if isinstance(found, list) else found


def test_what_is_written_is_what_a_reply_would_be() -> None:
    heard = heard_turn()
    written = Replies(MODEL).written(heard)
    settings = ReplySettings(think="off", least_confidence=0.0)
    (done,) = [e for e in reply(Conversation(MODEL), heard, settings) if isinstance(e, Done)]
    assert written.text == done.reply
    tokens = len(written.token_ends)
    assert written.embedded.shape == written.shared.shape == (tokens, MODEL.core.width)
    assert written.token_ends == sorted(written.token_ends) and written.token_ends[-1] <= len(written.text)


def test_a_given_text_is_read_after_what_was_heard() -> None:
    replies, text = Replies(MODEL), "the dog ran off."
    sad, happy = (
        replies.given(
            dataclasses.replace(heard_turn(), embeddings=torch.full((3, MODEL.core.width), v)), text
        )
        for v in (0.1, -0.1)
    )
    assert sad.token_ends[-1] == len(text) and torch.equal(sad.embedded, happy.embedded)
    assert not torch.allclose(sad.shared, happy.shared)


def test_replies_are_spoken_in_batches_as_they_would_be_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [Replies(MODEL).given(heard_turn(), text) for text in ("the dog", "ran off", "and on")]
    together = spoken(VOICE, replies)
    monkeypatch.setattr(speaking, "BATCH", 2)
    for one, other in zip(spoken(VOICE, replies), together, strict=True):
        assert np.array_equal(one.samples, other.samples) and one.ended == other.ended


def test_words_ends_length_and_level_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    read_back = iter(["i hear you", "i hear"])
    monkeypatch.setattr(speech, "Moonshine", lambda: lambda wave: next(read_back))
    monkeypatch.setattr(speech, "dnsmos", lambda wave: Opinion(3.0, 3.0, 2.5))
    replies: list[Any] = [SimpleNamespace(text="I hear you."), SimpleNamespace(text="I hear you.")]

    def sound(seconds: float, level: float = 0.1, ended: bool = True) -> Sound:
        return Sound(np.full(int(1000 * seconds), level, np.float32), 1000, ended)

    rows = speech.understood("own", replies, [sound(1), sound(1)], seed=0)
    assert value(rows, "own", "word error rate (Moonshine)") == pytest.approx(1 / 6)
    assert value(rows, "own", "DNSMOS overall") == pytest.approx(2.5)
    own = [sound(1), sound(3), sound(1, ended=False), sound(1, level=1.0), sound(0)]
    rows = speech.behaved("own", own, [sound(1)] * 5, seed=0)
    assert value(rows, "own", "end by themselves, in 0.5 to 2 times the external voice's time") == 2 / 5
    assert value(rows, "own", "reach full scale") == 1 / 5
    assert value(rows, "own", "length, in times of the external voice's") == pytest.approx(6 / 5)


def test_the_whole_benchmark_says_each_reply_in_both_voices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "Moonshine", lambda: lambda wave: "the dog ran off")
    monkeypatch.setattr(speech, "dnsmos", lambda wave: Opinion(3.0, 3.0, 2.5))
    monkeypatch.setattr(Replies, "written", lambda self, heard: self.given(heard, "the dog ran off."))
    external = FakeVoice()
    clips: list[Any] = [SimpleNamespace(samples=lambda: np.zeros(16_000, np.float32))] * 3
    report = speech.evaluate_speech(MODEL, VOICE, external, clips)
    assert [text for text, _ in external.spoken] == ["the dog ran off."] * 3
    assert value(report.rows, "fake", "word error rate (Moonshine)") == 0.0
    assert {row["n"] for row in report.rows} == {3}


def clip(name: str, emotion: str, source: str = "ravdess") -> Any:
    return SimpleNamespace(emotion=emotion, clip=SimpleNamespace(id=f"{source}/{name}.ogg", source=source))


def test_pairs_differ_in_the_emotion_alone() -> None:
    sad, happy, strong, other = (
        clip("03-01-04-01-01-01-19", "sad"),
        clip("03-01-03-01-01-01-19", "happy"),
        clip("03-01-03-02-01-01-19", "happy"),
        clip("03-01-04-01-01-01-20", "sad"),
    )
    assert style.sad_and_happy([sad, happy, strong, other]) == [(sad, happy)]
    with pytest.raises(DataError, match="RAVDESS"):
        style.sad_and_happy([sad, other, clip("03-01-03-01-01-01-20", "happy", source="nemo")])


def test_affect_is_exchanged_and_words_are_not() -> None:
    one, other = heard_turn("i lost it"), heard_turn("we won again")
    other = dataclasses.replace(other, affect=torch.ones(4))
    mixed = style.with_affect_of(one, other, MODEL)
    assert torch.equal(mixed.affect, other.affect)
    assert torch.equal(mixed.embeddings[:1], other.embeddings[:1])
    assert torch.equal(mixed.embeddings[1:], one.embeddings[1:])


def test_slower_and_lower_is_told() -> None:
    pytest.importorskip("swift_f0", reason="the extra units is not installed")

    def buzz(pitch_hz: float, seconds: float) -> Sound:
        at = np.arange(int(16_000 * seconds)) / 16_000
        wave = sum(np.sin(2 * np.pi * pitch_hz * h * at) / h for h in range(1, 12))
        return Sound((0.3 * wave / np.abs(wave).max()).astype(np.float32), 16_000, ended=True)

    sounds = [buzz(150, 2.0), buzz(300, 1.0), buzz(155, 1.9), buzz(290, 1.0)]  # sad, happy, sad, happy
    rows = style.differences("heard", sounds, seed=0)
    assert value(rows, "heard", "sad is longer, log ratio") == pytest.approx(np.log([2.0, 1.9]).mean())
    assert value(rows, "heard", "sad is higher, semitones") == pytest.approx(-11.4, abs=0.3)
    longer, higher = [row["value"] for row in rows if "effect size" in str(row["measure"])]
    assert longer[0] > 5 and higher[0] < -5
