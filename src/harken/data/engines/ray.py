"""The belt on Ray Data: a pool of actors for each step, on one machine or many.

How many actors and which part of a GPU each has are the steps' `workers` and `gpus`. Shards travel pickled,
one a block, and every machine has to see the build's folder and the sources' under the same path.
`RAY_ADDRESS` names a cluster; without it Ray runs on this machine and ends with the build.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from harken.data.engines.base import Chain, Finished, Parcel, Stage, StepFailed, open_station, stations
from harken.errors import MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Batch = dict[str, NDArray[np.object_]]

WAITING_CPUS = 0.1
"""What a worker that mostly waits counts for where Ray places workers."""


def run(numbers: Iterable[int], chain: Chain) -> Iterator[Finished]:
    """See `Engine`. Raises MissingExtra without Ray."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtra("the engine ray", "ray") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    todo = list(numbers)
    if not todo:
        return
    ours = not ray.is_initialized()
    if ours:
        _start(chain)
    try:
        for batch in _data(todo, chain).iter_batches(batch_size=1, prefetch_batches=0):
            done = pickle.loads(batch["item"][0])
            if isinstance(done, StepFailed):
                raise done
            yield cast(Finished, done)
    finally:
        if ours:
            ray.shutdown()


def _start(chain: Chain) -> None:
    """Join the cluster that `RAY_ADDRESS` names, or start Ray here, with room for every worker."""
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(**quiet)
        return
    wanted = sum(workers * _cpus(computes) for _, workers, computes, _ in stations(chain))
    cpus = max(os.cpu_count() or 1, wanted)
    ray.init(num_cpus=int(cpus) + 2, include_dashboard=False, **quiet)


def _data(todo: list[int], chain: Chain) -> Any:
    """The stations as one lazy data set: a block a shard."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    data: ray.data.Dataset = ray.data.from_items(
        [{"item": pickle.dumps(n)} for n in todo], override_num_blocks=len(todo)
    )
    for place, (_, workers, computes, gpus) in enumerate(stations(chain)):
        data = data.map_batches(
            _Station,
            fn_constructor_args=(pickle.dumps(chain), place),
            batch_size=None,
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=_cpus(computes),
            num_gpus=gpus or None,
        )
    return data


def _cpus(computes: bool) -> float:
    return 1.0 if computes else WAITING_CPUS


class _Station:
    """A station as an actor. What fails is handed on to the driver, in the shard's place."""

    def __init__(self, chain: bytes, place: int) -> None:
        try:
            self._station = open_station(pickle.loads(chain), place)
        except StepFailed as error:
            self._station = _failing(error)

    def __call__(self, batch: Batch) -> dict[str, list[bytes]]:
        return {"item": [self._one(pickle.loads(item)) for item in batch["item"]]}

    def _one(self, item: int | Parcel | StepFailed) -> bytes:
        try:
            done = item if isinstance(item, StepFailed) else self._station(item)
        except StepFailed as error:
            done = error
        return pickle.dumps(done, pickle.HIGHEST_PROTOCOL)


def _failing(error: StepFailed) -> Stage:
    def station(item: object) -> None:
        raise error

    return station
