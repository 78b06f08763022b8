"""Asking a judge for verdicts on many items, once or several times over.

An unreadable answer is asked for again with another seed. What stays without a verdict is reported as
unscored, with its fault: it is never given a score, and never left out. A run that was stopped goes on at no
cost where the judge has a cache (`harken.llm.cache`). The judge is held to the form of a verdict where it can
be; what it wrote is read with the same care where it cannot.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from harken.errors import InputError, RecipeError
from harken.evaluation.judges.rubrics import Rubric
from harken.evaluation.judges.verdicts import DETAIL, Fault, Verdict, json_schema, parse_verdict
from harken.llm.base import LLM, Completion, LLMError, Sampling, schema_text
from harken.llm.cache import Usage
from harken.llm.templates import Message, render

NO_ANSWER = "no answer"
CUT_OFF = "cut off"
SAMPLING = Sampling(max_tokens=1024, temperature=0.6, top_p=0.95)
"""At temperature 0 another seed gives the same answer again, so that further tries are of little use."""


@dataclass(frozen=True)
class Item:
    """What is judged: the texts for the rubric's fields, under an id."""

    id: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Judgement:
    """What became of an item in one repeat."""

    id: str
    repeat: int
    outcome: Verdict | Fault
    tries: int
    """Answers that were asked for."""
    seed: int
    """Of the last of them."""


@dataclass(frozen=True)
class Judging:
    """All judgements, in the order of the items, each item's repeats together."""

    judge: str
    rubric: str
    sampling: Sampling
    judgements: tuple[Judgement, ...]
    usage: Usage
    """Tokens and seconds of what the judge was asked; answers from a cache cost none."""

    def scores(self, dimension: str | None = None) -> dict[str, list[float]]:
        """Id -> its scores over repeats, on a dimension or in the mean of all; none for an unscored item."""
        found: dict[str, list[float]] = {judgement.id: [] for judgement in self.judgements}
        for judgement in self.judgements:
            verdict = judgement.outcome
            if isinstance(verdict, Verdict):
                found[judgement.id].append(verdict.scores[dimension] if dimension else verdict.mean)
        return found

    def means(self, dimension: str | None = None) -> dict[str, float]:
        """Id -> the mean of its scores; items without any are not in it, but in `unscored`."""
        return {id: sum(scores) / len(scores) for id, scores in self.scores(dimension).items() if scores}

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Id -> its verdict, the last of several; items without any are not in it."""
        return {j.id: j.outcome for j in self.judgements if isinstance(j.outcome, Verdict)}

    @property
    def unscored(self) -> tuple[Judgement, ...]:
        """Those whose outcome is a fault."""
        return tuple(j for j in self.judgements if isinstance(j.outcome, Fault))

    @property
    def faults(self) -> dict[str, int]:
        """Reason -> how many judgements are unscored for it."""
        return dict(Counter(j.outcome.reason for j in self.unscored if isinstance(j.outcome, Fault)))

    @property
    def in_prose(self) -> int:
        """Verdicts with prose around the JSON object."""
        return sum(isinstance(j.outcome, Verdict) and j.outcome.in_prose for j in self.judgements)


@runtime_checkable
class Scorer(Protocol):
    """A judge that is not asked in words: it gives scores for texts, the same every time."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str:
        """What tells two of one name apart."""
        ...

    def judged(self, rubric: Rubric, items: Sequence[Item]) -> Judging:
        """Verdicts on every item, in order. Raises RecipeError for a rubric that it cannot score."""
        ...


Judge = LLM | Scorer


def judge(
    llm: Judge,
    rubric: Rubric,
    items: Sequence[Item],
    sampling: Sampling = SAMPLING,
    *,
    tries: int = 3,
    repeats: int = 1,
) -> Judging:
    """Verdicts on every item, in the order given.

    Args:
        llm: who judges; a scorer is neither sampled nor asked again.
        sampling: its seed is the first; every repeat and every try has its own.
        tries: answers to ask for before an item counts as unscored. An error of the judge's client is final
            for its item: the client has tried again.
        repeats: how often each item is judged.

    Raises: InputError for two items of one id or an item that lacks a field, RecipeError for a rubric that
        takes a judge that hears, HarkenError where the judge cannot start at all.
    """
    if rubric.hears:
        raise RecipeError(f"rubric {rubric.name} takes a judge that hears", "choose a rubric for text")
    texts = filled(rubric, items)
    if isinstance(llm, Scorer):
        return llm.judged(rubric, items)
    prompts = {id: render(llm.template, [Message("user", text)]) for id, text in texts.items()}
    return judge_prompts(llm, rubric, prompts, sampling, tries=tries, repeats=repeats)


