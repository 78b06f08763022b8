"""CosyVoice2's units by their shapes: a small model with the methods, sizes and caches of a checkout's."""

from __future__ import annotations

import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from harken.errors import InputError
from harken.model.units.base import UnitDecoder, UnitEncoder
from harken.model.units.cosyvoice2 import CosyVoice2Decoder, CosyVoice2Encoder

PROMPT_UNITS = 30
CACHED = 8 * 480  # samples that the vocoder holds back and fades into the next piece


class SmallModel:
    """As `CosyVoice2Model` in upstream's cosyvoice/cli/model.py: two mel frames a unit, 480 samples a frame.

    A sample is its unit's number, so that it can be seen which unit made it.
    """

    token_hop_len = 25

    def __init__(self) -> None:
        self.flow = SimpleNamespace(pre_lookahead_len=3, token_mel_ratio=2)
        self.hift_cache_dict: dict[str, Any] = {}
        self.calls: list[tuple[int, int, bool]] = []

    def token2wav(
        self, token: Tensor, prompt_token: Tensor, prompt_feat: Tensor, embedding: Tensor,
        token_offset: int, uuid: str, stream: bool = False, finalize: bool = False,
    ) -> Tensor:  # fmt: skip
        assert token.shape[0] == prompt_token.shape[0] == 1 and embedding.shape == (1, 192)
        assert prompt_feat.shape == (1, 2 * prompt_token.shape[1], 80) and stream
        self.calls.append((token.shape[1], token_offset, finalize))
        settled = token if finalize else token[:, : -self.flow.pre_lookahead_len]
        sound = settled[:, token_offset:].float().repeat_interleave(2 * 480, dim=1)
        before = self.hift_cache_dict[uuid]
        if before is not None:
            sound = torch.cat([before, sound], dim=1)
        if finalize:
            return sound
        self.hift_cache_dict[uuid] = sound[:, -CACHED:]
        return sound[:, :-CACHED]


class SmallFrontend:
    """As `CosyVoiceFrontEnd`: what a prompt recording becomes."""

    def frontend_zero_shot(self, text: str, prompt: str, wav: str, rate: int, speaker: str) -> dict[str, Any]:
        assert (text, prompt, rate, speaker) == ("", "", 24_000, "") and Path(wav).name == "ann.wav"
        return {
            "flow_prompt_speech_token": torch.zeros(1, PROMPT_UNITS, dtype=torch.int32),
            "prompt_speech_feat": torch.zeros(1, 2 * PROMPT_UNITS, 80),
            "flow_embedding": torch.zeros(1, 192),
        }


@pytest.fixture
def model() -> SmallModel:
    return SmallModel()


@pytest.fixture
def decoder(model: SmallModel) -> CosyVoice2Decoder:
    cosyvoice = SimpleNamespace(model=model, frontend=SmallFrontend())
    return CosyVoice2Decoder(cosyvoice, {"ann": Path("prompts/ann.wav")}, "c0dec")


def decoded(decoder: UnitDecoder, units: Tensor, pieces: list[int]) -> Tensor:
    state, sounds = decoder.init_state(["ann"]), []
    *before, last = units.split(pieces)
    for piece in before:
        (sound,), state = decoder.step(state, piece[None], torch.tensor([len(piece)]))
        sounds.append(sound)
    return torch.cat([*sounds, *decoder.flush(state, last[None], torch.tensor([len(last)]))])


@pytest.mark.parametrize("pieces", [[100], [1] * 100, [30, 3, 60, 7], [99, 1]])
def test_pieces_give_the_sound_of_the_whole(
    decoder: CosyVoice2Decoder, model: SmallModel, pieces: list[int]
) -> None:
    units = torch.arange(1, 101)
    sound = decoded(decoder, units, pieces)
    assert torch.equal(sound, units.float().repeat_interleave(24_000 // 25))
    assert not model.hift_cache_dict, "nothing is remembered of a stream that has ended"


def test_nothing_is_remembered_of_a_stream_that_was_left(
    decoder: CosyVoice2Decoder, model: SmallModel
) -> None:
    sounds, state = decoder.step(decoder.init_state(["ann"]), torch.arange(100)[None], torch.tensor([100]))
    assert len(sounds[0]) and len(model.hift_cache_dict) == 1
    del state
    gc.collect()
    assert not model.hift_cache_dict


def test_chunks_are_counted_from_the_prompts_start(decoder: CosyVoice2Decoder, model: SmallModel) -> None:
    decoded(decoder, torch.arange(100), [1] * 100)
    assert model.calls == [(48, 0, False), (73, 45, False), (98, 70, False), (100, 95, True)]
    assert all((PROMPT_UNITS + offset) % 25 == 0 for _, offset, _ in model.calls[1:])


def test_rows_of_unequal_length_and_an_empty_one(decoder: CosyVoice2Decoder) -> None:
    state = decoder.init_state(["ann", "ann"])
    units = torch.arange(120).reshape(2, 60)
    sounds, state = decoder.step(state, units, torch.tensor([60, 5]))
    assert [len(sound) for sound in sounds] == [45 * 960 - CACHED, 0]
    none = torch.zeros(2, 0, dtype=torch.long), torch.tensor([0, 0])
    assert [len(sound) for sound in decoder.flush(state, *none)] == [15 * 960 + CACHED, 5 * 960]
    alone = torch.zeros(1, 0, dtype=torch.long), torch.tensor([0])
    assert [len(sound) for sound in decoder.flush(decoder.init_state(["ann"]), *alone)] == [0]


def test_a_voice_or_a_unit_that_is_not_there_is_said(decoder: CosyVoice2Decoder) -> None:
    with pytest.raises(InputError, match="no voice 'bob'") as error:
        decoder.init_state(["bob"])
    assert error.value.hint == "voices: ann"
    for unit in (-1, 6561):
        with pytest.raises(InputError, match="outside 0 to 6560"):
            decoder.step(decoder.init_state(["ann"]), torch.tensor([[unit]]), torch.tensor([1]))


class Session:
    """As onnxruntime's of the speech tokenizer: four mel frames a unit."""

    def __init__(self) -> None:
        self.frames: list[int] = []

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="feats"), SimpleNamespace(name="feats_length")]

    def run(self, outputs: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        mel, length = feed["feats"], feed["feats_length"]
        assert mel.dtype == np.float32 and mel.shape == (1, 128, length[0]) and length.dtype == np.int32
        self.frames.append(int(length[0]))
        return [np.full((1, -(-mel.shape[2] // 4)), 6560, np.int32)]


def test_recordings_are_read_at_25_units_a_second_30_seconds_at_a_time() -> None:
    session = Session()
    encoder: UnitEncoder = CosyVoice2Encoder(session, "c0dec")
    units = encoder.encode(np.ones(24_000 * 32, np.float32), 24_000)
    assert units.shape == (32 * 25, 1) and units.dtype == np.int64 and units.max() < encoder.vocabulary[0]
    assert session.frames == [3000, 200]
    with pytest.raises(InputError, match="nothing in the recording"):
        encoder.encode(np.zeros(0, np.float32), 16_000)
