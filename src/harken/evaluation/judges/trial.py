"""A judge on trial: what it can tell apart, what it lets itself be led by, and how steady it is.

Replies of known order are planted in dialogues that come with Harken, so that a trial is the same everywhere:
a judge that keeps its answers (`harken.llm.cache`) is asked for it once. Showing a trial is left to
`harken.evaluation.judges.trial_report`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from harken.data.files import json_rows
from harken.errors import InputError
from harken.evaluation.agreement import Repeatability, repeatability
from harken.evaluation.judges import rubrics
from harken.evaluation.judges.judging import SAMPLING, Item, Judge, Judging, judge
from harken.evaluation.judges.probes import Candidates, LengthBias, OrderBias, length_bias, order_bias
from harken.evaluation.judges.rubrics import Rubric
from harken.evaluation.language import LANGUAGES, Language
from harken.evaluation.planted import (
    GENERIC,
    GOLD,
    Planted,
    Separation,
    Trust,
    plant,
    separation,
    trusted,
)
from harken.llm.base import LLM
from harken.llm.cache import Usage

DIALOGUES = 12
"""In which replies are planted, where nobody says how many."""
REPEATS = 3
REPEATED = 3
"""Dialogues whose gold and generic replies are judged `REPEATS` times."""
TRUST = "trust in the judge"
WITHHELD = f"judged scores: withheld, see {TRUST}"


@dataclass(frozen=True)
class PlantedTrial:
    """What a judge made of planted replies, and whether its rankings are shown for it."""

    judging: Judging
    separation: Separation
    trust: Trust


@dataclass(frozen=True)
class Trial:
    """All that is known of a judge in one language."""

    lang: str
    planted: PlantedTrial
    order: OrderBias
    length: LengthBias
    """Of the gold replies, so that a longer one is not a better one."""
    steady: Repeatability | None
    """At temperature 0, over seeds; None where too little was scored."""
    drawn: Repeatability | None
    """At the temperature that judging has."""
    usage: Usage
    """Of the whole trial; answers from a cache cost nothing."""


def starter_dialogues(lang: str, limit: int | None = None) -> list[tuple[str, str]]:
    """(conversation, gold reply) of the dialogues that come with Harken, up to their last reply.

    Raises: InputError for a language in which there are none.
    """
    if lang not in LANGUAGES:
        raise InputError(f"there are no dialogues in {lang!r}", f"languages: {', '.join(LANGUAGES)}")
    path = Path(str(files("harken.data") / "starter" / f"{lang}.jsonl"))
    rows = [row for _, row in json_rows(path)][:limit]
    return [("\n".join(map(line, row["turns"][:-1])), row["turns"][-1]["text"]) for row in rows]


def try_planted(
    llm: Judge, rubric: Rubric, lang: str, dialogues: int = DIALOGUES, seed: int = 0
) -> PlantedTrial:
    """Let it judge planted replies, four a dialogue.

    Args:
        rubric: one with the fields `conversation` and `reply`.
        dialogues: the first so many of `starter_dialogues`; two or more.
        seed: of the intervals; what is planted never changes.

    Raises: as `plant` and `judge`.
    """
    return _tried(llm, rubric, plant(starter_dialogues(lang, dialogues), lang), seed)


def try_judge(
    llm: LLM,
    rubric: Rubric,
    lang: str,
    dialogues: int = DIALOGUES,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Trial:
    """As `try_planted`, and the judge's habits: order, length, and what repeating changes.

    Args: repeats: how often a few of the replies are judged.
    """
    found = plant(starter_dialogues(lang, dialogues), lang)
    planted = _tried(llm, rubric, found, seed)
    order = order_bias(llm, rubrics.rubric("pairwise"), _pairs(found), seed=seed)
    gold = [each.item for each in found if each.quality == GOLD]
    length = length_bias(llm, rubric, gold, lang=lang, seed=seed)
    few = [each.item for each in found if each.dialogue < REPEATED and each.quality in (GOLD, GENERIC)]
    steady, drawn = (
        judge(llm, rubric, few, replace(SAMPLING, temperature=temperature), repeats=repeats)
        for temperature in (0.0, SAMPLING.temperature)
    )
    usage = planted.judging.usage + order.usage + length.usage + steady.usage + drawn.usage
    return Trial(lang, planted, order, length, _repeatability(steady), _repeatability(drawn), usage)


def trust_in(
    llm: Judge | None, rubric: Rubric, languages: Iterable[Language], dialogues: int, seed: int = 0
) -> dict[Language, Trust]:
    """Whether a benchmark shows what it scored, by language; nothing where it is not tried.

    Args: dialogues: as of `try_planted`; 0 does not try.
    """
    if llm is None or dialogues == 0:
        return {}
    return {lang: try_planted(llm, rubric, lang, dialogues, seed).trust for lang in dict.fromkeys(languages)}


def withheld(trust: Mapping[Language, Trust]) -> list[str]:
    """Languages whose judged scores are not shown: the judge was tried, and is not to be trusted."""
    return [language for language, found in trust.items() if not found.shown]


def described(judge: object | None, trust: Mapping[Language, Trust]) -> object:
    """What a report's setting says under `TRUST`."""
    return {lang: each.why for lang, each in trust.items()} or ("not tried" if judge else "no judge")


def _tried(llm: Judge, rubric: Rubric, planted: Sequence[Planted], seed: int) -> PlantedTrial:
    judging = judge(llm, rubric, [each.item for each in planted])
    found = separation(planted, judging, seed=seed)
    return PlantedTrial(judging, found, trusted(found))


def _pairs(planted: Sequence[Planted]) -> list[Candidates]:
    """The gold and the generic reply to each dialogue, side by side."""
    by_quality: dict[str, dict[int, Item]] = {GOLD: {}, GENERIC: {}}
    for each in planted:
        if each.quality in by_quality:
            by_quality[each.quality][each.dialogue] = each.item
    return [
        Candidates(str(number), item.fields, (item.fields["reply"], other.fields["reply"]))
        for (number, item), other in zip(by_quality[GOLD].items(), by_quality[GENERIC].values(), strict=True)
    ]


def _repeatability(judging: Judging) -> Repeatability | None:
    """None where fewer than two items were scored twice."""
    scores = judging.scores()
    if sum(len(of_item) > 1 for of_item in scores.values()) < 2:
        return None
    return repeatability(scores)


def line(turn: dict[str, str]) -> str:
    """A turn as judges of HumDial read it."""
    if turn["speaker"] == "assistant":
        return f"Assistant: {turn['text']}"
    return f"User ({turn['emotion']}): {turn['text']}"
