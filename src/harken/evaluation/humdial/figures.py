"""The report on a run of HumDial: means by dimension, the final score or why there is none, what was counted,
and the figures that the IEAT paper published, marked as such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from harken.evaluation.humdial.dialogues import Reading
from harken.evaluation.humdial.scores import MEAN, TASKS, Verdict, final_interval, task_means
from harken.evaluation.humdial.verdicts import HEARD, RUBRICS, Judged, scored_dimensions
from harken.evaluation.humdial.voices import Voices
from harken.evaluation.judges.by_ear import BY_EAR, TRUST_BY_EAR, WITHHELD_BY_EAR
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.judges.trial import TRUST, WITHHELD, described
from harken.evaluation.language import Language
from harken.evaluation.planted import Trust
from harken.evaluation.published import IEAT_PAPER, TABLE_1, TABLE_2, Published
from harken.evaluation.report import Report, Row, figure
from harken.evaluation.statistics import Interval

MEASURED, PUBLISHED = "measured here", "published"
FINAL = "0.2 T1 + 0.2 T2 + 0.1 D1 + 0.25 D2 + 0.25 D3"


@dataclass(frozen=True)
class Counts:
    """What was wrong on the way to the verdicts."""

    problems_of_files: int
    unanswered_turns: int
    problems_of_submission: int


def humdial_report(
    system: str,
    judged: Judged,
    counts: Counts,
    *,
    judge: str | None,
    reading: Reading,
    voices: Voices,
    delays_s: Mapping[tuple[Language, int], Sequence[float]],
    trust: Mapping[Language, Trust],
    seed: int = 0,
) -> Report:
    """The report.

    Args:
        judge: who judged the texts; None for nobody. voices: who scored the sound.
        delays_s: times to first audio.
        trust: in the judge; what it scored is withheld where it is not shown. Empty for one not tried.
    """
    withheld = [language for language, of_judge in trust.items() if not of_judge.shown]
    rows: list[Row] = []
    for language, by_task in judged.verdicts.items():
        for task, verdicts in by_task.items():
            data = f"{language} task {task} {TASKS[task].name}"
            scored = scored_dimensions(task, judge is not None, voices.scores is not None)
            means = _means(data, system, task, verdicts, scored, seed)
            rows += _shown_means(means, len(verdicts), language in withheld, voices.withheld)
            if delays := delays_s.get((language, task)):
                row = figure(data, system, "first audio, median s", median(delays), len(delays))
                rows.append({**row, "unscored": None, "from": MEASURED})
    missing = _why_no_final(judged, judge, voices, withheld)
    if missing is None:
        rows += _finals(system, judged, withheld, seed)
    setting = {
        "system": system,
        "judge": judge or "none",
        TRUST: described(judge, trust),
        "rubrics": [rubric(name).label for name in RUBRICS.values()],
        "target turn of task 3": reading,
        **{name.replace("_", " "): count for name, count in asdict(counts).items()},
        "replies in the other language": judged.wrong_language,
        "unscored dialogues": dict(judged.faults) or "none",
        "judge's tokens": f"{judged.usage.prompt_tokens} read, {judged.usage.completion_tokens} written",
        "judge's seconds": judged.usage.seconds,
        **voices.setting(),
        "final score": missing or _final(voices, withheld),
        "published figures": f"{IEAT_PAPER}, Tables 1 and 2; judged by the challenge's own judge and people",
    }
    return Report("humdial", setting, (*rows, *published_rows()))


def published_rows() -> list[Row]:
    """The paper's figures on Track 1, each marked as published."""

    def rows(table: Sequence[Published], data: str) -> list[Row]:
        return [
            {"data": data, "system": row.system, "measure": name, "value": score, "n": None,
             "unscored": None, "from": PUBLISHED}
            for row in table
            for name, score in row.scores.items()
            if not name.startswith("AQA")
        ]  # fmt: skip

    return rows(TABLE_1, "dev set") + rows(TABLE_2, "test set")


def _means(
    data: str, system: str, task: int, verdicts: Sequence[Verdict], scored: Sequence[str], seed: int
) -> list[Row]:
    """A row a dimension; the mean of a task where all its dimensions are scored."""
    means = task_means(TASKS[task], verdicts, seed)
    whole = len(scored) == len(TASKS[task].dimensions)
    return [
        {"data": data, "system": system, "measure": name, "value": _shown(mean.value), "n": mean.scored,
         "unscored": mean.unscored, "from": MEASURED}
        for name, mean in means.items()
        if name != MEAN or whole
    ]  # fmt: skip


def _shown_means(means: Sequence[Row], n: int, unread: bool, unheard: bool) -> Sequence[Row]:
    """Args: n: dialogues. unread, unheard: is what the judge of texts, and of sound, scored withheld?"""
    means = _without_judged(means, n) if unread else means
    return _without_ears(means) if unheard else means


def _without_judged(means: Sequence[Row], n: int) -> list[Row]:
    """What people rated, and a row without a value in the place of what the judge scored."""
    rated = [row for row in means if row["measure"] in HEARD]
    return [{**means[0], "measure": WITHHELD, "value": None, "n": n, "unscored": None}, *rated]


def _without_ears(means: Sequence[Row]) -> list[Row]:
    """With what a judge that hears scored alone named as withheld; what people rated stays."""
    return [
        {**row, "measure": f"{row['measure']}: {WITHHELD_BY_EAR}"}
        if row["measure"] in HEARD and not row["n"]
        else row
        for row in means
    ]


def _final(voices: Voices, withheld: Sequence[Language]) -> str:
    """How the final score is made, and who scored the sound in it."""
    return f"{FINAL}; D2 and D3 by {voices.who()}" + (f"; withheld in {withheld[0]}" if withheld else "")


def _finals(system: str, judged: Judged, withheld: Sequence[Language], seed: int) -> list[Row]:
    """By language and, where there are two, combined; without languages that are `withheld`."""
    each = [{language: of} for language, of in judged.verdicts.items() if language not in withheld]
    rows: list[Row] = []
    for verdicts in [*each, judged.verdicts] if len(each) > 1 else each:
        interval = final_interval(verdicts, seed)
        n = sum(len(of_task) for by_task in verdicts.values() for of_task in by_task.values())
        row = {"data": " and ".join(verdicts), "system": system, "measure": "final score", "n": n}
        rows.append({**row, "value": _shown(interval), "unscored": None, "from": MEASURED})
    return rows


def _why_no_final(
    judged: Judged, judge: str | None, voices: Voices, withheld: Sequence[Language]
) -> str | None:
    """None where there is a final score."""
    if judge is None:
        return "none: there is no judge of the texts"
    if set(withheld) >= set(judged.verdicts):
        return f"withheld: see {TRUST}"
    if voices.scores is None and voices.withheld:
        return f"withheld: see {TRUST_BY_EAR}"
    if voices.scores is None:
        return f"none: {' and '.join(HEARD)} take people's ratings (--ratings) or a {BY_EAR} (--ears)"
    for language, by_task in judged.verdicts.items():
        if lacking := [task for task in TASKS if task not in by_task]:
            return f"none: {language} has no dialogue of task {', '.join(map(str, lacking))}"
        if final_interval({language: by_task}) is None:
            return f"none: a dimension of {language} has no score at all"
    return None


def _shown(value: Interval | None) -> list[float] | None:
    """An interval as rows hold it."""
    return None if value is None else [value.value, value.low, value.high]
