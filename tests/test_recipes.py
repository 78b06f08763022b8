"""Recipes are plain, frozen descriptions that survive being written down."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harken.cli.command import WrongUse, named_recipe
from harken.errors import RecipeError
from harken.recipes import RECIPES, ConvBridgeConfig, CtcBridgeConfig, Recipe, read_recipe, recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json_whatever_its_bridge(name):
    made = recipe(name)
    assert made.name == name
    again = Recipe.model_validate_json(made.model_dump_json())
    assert again == made
    assert type(again.listen.bridge) is type(made.listen.bridge)


@pytest.mark.parametrize("name", RECIPES)
def test_sizes_fit_together(name):
    made = recipe(name)
    assert 0 < made.core.split < made.core.layers
    width = made.listen.bridge.width if made.listen.bridge.kind == "ctc" else made.listen.encoder_width
    assert width % made.listen.bridge.heads == 0
    assert (
        made.core.heads % made.core.kv_heads == 0
        and made.listen.encoder_width % made.listen.encoder_heads == 0
    )
    assert made.about and made.languages and made.system


def test_the_names_there_are():
    assert list(RECIPES) == ["mini", "bilingual", "small", "paper"]
    assert isinstance(recipe("mini").listen.bridge, CtcBridgeConfig)
    assert isinstance(recipe("paper").listen.bridge, ConvBridgeConfig)


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(RecipeError, match="there is no recipe 'maxi'") as refused:
        recipe("maxi")
    assert all(name in refused.value.hint for name in RECIPES)


def test_a_recipe_cannot_be_changed_at_any_depth():
    made = recipe("mini")
    for part, field in (
        (made, "name"),
        (made.core, "split"),
        (made.listen, "encoder"),
        (made.listen.bridge, "width"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, field, getattr(part, field))


@pytest.mark.parametrize("part", ("", "core", "listen", "bridge"))
def test_an_unknown_field_is_refused_at_any_depth(part):
    described = recipe("mini").model_dump()
    holder = {"": described, "core": described["core"], "listen": described["listen"]}
    holder["bridge"] = described["listen"]["bridge"]
    holder[part]["colour"] = "blue"
    with pytest.raises(ValidationError, match="colour"):
        Recipe.model_validate(described)


def test_a_recipe_of_ones_own_is_read_from_its_file(tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text(recipe("mini").model_dump_json().replace('"units_per_step":', '"units_per_step": 1,"x":'))
    with pytest.raises(RecipeError, match=r"mine\.json is no recipe: speak\.x: Extra inputs"):
        read_recipe(mine)
    changed = recipe("mini").model_copy(update={"max_reply_tokens": 7})
    mine.write_text(changed.model_dump_json(indent=2))
    assert read_recipe(mine) == changed and named_recipe(str(mine)) == changed
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        read_recipe(tmp_path / "none.json")
    mine.write_text("{")
    with pytest.raises(WrongUse, match="is no recipe: the file: Invalid JSON"):
        named_recipe(str(mine))
