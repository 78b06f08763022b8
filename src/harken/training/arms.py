"""Arms: the settings of the stage `affect` that are compared on identical rows and steps.

The paper's claim is that attribution, made part of the answer's making, beats a label. The controls show
where the emotion comes from. What is measured, and how, is in docs/training.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from harken.errors import RecipeError
from harken.recipes import Recipe
from harken.training.affect import AffectConfig

ARMS: Mapping[str, AffectConfig] = MappingProxyType(
    {
        "none": AffectConfig(replay_weight=1.0),  # self-distillation goes on, and nothing else
        "label": AffectConfig(supervise="label"),
        "reply": AffectConfig(supervise="reply"),
        "trace": AffectConfig(supervise="trace"),
        "metadata": AffectConfig(supervise="trace", metadata=True),
        "transcript": AffectConfig(supervise="trace", heard="transcript"),
        "shuffled": AffectConfig(supervise="trace", heard="shuffled"),
        "no-vectors": AffectConfig(supervise="trace", affect_vectors=False),
    }
)


def arm_config(arm: str | None, seed: int = 0) -> AffectConfig:
    """The settings of an arm, or of the stage itself. Raises RecipeError where there is no such arm."""
    if arm is not None and arm not in ARMS:
        raise RecipeError(f"there is no arm {arm!r}", f"choose one of: {', '.join(ARMS)}")
    config = ARMS[arm] if arm is not None else AffectConfig()
    return replace(config, schedule=replace(config.schedule, seed=seed))


def as_heard(recipe: Recipe, config: AffectConfig) -> Recipe:
    """The recipe of the parts that come of it: where no affect is heard, none is heard in use."""
    vectors = recipe.listen.affect_vectors if config.affect_vectors else 0
    return recipe.model_copy(update={"listen": recipe.listen.model_copy(update={"affect_vectors": vectors})})
