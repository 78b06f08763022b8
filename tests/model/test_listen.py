"""Listen, and the whole model's ear: batches, long recordings, and what an untrained prefix says."""

from __future__ import annotations

import string

import numpy as np
import pytest
import torch

from harken.audio.features import log_mel
from harken.audio.windows import windows
from harken.model.affect_readout import AffectReadoutConfig
from harken.model.ctc_bridge import CtcBridge, CtcBridgeSizes
from harken.model.encoder import SpeechEncoder
from harken.model.listen import AffectPrefix, Listen
from harken.model.pieces import Pieces
from harken.model.spoken_lm import SpokenLM
from harken.testing import tiny_core, tiny_recipe, tiny_tokenizer

WIDTH = 32


@pytest.fixture
def model(tiny_whisper):
    """A whole SpokenLM with random weights; its bridge hears something in any noise."""
    torch.manual_seed(0)
    core, tokenizer = tiny_core(), tiny_tokenizer()
    ids = tokenizer.encode(string.ascii_lowercase + " .,", add_special_tokens=False)
    sizes = CtcBridgeSizes(encoder_width=16, width=16, layers=1, heads=2, kernel=3)
    bridge = CtcBridge(sizes, core.embed(torch.tensor(ids)).detach())
    torch.nn.init.constant_(bridge.blank.bias, 3.0)
    readout = AffectReadoutConfig(n_layers=3, width=16, layers=(0, 1), curved=2).build()
    prefix = AffectPrefix(4, 2, WIDTH, core.embedding_rms())
    listen = Listen(SpeechEncoder(tiny_whisper(1500).encoder), bridge, readout, prefix)
    return SpokenLM(tiny_recipe(), listen, core, tokenizer, Pieces(tokenizer, ids)).eval()


def noise(seconds, seed=0):
    random = np.random.default_rng(seed)
    loudness = np.repeat(random.uniform(0.01, 0.3, int(seconds * 10)), 1600)
    return (random.standard_normal(len(loudness)) * loudness).astype(np.float32)


@torch.no_grad()
def test_a_batch_is_heard_as_its_rows_alone(model):
    mels = [torch.from_numpy(log_mel(noise(0.9, seed))) for seed in range(3)]
    together = model.listen(torch.stack(mels))
    for row, mel in enumerate(mels):
        alone = model.listen(mel[None])
        torch.testing.assert_close(together.affect.vector[row], alone.affect.vector[0], atol=1e-4, rtol=1e-4)
        present = together.words.valid[row]
        assert present.sum() > 0
        torch.testing.assert_close(
            together.words.embeddings[row][present], alone.words.embeddings[0], atol=1e-4, rtol=1e-4
        )


@torch.no_grad()
def test_a_prefix_begins_at_the_embeddings_scale():
    torch.manual_seed(0)
    prefix = AffectPrefix(affect_width=64, count=3, core_width=WIDTH, scale=0.2)
    vectors = torch.randn(50, 64)
    assert prefix(vectors).shape == (50, 3, WIDTH)
    assert prefix(vectors).pow(2).mean().sqrt().item() == pytest.approx(0.2, rel=0.2)


def test_a_heard_turn_is_the_affect_vectors_and_then_the_words(model):
    turn = model.hear(noise(2.0))
    assert turn.seconds == 2.0 and turn.words_from_s == 0
    assert turn.transcript and 0 < turn.confidence <= 1
    assert sum(turn.emotion.values()) == pytest.approx(1, abs=1e-5)
    assert sum(turn.gender.values()) == pytest.approx(1, abs=1e-5)
    heard = model.listen(torch.from_numpy(log_mel(noise(2.0)))[None])
    vectors, text, confidence = model.words(heard)
    assert (text, confidence.mean().item()) == (turn.transcript, pytest.approx(turn.confidence))
    assert turn.embeddings.shape == (2 + len(vectors), WIDTH)
    torch.testing.assert_close(turn.embeddings[2:], vectors)


def test_a_long_recording_is_heard_in_windows_and_felt_as_a_whole(model):
    samples = noise(33.0)
    parts = windows(samples)
    assert len(parts) > 1
    whole = model.hear(samples)
    turns = [model.hear(samples[part]) for part in parts]
    shares = np.array([part.stop - part.start for part in parts], float)
    shares /= shares.sum()
    assert whole.transcript == " ".join(turn.transcript for turn in turns)
    for label, score in whole.emotion.items():
        assert score == pytest.approx(float(shares @ [turn.emotion[label] for turn in turns]), abs=1e-5)
    torch.testing.assert_close(
        whole.affect, sum(s * t.affect for s, t in zip(shares, turns, strict=True)).float()
    )
    torch.testing.assert_close(whole.embeddings[2:], torch.cat([turn.embeddings[2:] for turn in turns]))


def test_reading_on_from_a_state_equals_reading_at_once(model):
    inputs = model.embed([1, 2, 3, 4])[None]
    at_once, _, _ = model.read(inputs)
    _, state, _ = model.read(inputs[:, :3])
    step, state, _ = model.read(inputs[:, 3:], state)
    torch.testing.assert_close(step, at_once)
    assert state.length == 4
