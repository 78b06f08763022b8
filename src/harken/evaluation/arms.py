"""Arms of a comparison side by side, over several seeds: what each scores, and how it differs from others.

Runs stand in folders NAME-SEED, each with the item scores of one evaluation in or under it. Items of a group
(a dialogue, a speaker's sentence) are drawn together, and so are the runs of a seed: an interval holds for
other dialogues and for other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harken.errors import DataError
from harken.evaluation.item_scores import ANSWER, FILE, ItemScore, read_scores
from harken.evaluation.report import Report, Row, figure
from harken.evaluation.statistics import Ratios, crossed_bootstrap

Measure = tuple[str, str, str]
"""The data, what of the system is scored, the measure."""
Scores = dict[Measure, dict[str, ItemScore]]
"""By measure and item, what one run scored."""
METHOD = (
    "means over items and seeds, by weight where items have some; 95 % by bootstrap over groups of items and "
    "over seeds, differences paired"
)


def arms_report(
    folder: Path,
    against: Sequence[str],
    *,
    items: str = "",
    measure: str = "",
    pairs: bool = False,
    seed: int = 0,
) -> Report:
    """What each arm scores, and its difference to the arms in `against`.

    Args:
        items: only those whose ids begin so.
        measure: only measures whose names begin so.
        pairs: also on which share of the items an arm scores above the other; equal scores count half.
        seed: draws bootstrap samples.

    Raises: DataError where there are no runs, or none of an arm in `against`, or no such measure, or runs are
        of different data or were scored by different judges.
    """
    runs = _runs(folder, items)
    if missing := [arm for arm in against if arm not in runs]:
        raise DataError(f"{folder} has no run of {', '.join(missing)}", f"it has: {', '.join(runs)}")
    found = dict.fromkeys(one for seeds in runs.values() for of in seeds.values() for one in of)
    measures = [one for one in found if _name(one).startswith(measure)]
    if found and not measures:
        names = ", ".join(dict.fromkeys(map(_name, found)))
        raise DataError(f"{folder} has no measure that begins with {measure!r}", f"it has: {names}")
    rows: list[Row] = []
    left_out: list[str] = []
    for scored in measures:
        compared = [(arm, [runs[arm]]) for arm in runs]
        compared += [
            (f"{arm} - {other}", [runs[arm], runs[other]])
            for other in against
            for arm in runs
            if arm != other
        ]
        for called, sides in compared:
            row = _row(called, scored, sides, seed)
            rows += [row] if row else []
            rows += [_preferred(called, scored, sides, seed)] if row and pairs and len(sides) == 2 else []
            left_out += [] if row else [f"{called}: {scored[0]}, {_name(scored)}"]
    about = {"runs": {arm: sorted(seeds) for arm, seeds in runs.items()}, "method": METHOD}
    about |= ({"items": items} if items else {}) | ({"only": measure} if measure else {})
    return Report("arms", about | ({"not scored in every run": left_out} if left_out else {}), tuple(rows))


def _runs(folder: Path, items: str) -> dict[str, dict[str, Scores]]:
    """Arm -> seed -> scores."""
    found: dict[str, dict[str, Scores]] = {}
    data: dict[object, Path] = {}
    judges: dict[tuple[str, str, str], Path] = {}
    for path in sorted(folder.glob(f"*-*/**/{FILE}")):
        arm, _, seed = path.relative_to(folder).parts[0].rpartition("-")
        head, scores = read_scores(path.parent)
        data[head.get("data")] = path.parent
        of_run = found.setdefault(arm, {}).setdefault(seed, {})
        for score in scores:
            if score.id.startswith(items) and score.score is not None:
                of_run.setdefault((score.data, score.by, score.measure), {})[score.id] = score
                if score.judge is not None:
                    judges[score.task, score.measure, score.judge] = path.parent
    if not found:
        raise DataError(f"{folder} holds no scored run", "folders NAME-SEED, each evaluated with --out in it")
    if len(data) > 1:
        raise DataError(f"runs are of different data: {', '.join(map(str, data.values()))}", "score one set")
    if len(judges) > len({key[:2] for key in judges}):
        raise DataError(
            f"different judges scored {', '.join(map(str, dict.fromkeys(judges.values())))}",
            "have one judge score all",
        )
    return found


def _row(called: str, measure: Measure, sides: Sequence[dict[str, Scores]], seed: int) -> Row | None:
    """A mean, or the difference of two sides on the seeds and items that all have; None without any."""
    ids, groups, ratios = _shared(measure, sides)
    if not ids:
        return None
    value = crossed_bootstrap(ratios[0], groups, *ratios[1:], seed=seed)
    return figure(measure[0], called, _name(measure), value, len(ids))


def _preferred(called: str, measure: Measure, sides: Sequence[dict[str, Scores]], seed: int) -> Row:
    """The share of what two sides both have on which the first scores above; equal scores count half."""
    ids, groups, (ours, theirs) = _shared(measure, sides)
    above = (np.sign(ours.above - theirs.above) + 1) / 2 * ours.below
    value = crossed_bootstrap(Ratios(above, ours.below), groups, seed=seed)
    return figure(measure[0], called, f"{_name(measure)}: share above", value, len(ids))


def _shared(
    measure: Measure, sides: Sequence[dict[str, Scores]]
) -> tuple[list[str], list[str], list[Ratios]]:
    """Items that all sides have in all seeds that all have, the groups of these, and each side's scores."""
    seeds = sorted(set.intersection(*(set(side) for side in sides)))
    scored = [side[s].get(measure, {}) for side in sides for s in seeds]
    ids = sorted(set.intersection(*(set(of) for of in scored))) if scored else []
    groups = [scored[0][key].group for key in ids]
    return ids, groups, [_ratios([side[s][measure] for s in seeds], ids) for side in sides] if ids else []


def _name(measure: Measure) -> str:
    return measure[2] if measure[1] == ANSWER else f"{measure[2]}, {measure[1]}"


def _ratios(runs: Sequence[dict[str, ItemScore]], ids: Sequence[str]) -> Ratios:
    """Weighted scores and weights, an item a row, a run a column."""
    every = [[of[key] for of in runs] for key in ids]
    above = [[(score.score or 0.0) * score.weight for score in of_item] for of_item in every]
    return Ratios(np.array(above), np.array([[score.weight for score in of_item] for of_item in every]))
