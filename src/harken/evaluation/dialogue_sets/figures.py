"""The report on a run over a set of dialogues: means over items with intervals, chance beside choices, and
what was counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median

from harken.evaluation.compare import ratios
from harken.evaluation.dialogue_sets.judged import JUDGED
from harken.evaluation.dialogue_sets.sound import FIRST_AUDIO, Contrasted
from harken.evaluation.dialogue_sets.voices import HEARD, VoiceScores
from harken.evaluation.item_scores import ANSWER, ItemScore
from harken.evaluation.judges.by_ear import WITHHELD_BY_EAR
from harken.evaluation.judges.trial import WITHHELD, withheld
from harken.evaluation.language import Language
from harken.evaluation.planted import Trust
from harken.evaluation.report import Report, Row, bootstrap
from harken.evaluation.statistics import Interval

METHOD = (
    "means over items; 95 % by bootstrap over groups of items; an answer that names no candidate or no "
    "emotion is wrong; one that is not there is unscored"
)
WITHHELD_HEARD = f"{HEARD}scores: {WITHHELD_BY_EAR}"
NOT_MEASURED = "agreement of a reply's words with its voice"


def withhold(
    scores: Sequence[ItemScore], trust: Mapping[Language, Trust], voices: VoiceScores | None
) -> list[ItemScore]:
    """The scores, of which those of a judge that is not trusted are unscored, and say so.

    Args: trust: in the judge of texts, where it was tried. voices: of the judge that hears.
    """
    untrusted, deaf = withheld(trust), voices is not None and voices.ear.withheld

    def why(score: ItemScore) -> str | None:
        if score.measure.startswith(JUDGED) and score.lang in untrusted:
            return WITHHELD
        return WITHHELD_HEARD if deaf and score.measure.startswith(HEARD) else None

    return [replace(each, score=None, why=hides) if (hides := why(each)) else each for each in scores]


def is_withheld(score: ItemScore) -> bool:
    """Is it a score of a judge that is not trusted?"""
    return score.why in (WITHHELD, WITHHELD_HEARD)


def dialogues_report(
    system: str,
    scores: Sequence[ItemScore],
    contrasts: Mapping[str, Sequence[Contrasted]],
    setting: Mapping[str, object],
    seed: int = 0,
) -> Report:
    """The report. In the place of scores that are withheld stands one row that says so.

    Args: contrasts: data -> how replies to sad turns differ from those to happy ones.
    """
    measures = _by_measure(scores)
    hidden = {(of[0].data, str(of[0].why)): len(of) for of in measures if is_withheld(of[0])}
    rows = [row for of in measures if not is_withheld(of[0]) for row in _rows(system, of, seed)]
    rows += [_row(data, system, name, None, 0, count) for (data, name), count in hidden.items()]
    for data, found in contrasts.items():
        rows += [_row(data, system, each.measure, each.value, each.n, each.unscored) for each in found]
    order = list(dict.fromkeys(score.data for score in scores))
    rows.sort(key=lambda row: order.index(str(row["data"])))
    unscored = Counter(score.why for score in scores if score.score is None and not is_withheld(score))
    about = {"system": system, **setting, "unscored scores": dict(unscored) or "none"}
    return Report("dialogues", {**about, "method": METHOD, "not measured": NOT_MEASURED}, tuple(rows))


def _by_measure(scores: Sequence[ItemScore]) -> list[list[ItemScore]]:
    """The scores of each measure, of one language, task and part of the system."""
    found: dict[tuple[str, str, str], list[ItemScore]] = {}
    for score in scores:
        found.setdefault((score.data, score.by, score.measure), []).append(score)
    return list(found.values())


def _rows(system: str, scores: Sequence[ItemScore], seed: int) -> list[Row]:
    """The mean of one measure; of times also the median."""
    first, scored = scores[0], [score for score in scores if score.score is not None]
    who = system if first.by == ANSWER else first.by
    mean = bootstrap(ratios(scored), [score.group for score in scored], seed) if scored else None
    unscored = len(scores) - len(scored)
    row = dict(_row(first.data, who, first.measure, mean, len(scored), unscored))
    chances = [score.chance for score in scored if score.chance is not None]
    if chances:
        row["chance"] = fmean(chances)
    if first.measure != FIRST_AUDIO or not scored:
        return [row]
    middle = median(score.score for score in scored if score.score is not None)
    return [row, _row(first.data, who, "first audio, median s", middle, len(scored), unscored)]


def _row(
    data: str, system: str, measure: str, value: Interval | float | None, n: int, unscored: int | None
) -> Row:
    number = [value.value, value.low, value.high] if isinstance(value, Interval) else value
    return {
        "data": data, "system": system, "measure": measure, "value": number, "n": n, "unscored": unscored,
    }  # fmt: skip
