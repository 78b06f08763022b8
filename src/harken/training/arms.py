"""Arms: the settings of the stage `affect` that are compared on identical rows and steps.

The paper's claim is that attribution, made part of the answer's making, beats a label. The controls show
where the emotion comes from. Arms begin with a core and an affect prefix that were taught nothing
(`harken.training.affect_stage`), and at the rates of the stage `core`; the bridge stays as it is. What is
measured, and how, is in docs/training.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from harken.data.rows import Task
from harken.errors import RecipeError
from harken.recipes import Recipe
from harken.training.affect_config import AffectConfig
from harken.training.schedule import CORE_UPDATE

_RATES = (("prefix.*", 2.4e-3), (CORE_UPDATE, 8e-4))
_SCHEDULE = replace(AffectConfig().schedule, steps=140, warmup=8, rates=_RATES, evaluate_every=70)
_SHARES: tuple[tuple[Task, float], ...] = (("contrast", 0.6), ("empathy", 0.25), ("paralinguistic", 0.15))
"""More than half of what is learned are rows in which only the voice tells."""
_TRACE = AffectConfig(
    _SCHEDULE,
    supervise="trace",
    always_direct=(),
    thoughts_of=(),
    borrowed_voices=False,
    other_voice_share=0.0,
    shares=_SHARES,
    batch_tokens=400,
    replay_s=4.0,
    replay_weight=0.25,
)
"""Small batches: what a voice says is learned in fewer tokens by more steps."""

ARMS: Mapping[str, AffectConfig] = MappingProxyType(
    {
        "none": replace(_TRACE, replay_weight=1.0),  # self-distillation goes on, and nothing else
        "label": replace(_TRACE, supervise="label"),
        "reply": replace(_TRACE, supervise="reply"),
        "trace": _TRACE,
        "metadata": replace(_TRACE, metadata=True),
        "transcript": replace(_TRACE, heard="transcript"),
        "shuffled": replace(_TRACE, heard="shuffled"),
        "no-vectors": replace(_TRACE, affect_vectors=False),
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
