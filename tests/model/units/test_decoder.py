"""Pieces of sound and the whole of it: the decoder as a stream."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from harken.audio.vocoder_mel import SILENCE
from harken.dialogue.own_speech import CHUNKS
from harken.errors import InputError
from harken.model.units.decoder import PIECE_UNITS, QUIET_UNITS, HarkenUnitDecoder
from harken.model.units.hifigan import Hifigan, HifiganSizes, load_hifigan, quickest_dtype
from harken.model.units.mel_decoder import FRAMES_PER_UNIT, MelDecoder, MelDecoderSizes
from harken.model.units.stream import Stream

ROOT = Path(__file__).resolve().parents[3]
LEVELS = (3, 5)
VOICES = ("anna", "ben")


@cache
def small_decoder() -> HarkenUnitDecoder:
    """Random weights: a small mel decoder of the real depth, and a small vocoder of the real reach."""
    torch.manual_seed(0)
    sizes = MelDecoderSizes(code=2, mel_bands=8, voices=2, voice=4, width=16, frame_width=12)
    mel = MelDecoder(sizes)
    for parameter in mel.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    vocoder = Hifigan(HifiganSizes(mel_bands=8, width=16))
    return HarkenUnitDecoder(mel, vocoder, LEVELS, VOICES, 22_050, "0" * 64, quiet=7).eval()


def with_vocoder(vocoder: Hifigan) -> HarkenUnitDecoder:
    """The small decoder with another vocoder."""
    return HarkenUnitDecoder(small_decoder().mel, vocoder, LEVELS, VOICES, 22_050, "0" * 64, quiet=7).eval()


@pytest.fixture
def decoder() -> HarkenUnitDecoder:
    return small_decoder()


def units(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 15, (count,), generator=torch.Generator().manual_seed(seed))


def streamed(decoder: HarkenUnitDecoder, rows: list[torch.Tensor], cuts: list[int]) -> list[torch.Tensor]:
    """Rows given in pieces of the lengths in `cuts`, over and over."""
    state, at = decoder.init_state(["anna"] * len(rows)), 0
    sound: list[list[torch.Tensor]] = [[] for _ in rows]
    for turn in range(1000):
        cut = cuts[turn % len(cuts)]
        pieces = [row[at : at + cut] for row in rows]
        at += cut
        lengths = torch.tensor([len(piece) for piece in pieces])
        given = torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True), lengths
        last = at >= max(map(len, rows))
        if last:
            waves = decoder.flush(state, *given)
        else:
            waves, state = decoder.step(state, *given)
        for kept, wave in zip(sound, waves, strict=True):
            kept.append(wave)
        if last:
            break
    return [torch.cat(kept) for kept in sound]


def test_nothing_looks_further_ahead_than_it_says(decoder: HarkenUnitDecoder) -> None:
    """A change in one unit changes frames from `right_units` before it on, and none before."""
    mel, at = decoder.mel, 50
    codes = decoder.quantise.codes(units(100))[None]
    valid = torch.ones(1, 100, dtype=torch.bool)
    voice = torch.tensor([0])
    changed = codes.clone()
    changed[0, at] = -changed[0, at] + 0.5
    before, after = mel(codes, voice, valid)[0], mel(changed, voice, valid)[0]
    frames = (before - after).abs().amax(-1)[0].nonzero()[:, 0]
    assert frames.min() // FRAMES_PER_UNIT == at - mel.sizes.right_units


@torch.no_grad()
def test_frames_of_a_stream_are_those_of_the_whole_as_training_makes_them(decoder: HarkenUnitDecoder) -> None:
    mel, late = decoder.mel, decoder.mel.sizes.right_units
    codes, voice = decoder.quantise.codes(units(31))[None], torch.tensor([1])
    whole, _ = mel(codes, voice, torch.ones(1, 31, dtype=torch.bool))
    padded = F.pad(codes, (0, 0, 0, late))
    valid = torch.arange(31 + late)[None] < 31
    kept, pieces = None, []
    for start, end in ((0, 1), (1, 12), (12, 30), (30, 31 + late)):
        stream = Stream(kept)
        pieces.append(mel(padded[:, start:end], voice, valid[:, start:end], stream)[0])
        kept = stream.kept()
    made = torch.cat(pieces, dim=1)[:, late * FRAMES_PER_UNIT :]
    assert made.shape == whole.shape and (made - whole).abs().max() <= 1e-5


def test_a_row_begins_as_if_after_silence(decoder: HarkenUnitDecoder) -> None:
    """What is heard is the end of a longer row that begins with silence."""
    row, silence = units(20), torch.full((QUIET_UNITS,), decoder.quiet)
    (alone,) = decoder.decode([row], ["anna"])
    (after,) = decoder.decode([torch.cat([silence, row])], ["anna"])
    assert len(alone) == 20 * decoder.unit_samples
    rest = after[QUIET_UNITS * decoder.unit_samples :]
    codes, valid = decoder.quantise.codes(row)[None], torch.ones(1, 20, dtype=torch.bool)
    with torch.no_grad():
        mel, _ = decoder.mel(codes, torch.tensor([0]), valid)
        cold = as_published(decoder.vocoder, mel[0].T)  # with nothing before it
    first = 4 * decoder.unit_samples
    assert (alone - rest)[:first].abs().mean() < 0.2 * (cold - rest)[:first].abs().mean()


def as_published(vocoder: Hifigan, mel: torch.Tensor) -> torch.Tensor:
    """HiFi-GAN's generator as its paper has it, all frames (M, F) at once: each layer is given zeros around
    what it reads."""
    slope, x = 0.1, F.pad(mel[None, :, None], (3, 3))
    x = vocoder.conv_pre(x)
    for stage, (up, stride) in enumerate(zip(vocoder.ups, vocoder.sizes.strides, strict=True)):
        x = F.conv_transpose2d(F.leaky_relu(x, slope), up.weight, up.bias, (1, stride), (0, stride // 2))
        rows = []
        for block in vocoder.resblocks[3 * stage : 3 * stage + 3]:
            y = x
            for dilated, plain in zip(block.convs1, block.convs2, strict=True):
                rest = (plain.kernel_size[1] - 1) // 2
                half = dilated.dilation[1] * rest
                between = dilated(F.pad(F.leaky_relu(y, slope), (half, half)))
                y = y + plain(F.pad(F.leaky_relu(between, slope), (rest, rest)))
            rows.append(y)
        x = sum(rows) / 3
    return torch.tanh(vocoder.conv_post(F.pad(F.leaky_relu(x), (3, 3))))[0, 0, 0]


@pytest.mark.parametrize("together", [False, True])
@torch.no_grad()
def test_the_vocoder_in_pieces_is_the_generator_as_published(together: bool) -> None:
    torch.manual_seed(0)
    vocoder = Hifigan(HifiganSizes(mel_bands=8, width=32)).double()
    for parameter in vocoder.parameters():
        parameter.data *= 1.7  # else its last layers weigh nothing
    if together:
        vocoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mel, kept, waves = torch.randn(8, 90).double(), None, []
    for piece in (*mel.split(9, dim=1), torch.zeros(8, 20)):
        stream = Stream(kept)
        waves.append(vocoder(piece, stream))
        kept = stream.kept()
    made = torch.cat(waves)[vocoder.delay :]
    published = as_published(vocoder, mel)
    assert len(published) == 90 * vocoder.hop
    # at its ends the paper has zeros between the layers, a stream what they make of zeros
    inside = slice(vocoder.delay, len(published) - vocoder.delay)
    assert published[inside].std() > 0.01 and published[inside].abs().max() < 0.99
    assert (made[: len(published)] - published)[inside].abs().max() <= 1e-5


@pytest.mark.parametrize("count", [1, 7, 8, 30])
@torch.no_grad()
def test_a_row_is_its_frames_through_the_generator_and_silence_behind_them(
    decoder: HarkenUnitDecoder, count: int
) -> None:
    """By the layers as training runs them, all of a row at once, and the generator as its paper has it."""
    row = torch.cat([torch.full((QUIET_UNITS,), decoder.quiet), units(count)])
    mel, _ = decoder.mel(
        decoder.quantise.codes(row)[None], torch.tensor([1]), torch.ones(1, len(row), dtype=torch.bool)
    )
    frames = F.pad(mel[0].T, (0, 4 * FRAMES_PER_UNIT), value=SILENCE)
    begin, length = QUIET_UNITS * decoder.unit_samples, count * decoder.unit_samples
    expected = as_published(decoder.vocoder, frames)[begin : begin + length]
    (made,) = decoder.decode([units(count)], ["ben"])
    assert made.shape == expected.shape
    assert (made - expected).abs().max() <= 1e-3 * expected.abs().max()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 60))
def test_pieces_are_the_whole(cuts: list[int], count: int) -> None:
    decoder = small_decoder()
    row = units(count, count)
    whole = decoder.decode([row], ["anna"])[0]
    pieces = streamed(decoder, [row], cuts)[0]
    assert len(whole) == len(pieces) == count * decoder.unit_samples
    assert (whole - pieces).abs().max() <= 1e-4 * whole.abs().max()


def test_rows_of_unequal_length_are_what_each_is_alone(decoder: HarkenUnitDecoder) -> None:
    rows = [units(n, n) for n in (3, 40, 17)]
    alone = [decoder.decode([row], ["anna"])[0] for row in rows]
    for together in (decoder.decode(rows, ["anna"] * 3), streamed(decoder, rows, [7, 2])):
        for one, other in zip(alone, together, strict=True):
            assert one.shape == other.shape and (one - other).abs().max() <= 1e-4 * one.abs().max()


def test_sound_comes_before_the_end_and_as_early_as_it_says(decoder: HarkenUnitDecoder) -> None:
    enough = 2 * PIECE_UNITS
    state = decoder.init_state(["ben"])
    waves, _ = decoder.step(state, units(enough - 1)[None], torch.tensor([enough - 1]))
    assert len(waves[0]) == PIECE_UNITS * decoder.unit_samples - decoder.delay
    waves, state = decoder.step(state, units(enough)[None], torch.tensor([enough]))
    assert len(waves[0]) == 2 * PIECE_UNITS * decoder.unit_samples - decoder.delay
    assert len(waves[0]) >= (enough - decoder.lookahead_units) * decoder.unit_samples
    waves, state = decoder.step(state, units(0)[None], torch.tensor([0]))
    assert len(waves[0]) == 0


def test_what_is_out_does_not_change(decoder: HarkenUnitDecoder) -> None:
    """Sound depends on no unit that is further ahead than the decoder says."""
    row = units(40)
    other = torch.cat([row[:30], units(10, seed=1)])
    one, changed = decoder.decode([row, other], ["anna"] * 2)
    differ = ((one - changed).abs() > 1e-4 * one.abs().max()).nonzero()[0, 0]
    assert (30 - decoder.lookahead_units) * decoder.unit_samples <= differ < 30 * decoder.unit_samples


def test_the_chunks_of_a_reply_fill_pieces_of_the_decoder_that_ships() -> None:
    sizes, vocoder = MelDecoderSizes(), Hifigan()
    codec = HarkenUnitDecoder(
        MelDecoder(sizes), vocoder, (5,) * sizes.code, ("a",), 22_050, "0" * 64, quiet=0
    )
    first, then = CHUNKS
    assert codec.lookahead_units == 6
    assert (first + codec.lookahead_units) % PIECE_UNITS == then % PIECE_UNITS == 0


def test_voices_differ(decoder: HarkenUnitDecoder) -> None:
    one, other = decoder.decode([units(20)] * 2, ["anna", "ben"])
    assert (one - other).abs().max() > 0.01 * one.abs().max()


def test_what_is_not_there_is_refused(decoder: HarkenUnitDecoder) -> None:
    with pytest.raises(InputError, match="no voice 'cleo'") as error:
        decoder.init_state(["cleo"])
    assert error.value.hint == "voices: anna, ben"
    with pytest.raises(InputError, match=r"unit 15 is not one of this codec's 15"):
        decoder.decode([torch.tensor([3, 15])], ["anna"])
    with pytest.raises(InputError, match="unit -1"):
        decoder.step(decoder.init_state(["anna"]), torch.tensor([[-1]]), torch.tensor([1]))
    waves, _ = decoder.step(decoder.init_state(["anna"]), torch.tensor([[1, 99]]), torch.tensor([1]))
    assert len(waves[0]) == 0  # what is beyond a row's length does not count


def test_pieces_are_the_whole_with_the_channels_together_too(decoder: HarkenUnitDecoder) -> None:
    together = with_vocoder(copy.deepcopy(decoder.vocoder).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    row = units(60)
    plain, pieces = decoder.decode([row], ["anna"])[0], streamed(together, [row], [7, 2])[0]
    assert (plain - together.decode([row], ["anna"])[0]).abs().max() <= 1e-4 * plain.abs().max()
    assert (plain - pieces).abs().max() <= 1e-4 * plain.abs().max()


def test_no_units_give_no_sound(decoder: HarkenUnitDecoder) -> None:
    assert len(decoder.decode([units(0)], ["anna"])[0]) == 0


def test_pieces_are_the_whole_in_bfloat16_too(decoder: HarkenUnitDecoder) -> None:
    rough = with_vocoder(copy.deepcopy(decoder.vocoder).to(torch.bfloat16))
    row = units(60)
    whole, pieces = rough.decode([row], ["anna"])[0], streamed(rough, [row], [7, 2])[0]
    assert whole.dtype == pieces.dtype == torch.float32
    assert (whole - pieces).abs().max() <= 0.05 * whole.abs().max()
    assert (whole - decoder.decode([row], ["anna"])[0]).abs().max() <= 0.05 * whole.abs().max()


_ROUGH = pytest.mark.skipif(
    quickest_dtype() != torch.bfloat16, reason="this processor does not multiply bfloat16: nothing runs in it"
)


@pytest.mark.weights
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=_ROUGH)])
def test_the_universal_vocoder_gives_back_what_its_mel_was_made_of(dtype: torch.dtype) -> None:
    """Golden by nature: the mel spectrogram of what it makes is the one that it was given."""
    import soundfile
    import soxr

    from harken.audio.vocoder_mel import vocoder_mel
    from harken.weights.hifigan import GENERATOR
    from harken.weights.store import ensure

    samples, rate = soundfile.read(ROOT / "examples" / "sad.wav", dtype="float32")
    mel = vocoder_mel(soxr.resample(samples, rate, 22_050))
    vocoder = load_hifigan(ensure("hifigan-universal") / GENERATOR, dtype).eval()
    with torch.no_grad():
        wave = vocoder(F.pad(mel.T, (0, 20), value=SILENCE), Stream(None)).numpy()
    wave = wave[vocoder.delay :][: 256 * len(mel)]
    assert len(wave) == len(mel) * 256 and np.abs(wave).max() < 1.0
    assert (vocoder_mel(wave) - mel).abs().mean() < 0.3  # 0.23 on its own test speech; noise would be above 2
