"""Asking a system, as evaluations of inspect-ai: many exchanges side by side, and a log of each group.

The logs (OUT/logs/*.eval) are for its viewer, `inspect view --log-dir OUT/logs`; what a run goes on from is
`harken.evaluation.asking.answers`. A system is no language model to inspect: a solver asks it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harken.errors import MissingExtra
from harken.evaluation.asking.answers import Answers
from harken.evaluation.progress import bar
from harken.evaluation.systems.base import Question, System, Unanswered

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog
    from inspect_ai.solver import Generate, Solver, TaskState

LOGS = "logs"


@dataclass(frozen=True)
class Exchange:
    """Questions to be asked in order. Each but the first follows on the system's own replies before it."""

    id: str
    questions: tuple[Question, ...]
    said: tuple[str, ...] = ()
    """The words of each question's last recording, where they are known, for the log."""

    def question(self, number: int, answers: Answers) -> Question:
        """That of a number, from 0, with the replies to those before it."""
        asked = self.questions[number]
        if number == 0:
            return asked
        before = [answers.get(question) for question in self.questions[:number]]
        return replace(asked, replies=tuple(kept.text if kept else None for kept in before))


@dataclass(frozen=True)
class Failure:
    """A question that was not answered."""

    exchange: str
    key: str
    why: str


@dataclass
class Asked:
    """What became of a run."""

    failures: list[Failure] = field(default_factory=list)
    logs: dict[str, Path] = field(default_factory=dict)
    """Group -> its log."""


def ask(system: System, groups: Mapping[str, Sequence[Exchange]], answers: Answers, benchmark: str) -> Asked:
    """Ask for what is missing in `answers`, group after group, `system.concurrency` exchanges at once.

    Raises: HarkenError where the system cannot answer at all, DataError where another process asks into the
        same folder, MissingExtra without inspect-ai; what was answered before is kept.
    """
    try:
        import inspect_ai  # noqa: F401
    except ImportError:
        raise MissingExtra("asking systems", "eval") from None
    done = Asked()
    with answers.alone(), bar(sum(map(len, groups.values())), "asking") as advance:
        for group, exchanges in groups.items():
            run = _Run(system, {each.id: each for each in exchanges}, answers, advance)
            done.logs[group] = run.run(f"{benchmark} {group}", answers.folder / LOGS)
            done.failures += [failure for each in exchanges for failure in run.failures.get(each.id, ())]
    return done


class _Run:
    """One group."""

    def __init__(
        self,
        system: System,
        exchanges: Mapping[str, Exchange],
        answers: Answers,
        advance: Callable[[], None],
    ) -> None:
        self.failures: dict[str, list[Failure]] = {}
        self._system, self._exchanges, self._answers = system, exchanges, answers
        self._advance = advance
        self._stopped = threading.Event()
        self._cause: BaseException | None = None

    def run(self, name: str, logs: Path) -> Path:
        """Ask, and give the log."""
        from inspect_ai import Task, eval
        from inspect_ai.dataset import MemoryDataset, Sample

        samples = [Sample(id=id, input=_opening(each)) for id, each in self._exchanges.items()]
        task = Task(
            dataset=MemoryDataset(samples, name=name),
            solver=self._solver(),
            name=name.replace(" ", "-"),
            metadata={"system": self._system.name},
        )
        (log,) = eval(
            task,
            model=None,
            display="none",
            score=False,
            log_dir=str(logs),
            log_realtime=False,
            max_samples=self._system.concurrency,
        )
        if self._cause is not None:
            raise self._cause
        if log.status == "cancelled":
            raise KeyboardInterrupt
        return Path(log.location)

    def _solver(self) -> Solver:
        import anyio
        from inspect_ai.solver import solver

        @solver(name="system")
        def system() -> Solver:
            at_once = self._system.concurrency
            threads = anyio.CapacityLimiter(at_once)

            async def solve(state: TaskState, generate: Generate) -> TaskState:
                exchange = self._exchanges[str(state.sample_id)]
                if at_once == 1:  # needs no thread, and a model of this process would be slower on one
                    self._hold(exchange)
                else:
                    await anyio.to_thread.run_sync(self._hold, exchange, limiter=threads)
                _write_down(state, exchange, self._answers, self.failures[exchange.id])
                self._advance()
                return state

            return solve

        return system()

    def _hold(self, exchange: Exchange) -> None:
        """Ask the questions of one exchange that have no answer."""
        failures = self.failures.setdefault(exchange.id, [])
        for number, asked in enumerate(exchange.questions):
            if self._stopped.is_set():
                raise RuntimeError("the run was stopped")
            if self._answers.get(asked) is not None:
                continue
            question = exchange.question(number, self._answers)
            try:
                self._answers.keep(question, self._system.answer(question))
            except Unanswered as error:
                failures.append(Failure(exchange.id, asked.key, error.message))
            except BaseException as error:  # no other exchange is begun
                self._stopped.set()
                self._cause = self._cause or error
                raise RuntimeError(f"the run was stopped: {error}") from None


def score(log: Path, scores: Mapping[str, tuple[Mapping[str, float | None], str]]) -> None:
    """Write scores into the log of a group.

    Args: scores: exchange id -> its scores by dimension, None for one that it lacks, and why.
    """
    from inspect_ai import score as score_log
    from inspect_ai.log import read_eval_log, write_eval_log
    from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr

    names = dict.fromkeys(name for found, _ in scores.values() for name in found)
    if not names:
        return

    @scorer(metrics={"*": [mean(), stderr()]}, name="harken")
    def given() -> Scorer:
        async def find(state: TaskState, target: Target) -> Score:
            found, why = scores.get(str(state.sample_id), ({}, "unscored"))
            value = {name: found.get(name) for name in names}
            whole = {name: float("nan") if score is None else score for name, score in value.items()}
            return Score(value=whole, explanation=why)

        return find

    scored: EvalLog = score_log(read_eval_log(str(log)), given(), action="overwrite", display="none")
    write_eval_log(scored, str(log))


def _opening(exchange: Exchange) -> str:
    return "\n".join(exchange.said) or ", ".join(path.name for path in exchange.questions[-1].recordings)


def _write_down(state: TaskState, exchange: Exchange, answers: Answers, failures: Sequence[Failure]) -> None:
    """What was said, in the log's sample."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser

    state.messages = []
    for number, question in enumerate(exchange.questions):
        said = exchange.said[number] if number < len(exchange.said) else ""
        heard = f"[{question.recordings[-1].name}] {said} {question.instruction or ''}"
        state.messages.append(ChatMessageUser(content=heard.strip()))
        if (kept := answers.get(question)) is not None:
            state.messages.append(ChatMessageAssistant(content=kept.text))
            state.output.completion = kept.text
            state.metadata[question.key] = {"sound": kept.sound, "first_audio_s": kept.first_audio_s}
    state.metadata["unanswered"] = [f"{failure.key}: {failure.why}" for failure in failures]
