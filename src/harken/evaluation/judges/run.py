"""`harken evaluate judge`: a judge's trial in each language, and its agreement with what is known.

OUT/verdicts.jsonl          what the judge said of the planted replies
OUT/judge.{jsonl,md}        the report
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harken.evaluation.judges.judging import SAMPLING
from harken.evaluation.judges.rubrics import Rubric, named_rubric, rubric
from harken.evaluation.judges.saved import save_verdicts, verdict_rows
from harken.evaluation.judges.scores import agreement_rows, read_scores
from harken.evaluation.judges.select import open_judge
from harken.evaluation.judges.trial import DIALOGUES, Trial, try_judge
from harken.evaluation.judges.trial_report import trial_rows
from harken.evaluation.language import LANGUAGES
from harken.evaluation.progress import steps
from harken.evaluation.report import Report, Row
from harken.llm.base import LLM

RUBRIC = "humdial-task3-text"


@dataclass(frozen=True)
class Tried:
    """Which judge is tried, and how."""

    judge: str
    """As `open_judge` takes it."""
    model: str | None = None
    api_key_env: str | None = None
    rubric: str = RUBRIC
    """One that comes with Harken, or the path of a file."""
    dialogues: int = DIALOGUES
    scores: Path | None = None
    """A file of `harken.evaluation.judges.scores`."""


def evaluate(tried: Tried, out: Path | None = None, seed: int = 0) -> Report:
    """Open the judge and try it. Raises: as `open_judge`, `named_rubric`, `read_scores` and `try_judge`."""
    chosen = named_rubric(tried.rubric)
    llm = open_judge(tried.judge, tried.model, tried.api_key_env)
    rows: list[Row] = []
    if tried.scores is not None:
        name = f"{llm.name}@{llm.revision}"
        rows = agreement_rows(read_scores(tried.scores), tried.scores.name, name, seed)
    report, trials = judge_report(llm, chosen, tried.dialogues, seed)
    if out is not None:
        planted = [(trial.lang, trial.planted.judging) for trial in trials]
        save_verdicts(out, [row for lang, judging in planted for row in verdict_rows(judging, lang=lang)])
    return Report(report.benchmark, report.setting, (*report.rows, *rows))


def judge_report(llm: LLM, chosen: Rubric, dialogues: int, seed: int = 0) -> tuple[Report, list[Trial]]:
    """The trial in each language that there are dialogues in, shown and as it is."""
    trials = [
        try_judge(llm, chosen, lang, dialogues, seed=seed) for lang in steps(LANGUAGES, "trying the judge")
    ]
    setting: dict[str, object] = {
        "judge": f"{llm.name}@{llm.revision}",
        "rubric": chosen.label,
        "rubric of order": rubric("pairwise").label,
        "temperature": SAMPLING.temperature,
        **{f"trust in the judge, {trial.lang}": trial.planted.trust.why for trial in trials},
        **{f"unscored, {trial.lang}": trial.planted.judging.faults or "none" for trial in trials},
    }
    rows = [row for trial in trials for row in trial_rows(trial)]
    return Report("judge", setting, tuple(rows)), trials
