"""Splitting a language model in two, and holding its cache as a value, changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harken.errors import RecipeError
from harken.model.core import Core, CoreState, fold_low_rank, load_core, new_core
from harken.recipes import mini, recipe
from harken.testing import tiny_causal_lm, tiny_core, tiny_recipe

FAMILIES = ("llama", "qwen2", "qwen3")
LENGTHS = (7, 3, 5)


@pytest.fixture(params=FAMILIES)
def whole(request):
    return tiny_causal_lm(request.param, seed=1)


def batch(seed=0):
    """Token ids of unequal lengths, padded at the end, and which are real."""
    ids = torch.randint(0, 256, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(seed))
    valid = torch.arange(max(LENGTHS))[None] < torch.tensor(LENGTHS)[:, None]
    return ids, valid


@torch.no_grad()
@pytest.mark.parametrize("split", (1, 2, 3))
def test_split_logits_equal_the_whole_models(whole, split):
    ids, valid = batch()
    core = Core(whole, split)
    output = core(core.embed(ids), valid=valid)
    ours = core.logits(output.hidden)
    for row, length in enumerate(LENGTHS):  # the whole model, one unpadded row at a time
        torch.testing.assert_close(ours[row, :length], whole(ids[row : row + 1, :length]).logits[0])


@torch.no_grad()
@pytest.mark.parametrize("side", ("left", "right"))
def test_one_token_steps_equal_reading_at_once_whatever_the_padding(whole, side):
    ids, _ = batch()
    core = Core(whole, 2)
    longest = max(LENGTHS) - 2
    prompt, valid = torch.zeros(3, longest, dtype=torch.long), torch.zeros(3, longest, dtype=torch.bool)
    for row, length in enumerate(LENGTHS):
        n = length - 2
        place = slice(longest - n, longest) if side == "left" else slice(0, n)
        prompt[row, place], valid[row, place] = ids[row, :n], True
    state = core(core.embed(prompt), valid=valid).state
    for step in (2, 1):
        token = torch.stack([ids[row, length - step] for row, length in enumerate(LENGTHS)])
        output = core(core.embed(token)[:, None], state)
        state = output.state
    for row, length in enumerate(LENGTHS):
        expected = whole(ids[row : row + 1, :length]).logits[0, -1]
        torch.testing.assert_close(core.logits(output.hidden[row, -1]), expected)


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_rows_read_apart_and_joined_go_on_as_one_batch(family):
    core = tiny_core(family)
    ids, _ = batch()
    states = [core(core.embed(ids[row : row + 1, :n])).state for row, n in enumerate(LENGTHS)]
    token = torch.tensor([[5], [6], [7]])
    joined = core(core.embed(token), CoreState.join(states))
    for row, state in enumerate(states):
        alone = core(core.embed(token[row : row + 1]), state)
        torch.testing.assert_close(joined.hidden[row], alone.hidden[0])
        torch.testing.assert_close(joined.shared[row], alone.shared[0])
    picked = core(core.embed(token[[2, 0]]), CoreState.join(states).rows(torch.tensor([2, 0])))
    torch.testing.assert_close(picked.hidden, joined.hidden[[2, 0]])


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_fork_and_rollback_leave_the_past_as_it_was(family):
    core = tiny_core(family)
    past, one, other = (core.embed(torch.randint(0, 256, (1, n))) for n in (6, 3, 4))
    state = core(past).state
    before = core(other, state).hidden
    branch = core(one, state.fork()).state
    assert (state.length, branch.length) == (6, 9)
    torch.testing.assert_close(core(other, state).hidden, before, rtol=0, atol=0)
    torch.testing.assert_close(core(other, branch.rollback(6)).hidden, before, rtol=0, atol=0)
    torch.testing.assert_close(core(torch.cat([past, other], 1), branch.rollback(0)).hidden[:, 6:], before)


@torch.no_grad()
def test_a_folded_update_is_the_low_rank_difference():
    core, plain = tiny_core(), tiny_core()
    name = "write.layers.1.mlp.up_proj"
    down, up = torch.randn(2, 32), torch.randn(64, 2)
    fold_low_rank(core, {f"{name}.down": down, f"{name}.up": up})
    difference = core.get_submodule(name).weight - plain.get_submodule(name).weight
    torch.testing.assert_close(difference, up @ down, rtol=1e-4, atol=1e-5)
    same = "think.layers.1.mlp.up_proj"
    assert torch.equal(core.get_submodule(same).weight, plain.get_submodule(same).weight)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    (
        ("think.layers.9.mlp.up_proj", (64, 2), "which this core lacks"),
        ("think.layers.0.mlp.up_proj", (63, 2), "63"),
    ),
)
def test_an_update_of_another_core_is_refused(name, shape, message):
    with pytest.raises(RecipeError, match=message):
        fold_low_rank(tiny_core(), {f"{name}.down": torch.zeros(2, 32), f"{name}.up": torch.zeros(shape)})


@pytest.mark.parametrize("split", (0, 4, 9))
def test_a_split_that_leaves_a_part_empty_is_refused(split):
    with pytest.raises(RecipeError, match="empty"):
        Core(tiny_causal_lm(), split)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("mini", 134_515_008), ("bilingual", 630_167_424), ("small", 596_049_920), ("paper", 8_190_735_360)],
)
def test_a_recipe_says_every_size_of_its_core(name, parameters):
    with torch.device("meta"):
        core = new_core(recipe(name).core)
    assert sum(p.numel() for p in core.parameters()) == parameters
    assert all(p.is_meta for p in core.parameters())
    assert len(core.think.layers) == recipe(name).core.split


def test_weights_of_the_recipes_sizes_are_loaded_and_others_refused_with_what_differs(whole, tmp_path):
    whole.save_pretrained(tmp_path)
    family = whole.config.model_type
    config = tiny_recipe(family).core
    ids = batch()[0][:1]
    core = load_core(tmp_path, config)
    with torch.no_grad():
        torch.testing.assert_close(core.logits(core(core.embed(ids)).hidden), whole(ids).logits)
    other = config.model_copy(update={"kv_heads": 4, "vocabulary": 300, "tied": True})
    with pytest.raises(RecipeError, match="another core than the recipe's") as refused:
        load_core(tmp_path, other)
    assert refused.value.message.split(": ", 1)[1].split("; ") == [
        "core.kv_heads: 2 there, 4 here",
        "core.vocabulary: 259 there, 300 here",
        "core.tied: False there, True here",
    ]


@torch.no_grad()
@pytest.mark.weights
def test_real_smollm2_split_equals_whole():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from harken.weights.store import ensure

    folder: Path = ensure("smollm2-135m-instruct")
    whole = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    core = load_core(folder, mini().core).eval()
    rows = [
        tokenizer.encode(text)
        for text in ("I lost my job today and I do not know what to do.", "Hello there.")
    ]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    valid = torch.arange(longest)[None] < torch.tensor([len(row) for row in rows])[:, None]
    output = core(core.embed(ids), valid=valid)
    for row, tokens in enumerate(rows):
        expected = whole(torch.tensor([tokens])).logits[0]
        ours = core.logits(output.hidden[row, : len(tokens)])
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-3)
        assert torch.equal(ours.argmax(-1), expected.argmax(-1))
