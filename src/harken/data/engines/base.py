"""What an engine is, and the work on one shard that all of them share.

An engine takes shards through a `Chain`: it begins each one, lets every step work on it, and finishes it.
What travels between steps is a `Parcel`; between processes it travels pickled. A row's fault is the step's
business; whatever else goes wrong is a `StepFailed`, one plain line that survives pickling.
"""

from __future__ import annotations

import pickle
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from harken.data.rows import Row
from harken.data.steps.base import Dropped, Step, StepConfig
from harken.data.workspace import Workspace
from harken.errors import HarkenError
from harken.llm.base import LLM, Completion, LLMError, Sampling

BEGIN, FINISH = "begin", "finish"
"""The names, in messages, of what is done to a shard before the first step and after the last."""

PARTS = ("asked", "cached", "failed", "read", "written")
"""What is counted of each language model: prompts by what became of them, and tokens."""

OpenLLM = Callable[[str], LLM]


@dataclass
class Parcel:
    """A shard on its way: its rows so far, what was dropped, and the tokens that it cost."""

    number: int
    rows: list[Row]
    dropped: list[Dropped] = field(default_factory=list)
    tokens: Counter[str] = field(default_factory=Counter)

    def packed(self) -> bytes:
        return pickle.dumps(self, pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def unpacked(data: bytes) -> Parcel:
        parcel: Parcel = pickle.loads(data)
        return parcel


@dataclass(frozen=True)
class Finished:
    """A shard that stands: how many rows it has, and how many were dropped on the way."""

    number: int
    rows: int
    dropped: int


class Shards(Protocol):
    """Where shards come from and go to. It is pickled to wherever steps work."""

    def begin(self, number: int) -> Parcel:
        """The shard's rows, and an empty folder for its audio. Raises HarkenError."""
        ...

    def workspace(self, number: int) -> Workspace: ...

    def finish(self, parcel: Parcel) -> Finished:
        """Write the shard, so that it stands whole or not at all. Raises HarkenError."""
        ...


@dataclass(frozen=True)
class Lent:
    """The `Resources` of one worker. `tokens` counts what its language models read and wrote."""

    folder: Path
    seed: int
    open_llm: OpenLLM
    tokens: Counter[str] = field(default_factory=Counter)

    def llm(self, name: str) -> LLM:
        return cast(LLM, _Counted(self.open_llm(name), name, self.tokens))

    def anew(self) -> Lent:
        """The same, for another worker."""
        return Lent(self.folder, self.seed, self.open_llm)


@dataclass(frozen=True)
class Chain:
    """Everything a worker needs to know, wherever it is."""

    shards: Shards
    steps: tuple[StepConfig, ...]
    lent: Lent


class Engine(Protocol):
    """Runs shards through a chain."""

    def __call__(self, numbers: Iterable[int], chain: Chain) -> Iterator[Finished]:
        """Takes shards through the chain; gives each as it stands, in any order.

        Closing the iterator abandons the shards in work. Raises StepFailed.
        """
        ...


class StepFailed(HarkenError):
    """A step failed at more than a row. `trace` is where, for those who look for the cause."""

    def __init__(self, message: str, hint: str = "", trace: str = "") -> None:
        super().__init__(message, hint)
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.hint, self.trace)


def failure(step: str, number: int | None, error: BaseException) -> StepFailed:
    """The one line about what went wrong in a step, at a shard or (None) as it was opened."""
    if isinstance(error, StepFailed):
        return error
    trace = "".join(traceback.format_exception(error))
    at = "" if number is None else f", shard {number}"
    if isinstance(error, HarkenError):
        return StepFailed(f"step {step}{at}: {error.message}", error.hint, trace)
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return StepFailed(f"step {step}{at}: {place}{error.strerror}", "mend that, then build again", trace)
    if isinstance(error, MemoryError):
        return StepFailed(f"step {step}{at}: memory is full", "build with fewer --workers", trace)
    hint = "run again with --debug for the stack trace; the shards that stand are kept"
    return StepFailed(f"step {step}{at}: {type(error).__name__}: {error}", hint, trace)


Stage = Callable[[Any], Any]
"""One opened station of the chain: number -> Parcel -> ... -> Finished. Raises StepFailed."""


def stations(chain: Chain) -> list[tuple[str, int, bool, float]]:
    """The stations that a shard passes: name, workers, does it compute, and GPUs a worker."""
    steps = [(step.step, step.workers, step.computes, step.gpus) for step in chain.steps]
    return [(BEGIN, 1, False, 0.0), *steps, (FINISH, 1, True, 0.0)]


def open_station(chain: Chain, place: int) -> Stage:
    """The station at `place` in `stations`, with what it needs loaded. Raises StepFailed."""
    name = stations(chain)[place][0]
    if name == BEGIN and place == 0:
        work: Stage = chain.shards.begin
    elif place == len(chain.steps) + 1:
        work = chain.shards.finish
    else:
        work = _opened(chain, place - 1)

    def station(item: Any) -> Any:
        try:
            return work(item)
        except Exception as error:
            raise failure(name, getattr(item, "number", item), error) from error

    return station


def _opened(chain: Chain, index: int) -> Callable[[Parcel], Parcel]:
    config, lent = chain.steps[index], chain.lent.anew()
    try:
        step = config.open(lent)
    except Exception as error:
        raise failure(config.step, None, error) from error
    return lambda parcel: _through(step, parcel, chain.shards.workspace(parcel.number), lent.tokens)


def _through(step: Step, parcel: Parcel, workspace: Workspace, tokens: Counter[str]) -> Parcel:
    """The parcel after a step."""
    tokens.clear()
    rows: list[Row] = []
    dropped = list(parcel.dropped)
    for row in step(parcel.rows, workspace):
        if isinstance(row, Dropped):
            dropped.append(row)
        else:
            rows.append(row)
    return Parcel(parcel.number, rows, dropped, parcel.tokens + tokens)


class _Counted:
    """A language model whose tokens are counted; those that came from the cache cost nothing."""

    def __init__(self, llm: LLM, called: str, tokens: Counter[str]) -> None:
        self._llm, self._called, self._tokens = llm, called, tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
        answers = self._llm.complete(prompts, sampling)
        for answer in answers:
            if isinstance(answer, LLMError):
                self._tokens[f"{self._called} failed"] += 1
            elif answer.cached:
                self._tokens[f"{self._called} cached"] += 1
            else:
                self._tokens[f"{self._called} asked"] += 1
                self._tokens[f"{self._called} read"] += answer.prompt_tokens
                self._tokens[f"{self._called} written"] += answer.completion_tokens
        return answers