def judge_prompts(
    llm: LLM,
    rubric: Rubric,
    prompts: Mapping[str, str],
    sampling: Sampling = SAMPLING,
    *,
    tries: int = 3,
    repeats: int = 1,
) -> Judging:
    """As `judge`, of items that are prompts already. Args: prompts: id -> prompt, as `llm` takes it."""
    if tries < 1 or repeats < 1:
        raise InputError(f"tries and repeats are at least 1, got {tries} and {repeats}")
    name = f"{llm.name}@{llm.revision}"
    sampling = replace(sampling, json_schema=schema_text(json_schema(rubric)))
    by_repeat, usage = [], Usage()
    for repeat in range(repeats):
        first_seed = sampling.seed + repeat * tries
        seeds = [replace(sampling, seed=first_seed + number) for number in range(tries)]
        judgements, used = _judge_once(llm, rubric, prompts, seeds, repeat)
        by_repeat.append(judgements)
        usage += used
    in_order = tuple(judgement for of_item in zip(*by_repeat, strict=True) for judgement in of_item)
    return Judging(name, rubric.label, sampling, in_order, usage)


def filled(rubric: Rubric, items: Sequence[Item]) -> dict[str, str]:
    """Id -> what is asked. Raises: InputError as `judge`."""
    texts: dict[str, str] = {}
    for item in items:
        if item.id in texts:
            raise InputError(f"two items have the id {item.id!r}", "give each item an id of its own")
        try:
            texts[item.id] = rubric.filled(item.fields)
        except InputError as error:
            raise InputError(f"item {item.id}: {error.message}", error.hint) from None
    return texts


def _judge_once(
    llm: LLM, rubric: Rubric, prompts: Mapping[str, str], samplings: Sequence[Sampling], repeat: int
) -> tuple[list[Judgement], Usage]:
    """One judgement an item; each of `samplings` is for a try."""
    found: dict[str, Judgement] = {}
    open_ids, usage = list(prompts), Usage()
    for number, sampling in enumerate(samplings, 1):
        if not open_ids:
            break
        start_s = time.monotonic()
        asked = [prompts[id] for id in open_ids]
        answers = llm.complete(asked, sampling)
        usage += _usage(asked, answers) + Usage(seconds=time.monotonic() - start_s)
        for id, answer in zip(open_ids, answers, strict=True):
            found[id] = Judgement(id, repeat, _outcome(answer, rubric), number, sampling.seed)
        open_ids = [id for id in open_ids if _may_be_asked_again(found[id].outcome)]
    return [found[id] for id in prompts], usage


def _outcome(answer: Completion | LLMError, rubric: Rubric) -> Verdict | Fault:
    if isinstance(answer, LLMError):
        return Fault(NO_ANSWER, answer.message)
    outcome = parse_verdict(answer.text, rubric)
    if isinstance(outcome, Fault) and answer.finish == "length":
        return Fault(CUT_OFF, answer.text[-DETAIL:])
    return outcome


def _may_be_asked_again(outcome: Verdict | Fault) -> bool:
    return isinstance(outcome, Fault) and outcome.reason != NO_ANSWER


def _usage(asked: Sequence[str], answers: Sequence[Completion | LLMError]) -> Usage:
    """As `CachedLLM` counts: a prompt that is equal to another of its batch cost nothing."""
    distinct = dict(zip(asked, answers, strict=True)).values()
    new = [answer for answer in distinct if isinstance(answer, Completion) and not answer.cached]
    failed = sum(isinstance(answer, LLMError) for answer in answers)
    return Usage(
        prompts=len(answers),
        cached=len(answers) - failed - len(new),
        failed=failed,
        prompt_tokens=sum(answer.prompt_tokens for answer in new),
        completion_tokens=sum(answer.completion_tokens for answer in new),
    )
