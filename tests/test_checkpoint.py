"""Trained parts are written whole, read back the same, and refused where they belong to another recipe."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
import torch

from harken.checkpoint import (
    LISTEN,
    PIECES,
    RECIPE,
    check_recipe,
    load_bridge,
    load_model,
    load_pieces,
    load_prefix,
    needed_weights,
    new_bridge,
    new_prefix,
    save_listen,
    save_tensors,
    shipped,
    stored_recipe,
)
from harken.errors import RecipeError
from harken.model.pieces import Pieces
from harken.recipes import CtcBridgeConfig, ListenConfig, mini, recipe
from harken.testing import tiny_core, tiny_recipe, tiny_tokenizer
from harken.unit_checkpoint import SPEAK, UNITS

LISTENING = ListenConfig(
    encoder="tiny",
    encoder_width=12,
    encoder_layers=2,
    encoder_heads=2,
    encoder_feed_forward_width=24,
    bridge=CtcBridgeConfig(width=16, layers=1, heads=2, kernel=3),
    affect_vectors=2,
)
RECIPE_ = tiny_recipe().model_copy(update={"listen": LISTENING})


@pytest.fixture(scope="module")
def core():
    return tiny_core()


@pytest.fixture(scope="module")
def pieces():
    tokenizer = tiny_tokenizer()
    return Pieces(tokenizer, tokenizer.encode(string.ascii_letters, add_special_tokens=False))


def test_listen_is_read_back_as_it_was_written(core, pieces, tmp_path):
    torch.manual_seed(0)
    bridge, prefix = new_bridge(RECIPE_, core, pieces.ids), new_prefix(RECIPE_, core, affect_width=6)
    save_listen(tmp_path / "new" / "trained", bridge, prefix)
    folder = tmp_path / "new" / "trained"
    assert [path.name for path in folder.iterdir()] == [LISTEN]
    bridge_again = load_bridge(RECIPE_, folder, core, pieces.ids)
    prefix_again = load_prefix(RECIPE_, folder, core, affect_width=6)
    for written, read in ((bridge, bridge_again), (prefix, prefix_again)):
        for name, tensor in written.state_dict().items():
            torch.testing.assert_close(read.state_dict()[name], tensor.half().float(), msg=name)
    states, valid = torch.randn(1, 9, 12), torch.ones(1, 9, dtype=torch.bool)
    with torch.no_grad():
        expected, _ = bridge.eval()(states, valid)
        torch.testing.assert_close(bridge_again.eval()(states, valid)[0], expected, atol=0.05, rtol=0)


def test_the_bridge_speaks_in_the_cores_own_embeddings(core, pieces):
    bridge = new_bridge(RECIPE_, core, pieces.ids)
    torch.testing.assert_close(bridge.table, core.embed.weight[pieces.ids].detach())
    assert not bridge.table.requires_grad


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(3)})
    whole = path.read_bytes()

    def broken(tensors, unfinished):
        unfinished.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("safetensors.torch.save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save_tensors(path, {"a": torch.zeros(3)})
    assert path.read_bytes() == whole


def test_pieces_are_read_in_their_order(pieces, tmp_path):
    (tmp_path / PIECES).write_text(json.dumps(pieces.ids))
    assert load_pieces(tmp_path, pieces.tokenizer).text == pieces.text


def test_a_missing_part_is_named(core, pieces, tmp_path):
    with pytest.raises(RecipeError, match=f"lacks {LISTEN}"):
        load_bridge(RECIPE_, tmp_path, core, pieces.ids)
    with pytest.raises(RecipeError, match=f"lacks {PIECES}"):
        load_pieces(tmp_path, pieces.tokenizer)
    with pytest.raises(RecipeError, match=f"holds no {RECIPE}"):
        stored_recipe(tmp_path)
    with pytest.raises(RecipeError, match="no trained parts ship for the recipe 'paper'"):
        shipped("paper")


def test_a_recipe_of_other_sizes_is_refused_with_the_difference(tmp_path):
    ours = mini()
    theirs = ours.model_copy(
        update={
            "core": ours.core.model_copy(update={"split": 12}),
            "listen": ours.listen.model_copy(update={"affect_vectors": 3}),
        }
    )
    with pytest.raises(RecipeError) as refused:
        check_recipe(theirs, ours, tmp_path)
    assert "core.split: 12 there, 15 here" in refused.value.message
    assert "listen.affect_vectors: 3 there, 1 here" in refused.value.message
    assert "core.width" not in refused.value.message


def test_a_stored_recipe_that_lacks_a_size_is_refused_by_its_name(tmp_path):
    described = json.loads(mini().model_dump_json())
    del described["core"]["heads"]
    (tmp_path / RECIPE).write_text(json.dumps(described))
    with pytest.raises(RecipeError, match=r"core\.heads: Field required"):
        stored_recipe(tmp_path)


def test_texts_limits_and_voices_may_differ(tmp_path):
    ours = mini()
    check_recipe(
        ours.model_copy(update={"system": "Hm.", "max_reply_tokens": 9, "voice": "x"}), ours, tmp_path
    )


def test_another_recipes_folder_is_refused_before_any_weights_are_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr("harken.weights.store.ensure", lambda *_: pytest.fail("weights were asked for"))
    other = mini().model_copy(update={"core": mini().core.model_copy(update={"width": 577})})
    (tmp_path / RECIPE).write_text(other.model_dump_json())
    with pytest.raises(RecipeError, match=r"core\.width: 577 there, 576 here"):
        load_model(mini(), tmp_path)


def test_what_was_not_trained_yet_may_have_other_sizes(tmp_path):
    ours = mini()
    theirs = ours.model_copy(update={"speak": ours.speak.model_copy(update={"units_per_step": 1})})
    check_recipe(theirs, ours, tmp_path)
    (tmp_path / SPEAK).touch()
    with pytest.raises(RecipeError, match=r"speak\.units_per_step: 1 there"):
        check_recipe(theirs, ours, tmp_path)


@pytest.mark.parametrize(
    ("voice", "speaks", "more"),
    [
        ("recipe", True, ("hifigan-universal",)),
        ("recipe", False, ("kokoro-82m",)),
        ("af_bella", True, ("hifigan-universal",)),
        ("bf_emma", True, ("hifigan-universal", "kokoro-82m")),  # Kokoro's, where the model's own has no such
        ("bf_emma", False, ("kokoro-82m",)),
        ("kokoro", True, ("kokoro-82m",)),
        ("none", True, ()),
    ],
)
def test_no_weights_are_needed_but_those_that_are_read(
    tmp_path: Path, voice: str, speaks: bool, more: tuple[str, ...]
) -> None:
    if speaks:
        (tmp_path / SPEAK).touch()
        (tmp_path / UNITS).write_text('{"voices": {"af_bella": 5.2}}')
    needed = needed_weights(mini(), tmp_path, voice)
    assert needed == ("whisper-base", "smollm2-135m-instruct", *more)


@pytest.mark.parametrize(
    ("name", "more"),
    [("mini", ("hifigan-universal", "kokoro-82m")), ("bilingual", ("kokoro-82m",)), ("small", ())],
)
def test_all_that_a_recipes_voices_read_is_needed_where_none_is_named(
    name: str, more: tuple[str, ...]
) -> None:
    ours = recipe(name)
    assert needed_weights(ours) == (ours.listen.encoder, ours.core.weights, *more)
