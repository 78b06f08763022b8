"""Styles by ear: a probe on planted sounds, and agreement on planted replies, counted by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from numpy.typing import NDArray

from harken import evaluation
from harken.audio.io import read
from harken.bench.recording import EXAMPLES
from harken.checkpoint import shipped
from harken.errors import DataError
from harken.evaluation import manner, speaking
from harken.evaluation.manner import Probe, agreement, evaluate_manner, sounds, trusted
from harken.evaluation.speaking import Replies, Sound, spoken
from harken.model.own_voice import STYLES
from harken.recipes import mini
from harken.testing import heard_turn, spelled_words, tiny_model, tiny_own_voice
from harken.unit_checkpoint import load_unit_decoder, load_unit_encoder

SOUNDS = {"bright": (0.8, 300.0), "warm": (0.8, 150.0), "calm": (0.1, 300.0), "gentle": (0.1, 150.0)}
"""Level and pitch in Hz."""


def buzz(level: float, pitch_hz: float = 200.0, seconds: float = 0.6) -> NDArray[np.float32]:
    at = np.arange(int(16_000 * seconds)) / 16_000
    wave = sum(np.sin(2 * np.pi * pitch_hz * h * at) / h for h in range(1, 12))
    return (level * wave / np.abs(wave).max()).astype(np.float32)


def rendered(style: str, split: str = "train", number: int = 0) -> Any:
    level, pitch_hz = SOUNDS[style]
    wave = buzz(level, pitch_hz + 5 * number)
    return SimpleNamespace(style=style, split=split, samples=lambda: wave)


def hear(clip: Any) -> NDArray[np.float32]:
    return clip.samples()  # type: ignore[no-any-return]


def test_loudness_and_pitch_are_read_where_somebody_speaks() -> None:
    pytest.importorskip("swift_f0", reason="the extra units is not installed")
    soft, loud, high = sounds(buzz(0.1)), sounds(buzz(0.2)), sounds(buzz(0.1, 300.0))
    assert loud[0] - soft[0] == pytest.approx(6.0, abs=0.2)
    assert high[3] - soft[3] == pytest.approx(np.log(1.5), abs=0.05)
    padded = np.concatenate([np.zeros(8000, np.float32), buzz(0.1), np.zeros(8000, np.float32)])
    np.testing.assert_allclose(sounds(padded)[:6], soft[:6], atol=0.3)
    assert (
        not sounds(np.zeros(8000, np.float32)).any() and sounds(np.zeros(0, np.float32)).shape == soft.shape
    )


def test_the_probe_learns_styles_from_replies() -> None:
    pytest.importorskip("swift_f0", reason="the extra units is not installed")
    pytest.importorskip("sklearn", reason="the extra eval is not installed")
    probe = Probe([rendered(style, number=n) for style in STYLES for n in range(4)], hear)
    assert probe([buzz(*SOUNDS[style]) for style in STYLES]) == list(STYLES)
    assert probe.learned == 16
    with pytest.raises(DataError, match="no rendered reply of split train is calm or warm"):
        Probe([rendered("bright"), rendered("gentle")], hear)


@pytest.mark.weights
def test_a_reply_that_the_codec_says_again_keeps_its_melody() -> None:
    pytest.importorskip("swift_f0", reason="the extra units is not installed")
    folder, wave = shipped("mini"), read(EXAMPLES / "sad.wav").samples
    clip: Any = SimpleNamespace(
        id="1", split="dev", before=None, text="", voice="a stranger", style="warm", words=(),
        samples=lambda rate=16_000: soxr.resample(wave, 16_000, rate),
    )  # fmt: skip
    encoder, decoder = load_unit_encoder(mini(), folder), load_unit_decoder(mini(), folder)
    again = manner.said_again(encoder, decoder, "af_heart", clip)
    assert 0.6 * wave.size < again.size < 1.1 * wave.size, "silence at either end goes"
    said, before = sounds(again), sounds(wave)
    assert abs(said[5] - before[5]) < 0.1, "how much the pitch moves"


def value(rows: Any, data: str, system: str, measure: str) -> float:
    (found,) = [r["value"] for r in rows if (r["data"], r["system"], r["measure"]) == (data, system, measure)]
    return found[0]  # type: ignore[no-any-return]


def test_agreement_is_counted_between_what_was_meant_heard_and_asked_for() -> None:
    rows = agreement(
        "set",
        "as heard",
        meant=["warm", "calm", "calm", "warm"],
        heard=["warm", "calm", "warm", "calm"],
        asked_for=["warm", "warm", "calm", "calm"],
        seed=0,
    )
    assert value(rows, "set", "as heard", "voice has the style that was meant") == 2 / 4
    assert value(rows, "set", "as heard", "voice has the style that answers the annotated emotion") == 2 / 4
    assert value(rows, "set", "as heard", "style that was meant answers the annotated emotion") == 2 / 4
    rows = trusted("dev", ["warm", "warm", "warm", "calm"], ["warm", "warm", "calm", "calm"], 0)
    assert value(rows, "dev", "probe", "the probe is right") == 3 / 4
    assert value(rows, "dev", "probe", "the same, mean of styles") == pytest.approx((2 / 3 + 1) / 2)


class HearsManners:
    """A probe that knows which manners were spoken, in order; before any was, all is warm."""

    learned = 3

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def __call__(self, waves: list[Any]) -> list[str]:
        heard = self.said[: len(waves)] or ["warm"] * len(waves)
        self.said.clear()
        return heard


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """A model that hears what a turn says it felt, and a voice whose style is the one told, or meant."""
    affects = {"sad": torch.tensor([9.0, -9, -9, -9]), "happy": torch.tensor([-9.0, 9, -9, -9])}
    model = tiny_model(heard=lambda samples: dataclasses.replace(heard_turn(), affect=affects[str(samples)]))
    voice = tiny_own_voice(model.core)
    with torch.no_grad():
        voice.style.styles.weight.copy_(torch.eye(4)[[1, 3, 0, 2]])  # sad: gentle, happy: bright
        voice.style.styles.bias.zero_()
    said: list[str] = []

    def speak(voice: Any, utterances: Any, manners: torch.Tensor) -> list[torch.Tensor]:
        said.extend(STYLES[int(row[: len(STYLES)].argmax())] for row in manners)
        return [torch.zeros(100) for _ in utterances]

    monkeypatch.setattr(speaking, "say_all", speak)
    monkeypatch.setattr(speaking, "words", spelled_words)
    monkeypatch.setattr(Replies, "written", lambda self, heard: self.given(heard, "the dog."))
    monkeypatch.setattr(manner, "Probe", lambda rendered, hear, seed: HearsManners(said))
    return model, voice


def test_a_voice_that_follows_what_is_heard_agrees_until_affect_is_shuffled(planted: Any) -> None:
    model, voice = planted
    felt = ["sad", "happy"] * 8
    turns: list[Any] = [SimpleNamespace(emotion=f, samples=lambda f=f: f) for f in felt]
    report = evaluate_manner(model, voice, hear, [rendered("warm", "dev")], {"people": turns})
    rows = report.rows
    assert value(rows, "rendered dev replies", "probe", "the probe is right") == 1
    assert value(rows, "own voice, people", "probe", "the same, mean of styles") == 1
    for system in ("as heard", "affect vectors shuffled"):
        assert value(rows, "people", system, "voice has the style that was meant") == 1
    measure = "voice has the style that answers the annotated emotion"
    assert value(rows, "people", "as heard", measure) == 1
    assert 0 < value(rows, "people", "affect vectors shuffled", measure) < 1
    assert {row["n"] for row in rows if row["data"] == "people"} == {16}


def test_a_style_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaking, "words", spelled_words)
    model = tiny_model()
    voice = tiny_own_voice(model.core)
    told = voice.in_style("calm")
    assert told.shape == voice.manner(None).shape and STYLES[int(told[0, :4].argmax())] == "calm"
    assert torch.equal(voice.in_style("warm"), voice.manner(None))
    replies = [Replies(model).given(heard_turn(), "the dog ran off and on.")] * 2
    one, other = spoken(voice, replies, [told, voice.in_style("bright")])
    (again,) = spoken(voice, replies[:1], [told])
    assert isinstance(one, Sound) and np.array_equal(one.samples, again.samples)
    assert not np.array_equal(one.samples, other.samples)


def test_replies_and_turns_are_found_in_the_folders(tmp_path: Path) -> None:
    common = {"lang": "en", "group": "g", "source": "s", "text": "Hi.", "seconds": 1.0, "voice": "v"}
    rows = [
        {"id": "a", "split": "train", "role": "reply", "style": "calm"},
        {"id": "b", "split": "dev", "role": "user", "emotion": "sad"},
        {"id": "c", "split": "dev", "role": "user", "emotion": None},
        {"id": "d", "split": "train", "role": "user", "emotion": "sad"},
    ]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(common | row) + "\n" for row in rows))
    styled, turns = evaluation._felt([tmp_path], ("en",), 5, 0)
    assert [clip.id for clip in styled] == ["a"]
    assert {name: [clip.id for clip in clips] for name, clips in turns.items()} == {"dev users": ["b"]}
