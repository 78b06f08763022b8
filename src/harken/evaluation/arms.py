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
from harken.evaluation.item_scores import FILE, ItemScore, read_scores
from harken.evaluation.report import Report, Row, figure
from harken.evaluation.statistics import Floats, crossed_bootstrap

Measure = tuple[str, str, str]
"""The data, what of the system is scored, the measure."""
Scores = dict[Measure, dict[str, ItemScore]]
"""By measure and item, what one run scored."""
METHOD = (
    "means over items and seeds; 95 % by bootstrap over groups of items and over seeds, differences paired"
)


def arms_report(folder: Path, against: Sequence[str], items: str = "", seed: int = 0) -> Report:
    """What each arm scores, and its difference to the arms in `against`.

    Args: items: only those whose ids begin so. seed: draws bootstrap samples.
    Raises: DataError where there are no runs, or none of an arm in `against`, or runs are of different data.
    """
    runs = _runs(folder, items)
    if missing := [arm for arm in against if arm not in runs]:
        raise DataError(f"{folder} has no run of {', '.join(missing)}", f"it has: {', '.join(runs)}")
    measures = dict.fromkeys(measure for seeds in runs.values() for of in seeds.values() for measure in of)
    rows: list[Row] = []
    for measure in measures:
        rows += [_row(arm, measure, [runs[arm]], seed) for arm in runs]
        rows += [
            _row(f"{arm} - {other}", measure, [runs[arm], runs[other]], seed)
            for other in against
            for arm in runs
            if arm != other
        ]
    about = {"runs": {arm: sorted(seeds) for arm, seeds in runs.items()}, "method": METHOD}
    return Report("arms", about | ({"items": items} if items else {}), tuple(row for row in rows if row["n"]))


def _runs(folder: Path, items: str) -> dict[str, dict[str, Scores]]:
    """Arm -> seed -> scores."""
    found: dict[str, dict[str, Scores]] = {}
    data: dict[object, Path] = {}
    for path in sorted(folder.glob(f"*-*/**/{FILE}")):
        arm, _, seed = path.relative_to(folder).parts[0].rpartition("-")
        head, scores = read_scores(path.parent)
        data[head.get("data")] = path.parent
        of_run = found.setdefault(arm, {}).setdefault(seed, {})
        for score in scores:
            if score.id.startswith(items) and score.score is not None:
                of_run.setdefault((score.data, score.by, score.measure), {})[score.id] = score
    if not found:
        raise DataError(f"{folder} holds no scored run", "folders NAME-SEED, each evaluated with --out in it")
    if len(data) > 1:
        raise DataError(f"runs are of different data: {', '.join(map(str, data.values()))}", "score one set")
    return found


def _row(called: str, measure: Measure, sides: Sequence[dict[str, Scores]], seed: int) -> Row:
    """A mean, or the difference of two sides on the seeds and items that all have."""
    seeds = sorted(set.intersection(*(set(side) for side in sides)))
    scored = [side[s].get(measure, {}) for side in sides for s in seeds]
    ids = sorted(set.intersection(*(set(of) for of in scored))) if scored else []
    name = measure[2] if measure[1] == "answer" else f"{measure[2]}, {measure[1]}"
    if not ids:
        return figure(measure[0], called, name, float("nan"), 0)
    values = [_values([side[s][measure] for s in seeds], ids) for side in sides]
    groups = [scored[0][key].group for key in ids]
    value = crossed_bootstrap(values[0] - values[1] if len(values) > 1 else values[0], groups, seed=seed)
    return figure(measure[0], called, name, value, len(ids))


def _values(runs: Sequence[dict[str, ItemScore]], ids: Sequence[str]) -> Floats:
    """(S, N)."""
    return np.array([[of[key].score for key in ids] for of in runs], dtype=float)
