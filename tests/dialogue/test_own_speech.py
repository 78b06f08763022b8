"""The model's own voice while the text is still coming: what it says, when, and what has been said."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.dialogue import utterance
from harken.dialogue.events import AudioChunk
from harken.dialogue.own_speech import OwnSpeech
from harken.dialogue.unit_sampling import UnitSampler, UnitSampling
from harken.testing import FakeUnitDecoder, spelled_words, tiny_core, tiny_own_voice
from harken.voices.symbols import SYMBOL_IDS

TEXT = "the dog ran off and nobody saw it go, so they all went out to look for it."
CORE = tiny_core()
VOICE = tiny_own_voice(CORE)
LEVELS = VOICE.speak.sizes.levels


def embed(ids: list[int]) -> torch.Tensor:
    return CORE.embed(torch.tensor(ids))


def speech(seed: int = 0, affect: torch.Tensor | None = None) -> OwnSpeech:
    return OwnSpeech(
        VOICE, spelled_words, SYMBOL_IDS, UnitSampler(UnitSampling(seed, draw=True), LEVELS), embed, affect
    )


def said(speaking: OwnSpeech, text: str = TEXT, cuts: tuple[int, ...] = (5,)) -> Iterator[AudioChunk]:
    """The text comes in pieces; each is a token that Think makes something of."""
    at, turn = 0, 0
    while at < len(text):
        at = min(at + cuts[turn % len(cuts)], len(text))
        turn += 1
        yield from speaking.speak(text[:at])
        speaking.read(turn % 100, torch.full((CORE.width,), float(turn)), at)
    yield from speaking.speak(text, final=True)


def test_sound_comes_while_the_text_is_still_coming_and_says_all_of_it() -> None:
    speaking = speech()
    first = next(said(speaking))
    assert first.text_end < len(TEXT) and not speaking._text.finished
    speaking = speech()
    chunks = list(said(speaking))
    assert chunks == speaking.chunks and len(chunks) > 1
    assert chunks[-1].text_end == len(TEXT)
    ends = [chunk.text_end for chunk in chunks]
    assert ends == sorted(ends) and set(ends) <= {0, *(word.end for word in spelled_words(TEXT))}
    assert [c.start_ms for c in chunks[1:]] == [c.end_ms for c in chunks[:-1]]
    samples = sum(len(chunk.samples) for chunk in chunks)
    assert samples == len(speaking._utterance.units) * FakeUnitDecoder.unit_samples


def test_the_same_seed_says_the_same_and_another_something_else() -> None:
    def sound(seed: int) -> np.ndarray:
        return np.concatenate([chunk.samples for chunk in said(speech(seed))])

    one, same, other = sound(0), sound(0), sound(1)
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_greedy_needs_no_seed() -> None:
    speaking = [
        OwnSpeech(
            VOICE,
            spelled_words,
            SYMBOL_IDS,
            UnitSampler(UnitSampling(seed, temperature=0), LEVELS),
            embed,
            None,
        )
        for seed in (0, 1)
    ]
    one, other = (np.concatenate([c.samples for c in said(each)]) for each in speaking)
    assert np.array_equal(one, other)


def test_what_was_heard_decides_the_style() -> None:
    heard = [torch.tensor([3.0, -1, 0, 0]), torch.tensor([-3.0, 1, 0, 2])]
    one, other = (list(said(speech(0, affect))) for affect in heard)
    sounds = [np.concatenate([chunk.samples for chunk in chunks]) for chunks in (one, other)]
    assert not np.array_equal(*sounds)
    assert torch.allclose(VOICE.styles(None), torch.tensor([[0.0, 0.0, 0.0, 1.0]]))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple))
def test_however_the_text_comes_all_of_it_is_said(cuts: tuple[int, ...]) -> None:
    speaking = speech()
    chunks = list(said(speaking, cuts=cuts))
    assert chunks[-1].text_end == len(TEXT) and speaking._utterance.pointer <= 4 * len(speaking._text)
    assert all(np.isfinite(chunk.samples).all() for chunk in chunks)


@pytest.mark.parametrize("text", ["", "   "])
def test_nothing_to_say_makes_no_sound(text: str) -> None:
    assert list(said(speech(), text)) == []


def test_speech_that_will_not_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UnitSampler, "move", lambda self, logits: 0)
    monkeypatch.setattr(UnitSampler, "choose", lambda self, logits, may_end: torch.tensor([3]))
    speaking = speech()
    chunks = list(said(speaking))
    assert speaking.cut and chunks[-1].text_end < len(TEXT)
    assert chunks[-1].end_ms < 60_000


def test_left_between_two_steps_it_has_said_what_was_played() -> None:
    speaking = speech()
    playing = said(speaking)
    heard = [next(playing)]
    playing.close()
    assert speaking.chunks == heard


def test_a_reply_of_two_thousand_tokens_is_cut_in_good_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utterance, "LONGEST_UNITS", 200)
    speaking, text = speech(), "the dog ran off " * 500
    chunks = list(said(speaking, text, cuts=(4,)))
    assert speaking.cut and 0 < chunks[-1].text_end < len(text)
    assert len(speaking._utterance.units) <= 200 + VOICE.speak.sizes.units_per_step
