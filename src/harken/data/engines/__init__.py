"""How the shards of a build go through its steps: one after another, in local processes, or on Ray.

All engines run the same steps on the same shards and give the same rows, byte for byte; they differ in what
works at the same time. What a shard is and where it is kept is left to `harken.data.build`.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from harken.data.engines.base import Engine
from harken.errors import InputError

ENGINES = ("inline", "local", "ray")


def engine(name: str) -> Engine:
    """The engine of that name. Raises InputError for a name that there is not."""
    if name not in ENGINES:
        raise InputError(f"there is no engine {name!r}", f"choose one of: {', '.join(ENGINES)}")
    return cast(Engine, import_module(f"{__name__}.{name}").run)
