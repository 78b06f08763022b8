"""Arms of the stage `reflect`: reflecting, and what it is compared with on the same rows and steps.

What is compared, and how, is in docs/reflection.md. The recipe of the parts that come of an arm says how they
are used: `think-before` is one reflection before the first chunk, which is then the whole reply.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from harken.errors import RecipeError
from harken.recipes import Recipe, ReflectConfig
from harken.training.schedule import Schedule

Arm = Literal["reflect", "sft", "think-before", "dpo"]
ARMS: tuple[Arm, ...] = ("reflect", "sft", "think-before", "dpo")
TAUGHT = ReflectConfig(response_tokens=9)
"""How a recipe reflects that does not say it: mini's replies have 19 tokens, so that there are two places."""
WRITE_UPDATE = "core.write.*lora_*"
"""Write's part of the core's update: what Think makes of words stays, which is what Speak says them from."""


@dataclass(frozen=True)
class ReflectTraining:
    """How long, in what batches, and what counts how much."""

    schedule: Schedule = Schedule(
        steps=240,
        rates=(("marks.*", 1e-3), (WRITE_UPDATE, 3e-4)),
        warmup=20,
        evaluate_every=80,
        save_every=40,
    )
    arm: Arm = "reflect"
    reflection_weight: float = 1.0
    """How much the reflections' tokens count beside the reply's."""
    silent_share: float = 0.2
    """Share of the reflections that are left out, as they are in use where there is no time for them."""
    trace_share: float = 0.25
    """Share of the conversations in which the trace stands before the reply, so that it is not forgotten."""
    beta: float = 0.1
    """Of `dpo`: how far preferences may lead away from the parts that the stage began with."""
    reply_weight: float = 0.2
    """Of `dpo`: how much the preferred reply's own loss counts beside the preference."""
    batch_tokens: int = 1000
    most_tokens: int = 300
    """Longer conversations are left out."""


def reflect_config(arm: str | None, seed: int = 0) -> ReflectTraining:
    """The settings of an arm; None is the stage itself, which reflects. Raises RecipeError for no arm."""
    chosen = next((known for known in ARMS if known == (arm or "reflect")), None)
    if chosen is None:
        raise RecipeError(f"there is no arm {arm!r}", f"choose one of: {', '.join(ARMS)}")
    config = ReflectTraining()
    reflects = chosen in ("reflect", "think-before")
    rates = tuple(rate for rate in config.schedule.rates if reflects or rate[0] == WRITE_UPDATE)
    return replace(config, arm=chosen, schedule=replace(config.schedule, seed=seed, rates=rates))


def taught(recipe: Recipe, arm: Arm) -> Recipe:
    """The recipe of the parts that come of an arm. Raises RecipeError where it leaves reflections out."""
    how = recipe.reflect or TAUGHT
    if not how.reflection_tokens:
        raise RecipeError(
            f"the recipe {recipe.name!r} says `reflection_tokens` 0, so there is nothing to learn",
            "say how long reflections may be, or leave its `reflect` out",
        )
    if arm == "think-before":
        whole = {"first": "reflection", "response_tokens": recipe.max_reply_tokens}
        how = how.model_copy(update=whole)
    reflects = arm in ("reflect", "think-before")
    return recipe.model_copy(update={"reflect": how if reflects else None})
