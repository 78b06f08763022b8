"""A judge's trial as rows of a report: a row a figure, each with what it is over."""

from __future__ import annotations

from math import sqrt

from harken.evaluation.agreement import Repeatability
from harken.evaluation.judges.judging import SAMPLING
from harken.evaluation.judges.trial import Trial
from harken.evaluation.report import Row
from harken.evaluation.statistics import Interval
from harken.llm.cache import Usage


def trial_rows(trial: Trial) -> list[Row]:
    """The figures of a trial in one language; one that is undefined has no value."""
    data, judge = f"{trial.lang} planted replies", trial.planted.judging.judge
    apart, order, length = trial.planted.separation, trial.order, trial.length
    probed = order.n + order.unscored + length.n + length.unscored
    figures = [
        *((f"AUC, {pair[0]} over {pair[1]}", auc, apart.dialogues) for pair, auc in apart.auc.items()),
        ("gain of standing first", order.gain_of_earlier, order.n),
        ("same order when turned round", order.same_order, order.n),
        ("gain of padding", length.gain_of_padding, length.n),
        ("Spearman of score and length", length.with_length, length.n),
        _deviation(0.0, trial.steady),
        _deviation(SAMPLING.temperature, trial.drawn),
        ("unscored", sum(apart.unscored.values()), apart.replies),
        ("unscored in order and length", order.unscored + length.unscored, probed),
        *_cost(trial.usage),
    ]
    return [trial_row(data, judge, *figure) for figure in figures]


def trial_row(data: str, judge: str, measure: str, value: Interval | object, n: int) -> Row:
    """One row. Args: value: an interval, or what is safe in JSON."""
    shown = [value.value, value.low, value.high] if isinstance(value, Interval) else value
    return {"data": data, "judge": judge, "measure": measure, "value": shown, "n": n}


def _deviation(temperature: float, of: Repeatability | None) -> tuple[str, float | None, int]:
    """Of an item's scores over repeats, and how many items were repeated."""
    value, n = (sqrt(of.within), of.n) if of else (None, 0)
    return f"sd over repeats, temperature {temperature:g}", value, n


def _cost(usage: Usage) -> list[tuple[str, float | None, int]]:
    """What was asked now; an answer that was kept is counted and cost nothing."""
    asked = usage.prompts - usage.cached - usage.failed
    rate = 60 * asked / usage.seconds if asked and usage.seconds else None
    return [
        ("answers from the cache", usage.cached, usage.prompts),
        ("tokens read", usage.prompt_tokens, asked),
        ("tokens written", usage.completion_tokens, asked),
        ("seconds", usage.seconds, asked),
        ("items a minute", rate, asked),
    ]
