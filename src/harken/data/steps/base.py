"""What a construction step is: rows of one shard in, rows out, and for each row that is dropped the reason.

A step's config is a frozen description, part of a build recipe; `open` makes the step itself, with whatever
it loads, once in each worker. A step sees one shard at a time and depends on nothing but its config and that
shard's rows and audio, so any engine may run it, anywhere, and again after an interruption.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

from harken.data.rows import Row, content_id
from harken.data.workspace import Workspace
from harken.llm.base import LLM
from harken.recipes import Frozen


@dataclass(frozen=True)
class Dropped:
    """A row that is left out, why (a short phrase, the same for the same kind of fault), and details."""

    row: Row
    step: str
    reason: str
    detail: str = ""


class Step(Protocol):
    """An opened step."""

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        """The rows of one shard -> the rows that follow, in a stable order; rows it does not concern pass."""
        ...


class Resources(Protocol):
    """What the build lends to steps as they open."""

    @property
    def folder(self) -> Path:
        """The build's folder: for what a step prepares once (`StepConfig.prepare`)."""
        ...

    @property
    def seed(self) -> int: ...

    def llm(self, name: str) -> LLM:
        """The language model that the recipe calls `name`, with its cache; opened once a worker."""
        ...


class StepConfig(Frozen, ABC):
    """Base of the steps' configs; each has a `step: Literal["its name"]` that names it in a recipe."""

    computes: ClassVar[bool] = False
    """Does it compute, so that it wants processes of its own? Waiting for a language model is not that."""

    step: str
    workers: int = 1
    """Shards in work at once. An LLM's own concurrency is its own setting."""
    gpus: float = 0.0
    """GPUs a worker, for engines that place them."""

    @property
    def maker(self) -> str:
        """The step's fingerprint: every setting that shapes its rows, and nothing about how it is run."""
        shaping = self.model_dump_json(exclude={"workers", "gpus"})
        return f"{self.step}-{hashlib.sha256(shaping.encode()).hexdigest()[:12]}"

    def made_with(self, llm: LLM) -> str:
        """The fingerprint of rows that a language model writes: `maker`, and which weights answered."""
        return f"{self.maker}-{content_id(llm.name, llm.revision)[:12]}"

    def limited(self, rows: int) -> Self:
        """The config in a build of so many source rows: what is made beside rows is kept as small."""
        return self

    def prepare(self, resources: Resources) -> None:
        """Make what all shards share, once, before the first; a second call finds it there."""

    @abstractmethod
    def open(self, resources: Resources) -> Step:
        """The step, with what it needs loaded. Raises HarkenError where that is not there."""
