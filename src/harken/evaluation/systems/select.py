"""Which system: what the options of `harken evaluate` name, opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harken.errors import InputError
from harken.evaluation.systems.base import System

if TYPE_CHECKING:
    from harken.recipes import Recipe

CASCADE = "cascade"
"""The name of the reference cascade."""


def open_system(
    named: str | None,
    *,
    recipe: Recipe,
    checkpoint: Path | None = None,
    model: str | None = None,
    api_key_env: str | None = None,
    voice: str | None = None,
    reflect: bool = False,
) -> System:
    """The system under test.

    Args:
        named: "cascade", made of the parts of `recipe`; the URL of a server, of chat completions (http) or
            of the Realtime protocol (ws); or a folder of predictions. None is `recipe` with the trained parts
            in `checkpoint`, or with those that ship with Harken.
        model: of a server, which of its models; of predictions, whose.
        api_key_env: of a server, the environment variable that holds the key.
        voice: who speaks; None is the recipe's own choice, of a server of chat completions nobody, of a
            Realtime server its own.
        reflect: of Harken, reflect while replying.

    Raises: InputError for a name that is none of them, and what the systems raise.
    """
    if named is None:
        return _harken(recipe, checkpoint, voice, reflect)
    if named == CASCADE:
        from harken.evaluation.systems.cascade import open_cascade

        return open_cascade(recipe, voice)
    if named.startswith(("ws://", "wss://")):
        from harken.evaluation.systems.realtime import RealtimeSystem

        return RealtimeSystem(named, model, api_key_env=api_key_env, voice=voice)
    if named.startswith(("http://", "https://")):
        from harken.evaluation.systems.server import ServedSystem

        return ServedSystem(named, model, api_key_env=api_key_env, voice=voice)
    if not Path(named).is_dir():
        raise InputError(
            f"{named} is no system",
            f"name a server (http://…/v1 or ws://…/v1/realtime), a folder of predictions, or {CASCADE}; "
            "--recipe and --checkpoint name Harken's",
        )
    from harken.evaluation.systems.predictions import Predictions

    return Predictions(Path(named), model)


def _harken(recipe: Recipe, checkpoint: Path | None, voice: str | None, reflect: bool) -> System:
    """Harken itself. Raises RecipeError where it is to reflect and was not taught to."""
    from harken.api import load
    from harken.dialogue.reflection import check_reflects
    from harken.evaluation.systems.spoken_lm import SpokenSystem

    name = f"{recipe.name} ({checkpoint})" if checkpoint else recipe.name
    harken = load(recipe, checkpoint, voice or "recipe")
    if reflect:
        check_reflects(harken.model)
    return SpokenSystem(harken, f"{name}, reflecting" if reflect else name, reflect, voice)
