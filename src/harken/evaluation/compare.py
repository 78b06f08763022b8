"""Two finished runs side by side: for each measure, the difference on the items that both have, with an
interval over groups of items. Figures made on different items are never set against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harken.errors import DataError
from harken.evaluation.item_scores import ItemScore, read_scores
from harken.evaluation.report import Report, Row, figure, per_item
from harken.evaluation.statistics import Ratios, paired_bootstrap

Pair = tuple[ItemScore, ItemScore]


def compare(first: Path, second: Path, seed: int = 0) -> Report:
    """`first` - `second`, in each measure that both have.

    Args: first, second: what two runs of one benchmark on the same data wrote. seed: draws bootstrap samples.
    Raises: DataError where one has no scores of items, they are of different data, or have none in common.
    """
    (our_head, ours), (their_head, theirs) = read_scores(first), read_scores(second)
    for name in ("benchmark", "data"):
        if our_head.get(name) != their_head.get(name):
            raise DataError(
                f"{first} and {second} are of different {name}: {our_head.get(name)}, {their_head.get(name)}",
                "compare two runs of one benchmark on the same data",
            )
    by_measure, apart = _paired(ours, theirs)
    rows = [row for pairs in by_measure.values() if (row := _difference(pairs, seed)) is not None]
    if not rows and apart:
        raise DataError(
            f"different judges scored {first} and {second}: {', '.join(apart)}", "have one judge score both"
        )
    if not rows:
        raise DataError(f"{first} and {second} have no scored item in common", "score more items in both")
    setting = {
        "first": f"{our_head.get('system')} ({first})",
        "second": f"{their_head.get('system')} ({second})",
        "method": "first minus second on the items that are scored in both; 95 % by bootstrap over groups",
    }
    return Report(
        "compare", setting | ({"left out, by different judges": apart} if apart else {}), tuple(rows)
    )


def _paired(
    ours: Sequence[ItemScore], theirs: Sequence[ItemScore]
) -> tuple[dict[tuple[str, str, str], list[Pair]], list[str]]:
    """(data, what of the system, measure) -> both scores of each item that both have, scored or not. And the
    measures in which different judges scored them.
    """
    other = {(score.id, score.by, score.measure): score for score in theirs}
    found: dict[tuple[str, str, str], list[Pair]] = {}
    apart: dict[str, None] = {}
    for score in ours:
        match = other.get((score.id, score.by, score.measure))
        if match is not None and score.judge != match.judge:
            apart[f"{score.data}, {score.called}"] = None
        elif match is not None:
            found.setdefault((score.data, score.by, score.measure), []).append((score, match))
    return found, list(apart)


def _difference(pairs: Sequence[Pair], seed: int) -> Row | None:
    scored = [(a, b) for a, b in pairs if a.score is not None and b.score is not None]
    if not scored:
        return None
    first, groups = scored[0][0], [a.group for a, _ in scored]
    sides = [ratios([pair[side] for pair in scored]) for side in (0, 1)]
    difference = paired_bootstrap(sides[0], sides[1], groups, seed=seed)
    row = figure(first.data, first.by, first.measure, difference, len(scored))
    return {**row, "unscored": len(pairs) - len(scored)}


def ratios(scores: Sequence[ItemScore]) -> Ratios:
    """The weighted mean of scores that are there."""
    given = [(score.score or 0.0, score.weight) for score in scores]
    return per_item([score * weight for score, weight in given], [weight for _, weight in given])
