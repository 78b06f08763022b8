"""Several replies said together: each what it would be alone, streamed or not."""

from __future__ import annotations

import numpy as np
import torch

from harken.dialogue.unit_sampling import UnitSampler, UnitSampling
from harken.dialogue.utterance import Utterance, say_all
from harken.model.spoken_text import SpokenText
from harken.testing import FakeUnitDecoder, spelled_words, tiny_core, tiny_own_voice
from harken.voices.symbols import SYMBOL_IDS

CORE = tiny_core()
VOICE = tiny_own_voice(CORE)
LEVELS = VOICE.speak.sizes.levels
TEXTS = ("the dog ran off.", "", "nobody saw it go, and so it is gone.", "well")


def utterance(text: str, stream: int, temperature: float = 0.7) -> Utterance:
    spoken = SpokenText(spelled_words, SYMBOL_IDS)
    spoken.write(text, [len(text)], final=True)
    said = Utterance(
        VOICE.speak,
        spoken,
        UnitSampler(UnitSampling(1, draw=True, temperature=temperature), LEVELS, stream),
    )
    said.read(CORE.embed(torch.tensor([7])), torch.full((1, CORE.width), 0.5))
    return said


def manners(n: int) -> torch.Tensor:
    return torch.eye(VOICE.speak.sizes.manners)[torch.arange(n) % 4]


def test_together_is_what_each_is_alone() -> None:
    together = [utterance(text, n) for n, text in enumerate(TEXTS)]
    waves = say_all(VOICE, together, manners(len(TEXTS)))
    for n, text in enumerate(TEXTS):
        alone = utterance(text, n)
        (wave,) = say_all(VOICE, [alone], manners(len(TEXTS))[n : n + 1])
        assert alone.units == together[n].units and alone.pointers == together[n].pointers
        assert torch.equal(wave, waves[n])
        assert len(wave) == len(alone.units) * FakeUnitDecoder.unit_samples


def test_nothing_to_say_is_no_sound_and_holds_up_nobody() -> None:
    silent, speaking = utterance("", 0), utterance("well", 1)
    none, some = say_all(VOICE, [silent, speaking], manners(2))
    assert not len(none) and len(some) and not silent.cut


def test_greedy_needs_no_seed_and_the_seed_decides_otherwise() -> None:
    def units(stream: int, temperature: float) -> list[int]:
        said = utterance(TEXTS[2], stream, temperature)
        say_all(VOICE, [said], manners(1))
        return said.units

    assert units(0, 0.0) == units(1, 0.0)
    assert units(0, 0.7) == units(0, 0.7) != units(1, 0.7)


def test_the_pointer_never_goes_back_nor_beyond_the_text() -> None:
    said = utterance(TEXTS[2], 3)
    say_all(VOICE, [said], manners(1))
    assert (np.diff([0, *said.pointers]) >= 0).all() and said.pointer <= 4 * len(said.text)
