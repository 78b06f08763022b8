"""`harken recipes`: which recipes there are, and one of them whole."""

from __future__ import annotations

from dataclasses import dataclass

from tyro.conf import Positional

from harken.cli.command import DONE, Command, named_recipe
from harken.recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class ListRecipes(Command):
    """Name the recipes there are."""

    def run(self) -> int:
        for name in RECIPES:
            print(f"{name:10} {named_recipe(name).about}")
        return DONE


@dataclass(frozen=True, kw_only=True)
class ShowRecipe(Command):
    """Print a recipe, every size and name in it, as JSON."""

    name: Positional[str]
    """Which one."""

    def run(self) -> int:
        print(named_recipe(self.name).model_dump_json(indent=2))
        return DONE
