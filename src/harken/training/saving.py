"""The state of a run on disk: weights that are trained, the optimizer's moments, the step, whose run it is.

A checkpoint is a folder `checkpoint-STEP`, written under another name and renamed when it is whole, so that
there is always one that can be gone on from. The tensors are in `torch.distributed.checkpoint`'s form: what
two processes saved loads on one or on three.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.optim import AdamW

from harken.data.build_recipes import difference
from harken.errors import RecipeError, TrainingError
from harken.training.world import World

RUN = "run.json"
Identity = dict[str, Any]
"""All that shapes a run, as plain JSON values: its stage, its settings, and digests of its data."""


def identity(stage: str, config: Any, **data: object) -> Identity:
    """Of a run. Args: config: a frozen dataclass; data: what it learns from, kept as digests."""
    plain: Identity = json.loads(json.dumps({"stage": stage, "config": asdict(config)}))
    return plain | {name: digest(value) for name, value in data.items()}


def digest(value: object) -> str:
    """Equal for values that read equal."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in a run's folder."""
    return max(folder.glob("checkpoint-*[0-9]"), default=None)


def resume(folder: Path, whose: Identity, trained: dict[str, torch.nn.Parameter], optimizer: AdamW) -> int:
    """Put the newest checkpoint into parameters and optimizer, in place; gives its step, else 0.

    Raises RecipeError where it is another run's, with the difference, before anything is changed.
    """
    newest = checkpoint(folder)
    if newest is None:
        return 0
    saved = json.loads((newest / RUN).read_text())
    different = difference(saved["run"], whose)
    if different:
        raise RecipeError(
            f"{newest} belongs to another run (there -> here): {'; '.join(different)}",
            "choose another --out, or delete the folder",
        )
    with _quiet():
        state_dict_loader.load(_tensors(trained, optimizer), checkpoint_id=newest, no_dist=not _together())
    return int(saved["step"])


def save(
    folder: Path,
    whose: Identity,
    trained: dict[str, torch.nn.Parameter],
    optimizer: AdamW,
    step: int,
    world: World,
) -> None:
    """Write the checkpoint of a step, unless it is there, then drop those before it.

    Raises TrainingError where it cannot be written; the one before it stands.
    """
    name = f"checkpoint-{step:07d}"
    half = folder / f"half-written-{name}"
    before = checkpoint(folder)
    if before is not None and before.name == name:
        return
    try:
        with _quiet():
            state_dict_saver.save(_tensors(trained, optimizer), checkpoint_id=half, no_dist=not _together())
        if world.first:
            (half / RUN).write_text(json.dumps({"step": step, "run": whose}, indent=2))
            half.rename(folder / name)
    except (OSError, CheckpointException) as error:
        shutil.rmtree(half, ignore_errors=True)
        raise TrainingError(
            f"{folder / name} cannot be written: {_cause(error)}; {_stands(before)}",
            "make room, then start the same command again",
        ) from None
    if world.first:
        for old in folder.glob("*checkpoint-*"):
            if old.name != name:
                shutil.rmtree(old, ignore_errors=True)
    world.wait()


def _tensors(trained: dict[str, torch.nn.Parameter], optimizer: AdamW) -> dict[str, Any]:
    """What is saved, by the names of parameters: in place, and of each process its own part."""
    for parameter in trained.values():
        if not optimizer.state[parameter]:  # no step yet, or never any gradient
            optimizer.state[parameter] = {
                "step": torch.zeros((), device=parameter.device if optimizer.defaults["fused"] else None),
                "exp_avg": torch.zeros_like(parameter, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            }
    return {
        "weights": {name: parameter.detach() for name, parameter in trained.items()},
        "optimizer": {name: optimizer.state[parameter] for name, parameter in trained.items()},
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """It warns where there is but one process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _cause(error: BaseException) -> str:
    """What the system said."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    failures = getattr(error, "failures", {})
    return next((str(failure[0]) for failure in failures.values()), str(error))


def _stands(before: Path | None) -> str:
    return f"{before.name} stands" if before else "there is none before it"
