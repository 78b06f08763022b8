"""Probes of a judge's habits: does it prefer what stands first, or what is longer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from harken.data.steps.replies import words
from harken.errors import InputError
from harken.evaluation.agreement import spearman
from harken.evaluation.judges.judging import SAMPLING, Item, judge
from harken.evaluation.judges.rubrics import Rubric
from harken.evaluation.judges.verdicts import Verdict
from harken.evaluation.report import bootstrap, per_item
from harken.evaluation.statistics import Interval
from harken.llm.base import LLM, Sampling
from harken.llm.cache import Usage

FILLER = {
    "en": " So that is what I have to say about it. I say it here in these words, and now I have said it.",
    "zh": "我想说的就是这些。我在这里用这些话说了出来，这样也就说完了。",
}
"""Words that add nothing to a reply but length."""


@dataclass(frozen=True)
class Candidates:
    """Replies to be judged side by side, and the texts for the rubric's other fields."""

    id: str
    fields: Mapping[str, str]
    replies: tuple[str, ...]


@dataclass(frozen=True)
class OrderBias:
    """What the place in a list does to a reply's score. Both figures are None where nothing was scored."""

    gain_of_earlier: Interval | None
    """Mean over replies of the score where it stood earlier, minus the score where it stood later."""
    same_order: Interval | None
    """Share of pairs of replies that were put in the same order, or called equal, both times; a judge that
    answers at a temperature above 0 loses some of it to chance."""
    n: int
    """Lists with a verdict both ways."""
    unscored: int
    usage: Usage


@dataclass(frozen=True)
class LengthBias:
    """What a reply's length does to its score. Figures are None where they are undefined."""

    with_length: Interval | None
    """Spearman's correlation of scores and lengths in words (Chinese: characters). Good replies may well be
    longer: it is the gain of padding that shows a bias."""
    gain_of_padding: Interval | None
    """Mean change of a reply's score when words that add nothing are put after it."""
    n: int
    """Replies with a verdict both ways."""
    unscored: int
    usage: Usage


def order_bias(
    llm: LLM,
    rubric: Rubric,
    lists: Sequence[Candidates],
    sampling: Sampling = SAMPLING,
    *,
    tries: int = 3,
    seed: int = 0,
) -> OrderBias:
    """Judge each list as it is and turned round.

    Args:
        rubric: for each place in the list it has a field and a dimension of one name, as `pairwise` does.
        seed: of the intervals.

    Raises: InputError for a rubric without two such places, or a list of another length.
    """
    places = [d.name for d in rubric.dimensions if d.name in rubric.fields]
    if len(places) < 2:
        raise InputError(f"rubric {rubric.name} has no list of replies", "try the rubric pairwise")
    if wrong := [each.id for each in lists if len(each.replies) != len(places)]:
        raise InputError(f"list {wrong[0]}: rubric {rubric.name} takes {len(places)} replies")
    verdicts, usage = [], Usage()
    for step in (1, -1):
        items = [
            Item(each.id, {**each.fields, **dict(zip(places, each.replies[::step], strict=True))})
            for each in lists
        ]
        judged = judge(llm, rubric, items, sampling, tries=tries)
        verdicts.append([judgement.outcome for judgement in judged.judgements])
        usage += judged.usage
    both = [
        ([a.scores[place] for place in places], [b.scores[place] for place in reversed(places)])
        for a, b in zip(*verdicts, strict=True)
        if isinstance(a, Verdict) and isinstance(b, Verdict)
    ]  # scores of each reply: in the list as it is, and turned round
    if not both:
        return OrderBias(None, None, 0, len(lists), usage)
    same = [
        [(x[i] > x[j], x[i] < x[j]) == (y[i] > y[j], y[i] < y[j]) for i, j in combinations(range(len(x)), 2)]
        for x, y in both
    ]
    return OrderBias(
        bootstrap(per_item([_gain(*scores) for scores in both]), seed=seed),
        bootstrap(per_item([np.mean(pairs) for pairs in same]), seed=seed),
        len(both),
        len(lists) - len(both),
        usage,
    )


def length_bias(
    llm: LLM,
    rubric: Rubric,
    items: Sequence[Item],
    sampling: Sampling = SAMPLING,
    *,
    lang: str = "en",
    tries: int = 3,
    seed: int = 0,
) -> LengthBias:
    """Judge each item as it is and with its `reply` padded.

    Args:
        lang: of the replies; a language of `FILLER`.
        seed: of the intervals.

    Raises: InputError for another language or an item without a reply.
    """
    if lang not in FILLER:
        raise InputError(f"there is no filler in {lang!r}", f"languages: {', '.join(FILLER)}")
    if wrong := [item.id for item in items if "reply" not in item.fields]:
        raise InputError(f"item {wrong[0]} has no reply")
    padded = [
        replace(item, fields={**item.fields, "reply": item.fields["reply"] + FILLER[lang]}) for item in items
    ]
    both = [judge(llm, rubric, each, sampling, tries=tries) for each in (items, padded)]
    plain, longer = (judged.means() for judged in both)
    usage = both[0].usage + both[1].usage
    scored = [item for item in items if item.id in plain and item.id in longer]
    if not scored:
        return LengthBias(None, None, 0, len(items), usage)
    scores = [plain[item.id] for item in scored]
    return LengthBias(
        spearman(scores, [len(words(item.fields["reply"])) for item in scored], seed=seed),
        bootstrap(per_item([longer[item.id] - plain[item.id] for item in scored]), seed=seed),
        len(scored),
        len(items) - len(scored),
        usage,
    )


def _gain(as_is: Sequence[float], turned: Sequence[float]) -> float:
    """Of standing earlier, mean over replies; the one in the middle of a list does not move."""
    half = len(as_is) // 2
    earlier = [a - b for a, b in zip(as_is[:half], turned[:half], strict=True)]
    later = [b - a for a, b in zip(as_is[-half:], turned[-half:], strict=True)]
    return float(np.mean(earlier + later))
