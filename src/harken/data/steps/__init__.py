"""The construction steps, one file each; `STEPS` says where, and imports none before it is used."""

from __future__ import annotations

from importlib import import_module

from harken.data.steps.base import StepConfig
from harken.errors import RecipeError

STEPS = {
    "respond": ("respond", "Respond"),
    "label": ("label", "Label"),
    "attribute": ("attribute", "Attribute"),
    "multi_turn": ("multi_turn", "MultiTurn"),
    "tasks": ("tasks", "Tasks"),
    "instruct": ("instruct", "Instruct"),
    "paralinguistic": ("paralinguistic", "Paralinguistic"),
    "contrast": ("contrast", "Contrast"),
    "reflect": ("reflect", "Reflect"),
    "speak": ("speak", "Speak"),
    "units": ("units", "Units"),
}
"""Name -> module in this package and class of the step's config, in the order of a build."""


def step_config(name: str) -> type[StepConfig]:
    """The class of a step's config. Raises RecipeError for a name that there is not."""
    if name not in STEPS:
        raise RecipeError(f"there is no step {name!r}", f"choose one of: {', '.join(STEPS)}")
    module, of_class = STEPS[name]
    config: type[StepConfig] = getattr(import_module(f"{__name__}.{module}"), of_class)
    return config
