"""The processes that train one model together: who this one is, and how the model is spread over them.

One process is a world of its own, without `torch.distributed`. Under `torchrun` each process holds a part of
every layer (FSDP2) and takes its own batches; gradients are means over all of them, so that N processes do in
a step what one does in N times as many batches a step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor

from harken.errors import RecipeError

T = TypeVar("T")
PATIENCE = timedelta(hours=12)
"""How long others wait for the first process to prepare data."""


@dataclass(frozen=True)
class World:
    """One process among those that train together."""

    rank: int
    size: int
    device: torch.device
    recompute: bool = False
    """Layers are computed again in the backward pass (`harken.training.recompute`)."""

    @property
    def first(self) -> bool:
        """This process reports and writes."""
        return self.rank == 0

    def number(self, step: int, accumulate: int, batch: int) -> int:
        """The number of this process's batch: over all steps and processes each comes once."""
        return (step * accumulate + batch) * self.size + self.rank

    def means(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Of every value over all processes."""
        if self.size == 1:
            return {name: float(value) for name, value in values.items()}
        stacked = torch.stack([value.detach().float() for value in values.values()])
        distributed.all_reduce(stacked)
        return dict(zip(values, (stacked / self.size).tolist(), strict=True))

    def any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        if self.size == 1:
            return here
        flag = torch.tensor(float(here), device=self.device)
        distributed.all_reduce(flag)
        return bool(flag > 0)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            distributed.barrier()

    def made(self, make: Callable[[], T]) -> T:
        """What the first process makes and keeps on disk, and the others then find made."""
        if not self.first:
            self.wait()
        found = make()
        if self.first:
            self.wait()
        return found


ALONE = World(0, 1, torch.device("cpu"))
"""One process, without an accelerator."""


@contextmanager
def world(recompute: bool = False) -> Iterator[World]:
    """The world of this process: that of `torchrun`, or itself alone. On an accelerator if there is one.

    Args: recompute: see `World`.

    Raises RecipeError where `torchrun` started more processes on a machine than it has accelerators.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise RecipeError(
                f"process {local} of this machine has no GPU of its own, of {torch.cuda.device_count()}",
                "start as many as there are: torchrun --nproc-per-node gpu",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    if size == 1 or distributed.is_initialized():
        yield World(rank, size, device, recompute)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(rank, size, device, recompute)
    finally:
        distributed.destroy_process_group()


def shard(module: nn.Module, world: World) -> None:
    """Spread a module over the world, in place: each decoder layer by itself, the rest together (FSDP2)."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from harken.model.layer_stack import LayerStack

    if world.size == 1:
        return
    mesh = init_device_mesh(world.device.type, (world.size,))
    for stack in [part for part in module.modules() if isinstance(part, LayerStack)]:
        for layer in stack.layers:
            fully_shard(layer, mesh=mesh)
            layer.register_forward_pre_hook(_asks_for_gradients, prepend=True)
    fully_shard(module, mesh=mesh)


def _asks_for_gradients(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a layer that learns reads gets a gradient too, in every process: without one FSDP2 averages the
    layer's own after all others, while another process, whose batch has a voice, averages them in turn.
    """
    hidden, *more = given
    if torch.is_grad_enabled() and any(p.requires_grad for p in layer.parameters()):
        hidden = hidden if hidden.requires_grad else hidden.detach().requires_grad_()
    return (hidden, *more)


def touched(module: nn.Module, world: World) -> Tensor | None:
    """Nothing, of every trained parameter that is whole here, to be added to a loss; None where one is alone.

    FSDP2 averages in each process what has a gradient there, and hangs where processes differ in that: one's
    batch may have no voice. (torch 2.13 has `set_reduce_scatter_unused_params` for it, 2.11 has not.)
    """
    if world.size == 1:
        return None
    whole = [p for p in module.parameters() if p.requires_grad and not isinstance(p, DTensor)]
    return torch.stack([p.flatten()[:0].sum().float() for p in whole]).sum() if whole else None


def reshard(module: nn.Module) -> None:
    """Give up what others hold of a module that `shard` spread, after something ran it."""
    for part in _spread(module):
        part.reshard()


def gather(module: nn.Module) -> None:
    """Give every process the whole of what `shard` spread, in place, when training is over."""
    if not _spread(module):
        return
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            if isinstance(parameter, DTensor):
                full = nn.Parameter(parameter.full_tensor(), requires_grad=parameter.requires_grad)
                part.register_parameter(name, full)


def _spread(module: nn.Module) -> list[Any]:
    from torch.distributed.fsdp import FSDPModule

    return [part for part in module.modules() if isinstance(part, FSDPModule)]
