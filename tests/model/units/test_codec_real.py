"""The codec that ships: speech stays speech through units, and chunked it is what it is as a whole."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
import torch

from harken.audio.io import read
from harken.bench.recording import EXAMPLES
from harken.checkpoint import shipped
from harken.evaluation.codec import pitch_correlation
from harken.evaluation.moonshine import Moonshine
from harken.evaluation.words import word_error_rate
from harken.model.units.decoder import HarkenUnitDecoder
from harken.model.units.encoder import HarkenUnitEncoder
from harken.recipes import mini
from harken.unit_checkpoint import load_unit_decoder, load_unit_encoder

pytestmark = pytest.mark.weights
TEXT = "I finally got the job I wanted, but my dad isn't here to see it."


@pytest.fixture(scope="module")
def decoder() -> HarkenUnitDecoder:
    return load_unit_decoder(mini(), shipped("mini"))


@pytest.fixture(scope="module")
def encoder() -> HarkenUnitEncoder:
    pytest.importorskip("swift_f0", reason="the extra units is not installed")
    return load_unit_encoder(mini(), shipped("mini"))


def test_words_and_melody_survive(encoder: HarkenUnitEncoder, decoder: HarkenUnitDecoder) -> None:
    samples = read(EXAMPLES / "sad.wav").samples
    units = torch.from_numpy(encoder.encode(samples, 16_000, "af_bella")[:, 0])
    assert len(units) == pytest.approx(samples.size / 16_000 * 21.53, abs=1.5)
    (wave,) = decoder.decode([units], ["af_bella"])
    again = soxr.resample(wave.numpy(), decoder.sample_rate, 16_000)
    assert word_error_rate([TEXT], [Moonshine()(again)]) <= 0.2
    correlation = pitch_correlation(samples, again)
    assert correlation is not None and correlation > 0.7
    assert 0.05 < np.abs(again).max() < 1.0


def test_piece_by_piece_it_sounds_as_whole(decoder: HarkenUnitDecoder) -> None:
    units = torch.randint(0, 4375, (60,), generator=torch.Generator().manual_seed(0))
    (whole,) = decoder.decode([units], ["af_heart"])
    state, pieces = decoder.init_state(["af_heart"]), []
    *before, last = units.split(14)
    for part in before:
        (wave,), state = decoder.step(state, part[None], torch.tensor([len(part)]))
        pieces.append(wave)
    pieces += decoder.flush(state, last[None], torch.tensor([len(last)]))
    together = torch.cat(pieces)
    assert together.shape == whole.shape
    assert (together - whole).abs().max() <= 1e-4 * whole.abs().max()
