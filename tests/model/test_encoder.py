"""The encoder on the real length gives what Whisper's own gives on 30 s, and rows do not touch each other."""

from __future__ import annotations

import pytest
import torch

from harken.errors import RecipeError
from harken.model.encoder import SpeechEncoder, load_encoder, new_encoder
from harken.recipes import recipe


@pytest.fixture
def encoder(tiny_whisper):
    return SpeechEncoder(tiny_whisper(50).encoder)


@torch.no_grad()
def test_the_full_length_equals_transformers_own_encoder(encoder):
    mel = torch.randn(2, 80, 100)
    states, valid = encoder(mel)
    own = encoder.whisper(mel, output_hidden_states=True)
    assert states.shape == (2, 50, 3, 16)
    assert valid.all()
    torch.testing.assert_close(states[:, :, -1], own.last_hidden_state)
    torch.testing.assert_close(states[:, :, :-1], torch.stack(own.hidden_states[:-1], 2))


@torch.no_grad()
def test_a_batch_equals_its_rows_alone(encoder):
    mel = torch.randn(3, 80, 22)
    states, valid = encoder(mel)
    assert valid.shape == (3, 11) and valid.all()
    for row in range(3):
        torch.testing.assert_close(states[row], encoder(mel[row : row + 1])[0][0])


def test_a_loaded_encoder_is_frozen_and_the_same(encoder, tiny_whisper, tmp_path):
    tiny_whisper(50).save_pretrained(tmp_path)
    loaded = load_encoder(tmp_path)
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    assert (loaded.width, loaded.layers) == (16, 2)
    mel = torch.randn(1, 80, 20)
    with torch.no_grad():
        torch.testing.assert_close(loaded(mel)[0], encoder(mel)[0])


def test_an_encoder_of_other_sizes_or_none_is_refused(tiny_whisper, tmp_path):
    with pytest.raises(RecipeError, match=r"holds no model in transformers' layout: no config\.json"):
        load_encoder(tmp_path)
    tiny_whisper(50).half().save_pretrained(tmp_path)
    sizes = {"encoder_width": 16, "encoder_layers": 2, "encoder_heads": 2, "encoder_feed_forward_width": 32}
    listen = recipe("mini").listen.model_copy(update=sizes)
    assert load_encoder(tmp_path, listen).whisper.conv1.weight.dtype == torch.float32
    with pytest.raises(RecipeError, match="another speech encoder than the recipe's") as refused:
        load_encoder(tmp_path, listen.model_copy(update={"encoder_layers": 3}))
    assert refused.value.message.endswith(": listen.encoder_layers: 2 there, 3 here")


@pytest.mark.parametrize(("name", "parameters"), [("mini", 20_590_592), ("paper", 88_154_112)])
def test_a_recipe_says_every_size_of_its_encoder(name, parameters):
    with torch.device("meta"):
        encoder = new_encoder(recipe(name).listen)
        states, _ = encoder(torch.zeros(1, 80, 40))
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    assert states.shape == (1, 20, recipe(name).listen.encoder_layers + 1, recipe(name).listen.encoder_width)
