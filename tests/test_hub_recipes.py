"""Recipes whose weights are repositories of a model hub, from their names to a reply: `small` and `paper`,
scaled down, with random weights. Nothing is made up but the hub, and what lies there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers
from fake_hub import FakeHub, serving, settings

import harken
from harken.checkpoint import READOUT, load_text_side, new_prefix, save_listen
from harken.cli import main
from harken.dialogue.events import Done, Heard
from harken.errors import RecipeError
from harken.model.affect_readout import save_readout
from harken.model.core import new_causal_lm
from harken.model.encoder import SIZES, load_encoder
from harken.recipes import ConvBridgeConfig, CtcBridgeConfig, Recipe, paper, small
from harken.testing import tiny_recipe, tiny_tokenizer
from harken.training.stage_modules import readout_module
from harken.weights.store import ensure

VECTOR = 148  # the readout's


def scaled_down(recipe: Recipe) -> Recipe:
    """The same parts from the same places, tiny."""
    ctc = CtcBridgeConfig(width=16, layers=1, heads=2, kernel=3)
    conv = ConvBridgeConfig(layers=1, heads=2, kv_heads=1)
    sizes = {"encoder_width": 16, "encoder_layers": 2, "encoder_heads": 2, "encoder_feed_forward_width": 32}
    bridge = ctc if isinstance(recipe.listen.bridge, CtcBridgeConfig) else conv
    kept = {name: getattr(recipe.core, name) for name in ("weights", "tied")}
    core = tiny_recipe("qwen3").core.model_copy(update={**kept, "low_rank": min(recipe.core.low_rank, 2)})
    listen = recipe.listen.model_copy(update={**sizes, "bridge": bridge})
    return recipe.model_copy(update={"listen": listen, "core": core, "max_reply_tokens": 8})


def put_on(hub: FakeHub, recipe: Recipe, folder: Path) -> None:
    """The recipe's pretrained models, random, under their names; the core cut into several files."""
    encoder = {theirs: getattr(recipe.listen, ours) for ours, theirs in SIZES.items()}
    whisper = transformers.WhisperConfig(
        **encoder, decoder_layers=1, decoder_attention_heads=2, vocab_size=16, pad_token_id=0, init_std=0.3
    )
    transformers.WhisperForConditionalGeneration(whisper).save_pretrained(folder / "encoder")
    core = new_causal_lm(recipe.core, max_position_embeddings=1024, initializer_range=0.2)
    core.save_pretrained(folder / "core", max_shard_size="60KB")
    tiny_tokenizer().save_pretrained(folder / "core")
    hub.commit(recipe.listen.encoder, folder / "encoder")
    hub.commit(recipe.core.weights, folder / "core")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub, and an empty cache."""
    with serving() as hub:
        for name, value in settings(hub, tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HARKEN_HOME", str(tmp_path / "home"))
        yield hub


@pytest.mark.parametrize("whole", [small, paper], ids=lambda recipe: recipe.__name__)
@torch.no_grad()
def test_encoder_and_text_side_are_those_that_the_recipe_names(hub, whole, tmp_path):
    recipe = scaled_down(whole())
    put_on(hub, recipe, tmp_path)
    tokenizer, core = load_text_side(recipe)
    ids = torch.tensor([tokenizer.encode("<|im_start|>I lost my job.<|im_end|>")])
    assert tokenizer.decode(ids[0]) == "<|im_start|>I lost my job.<|im_end|>" and len(ids[0]) == 16
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "core")
    torch.testing.assert_close(core.logits(core(core.embed(ids)).hidden), theirs(ids).logits)
    encoder = load_encoder(ensure(recipe.listen.encoder), recipe.listen)
    mel = torch.randn(1, 80, 3000)
    own = transformers.WhisperModel.from_pretrained(tmp_path / "encoder").encoder(mel).last_hidden_state
    torch.testing.assert_close(encoder(mel)[0][:, :, -1], own)


def test_a_repository_of_other_sizes_is_refused_with_the_difference(hub, tmp_path):
    recipe = scaled_down(small())
    put_on(hub, recipe, tmp_path)
    deeper = recipe.model_copy(update={"core": recipe.core.model_copy(update={"layers": 5})})
    with pytest.raises(RecipeError, match=r"another core than the recipe's: core\.layers: 4 there, 5 here"):
        load_text_side(deeper)
    elsewhere = recipe.model_copy(update={"core": recipe.core.model_copy(update={"weights": "someone/mute"})})
    (tmp_path / "core" / "tokenizer.json").unlink()
    hub.commit("someone/mute", tmp_path / "core")
    with pytest.raises(RecipeError, match=r"holds no tokenizer: no tokenizer\.json"):
        load_text_side(elsewhere)


def say(data: Path, *texts: str) -> None:
    """Somebody who hums, a second long each, as `harken data render` leaves it."""
    (data / "render").mkdir(parents=True)
    rows = []
    for number, text in enumerate(texts):
        row = {"id": f"r{number}", "lang": "en", "group": "g", "source": "s", "text": text, "seconds": 1.0}
        rows.append(row | {"split": "dev" if number == 0 else "train", "voice": "v", "emotion": "sad"})
        hum = 0.1 * np.sin(np.arange(16_000) * (number + 1) / 50)
        soundfile.write(data / "render" / f"r{number}.ogg", hum, 16_000, format="OGG")
    (data / "render" / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_small_is_trained_and_replies(hub, tmp_path, capsys):
    pytest.importorskip("jiwer", reason="the extra eval is not installed")
    recipe, out = scaled_down(small()), tmp_path / "out"
    put_on(hub, recipe, tmp_path)
    say(tmp_path / "data", "oh no", "i won", "we met")
    save_readout(readout_module(recipe), out / "trained" / READOUT)
    (tmp_path / "mine.json").write_text(recipe.model_dump_json())
    options = ["--recipe", str(tmp_path / "mine.json"), "--data", str(tmp_path / "data"), "--out", str(out)]
    assert main(["train", "words", *options, "--steps", "1"]) == 0
    core = load_text_side(recipe)[1]
    save_listen(out / "trained", prefix=new_prefix(recipe, core, VECTOR))  # as the stage `core` leaves one
    model = harken.load(trained=out / "trained", voice="none")
    heard, *_, done = model.reply((np.sin(np.arange(16_000) / 50).astype(np.float32), 16_000), think="off")
    assert isinstance(heard, Heard) and isinstance(done, Done)
    assert [
        path for path in hub.asked if path.startswith("api/models/")
    ] == [  # once, and then from the cache
        f"api/models/{recipe.core.weights}",
        f"api/models/{recipe.listen.encoder}",
    ]


def test_without_a_hub_each_name_is_told_in_a_line_with_the_folder_for_its_files(
    hub, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["weights", "pull", "--recipe", "paper"]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if "could not be" in line or "hint" in line]
    names = (paper().listen.encoder, paper().core.weights)
    assert len(said) == 2 * len(names)
    for name, error, hint in zip(names, said[::2], said[1::2], strict=True):
        assert error.startswith(f"harken: {name} could not be fetched")
        assert str(tmp_path / "home" / "import" / name) in hint
