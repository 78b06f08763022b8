"""What a judge makes of the answers in words, by the rubrics of HumDial's tasks.

A reply in the other language is a 1 that no judge is asked for, as in `harken.evaluation.humdial`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harken.evaluation.asking.answers import Answers
from harken.evaluation.dialogue_sets.ask import FORMS, Asker
from harken.evaluation.dialogue_sets.items import Task
from harken.evaluation.dialogue_sets.read import Case
from harken.evaluation.dialogue_sets.texts import NO_ANSWER, item_score
from harken.evaluation.humdial.scores import wrong_language
from harken.evaluation.humdial.verdicts import told
from harken.evaluation.item_scores import ItemScore
from harken.evaluation.judges import judging
from harken.evaluation.judges.rubrics import Rubric, rubric
from harken.evaluation.judges.saved import Row, verdict_rows
from harken.evaluation.judges.verdicts import Fault, Verdict
from harken.llm.cache import Usage

RUBRICS: dict[Task, str] = {
    "trajectory": "humdial-task1",
    "reasoning": "humdial-task2",
    "empathy": "humdial-task3-text",
}
OF_SCORER: dict[Task, str] = {"empathy": "empathy-eval"}
"""Of the trained scorer of empathy, which scores nothing else."""
MEAN = "mean"
JUDGED = "judged "
"""How the names of measures begin that a judge of texts scored."""

Outcome = Mapping[str, float] | str
"""Scores by dimension, or why there are none."""


def rubrics_of(judge: judging.Judge | None) -> Mapping[Task, str]:
    """Task -> the rubric by which it is judged."""
    return OF_SCORER if isinstance(judge, judging.Scorer) else RUBRICS


@dataclass
class JudgedScores:
    """Scores of one system's words by one judge."""

    asker: Asker
    answers: Answers
    llm: judging.Judge
    scores: list[ItemScore] = field(default_factory=list)
    written: list[Row] = field(default_factory=list)
    """Everything that the judge said, a row an answer."""
    said: dict[str, Verdict] = field(default_factory=dict)
    """Item id -> what the judge said, with its reasons."""
    usage: Usage = field(default_factory=Usage)

    def add(self, cases: Sequence[Case]) -> None:
        """Judge the items of one language and task; nothing where the task is not judged.

        Raises: HarkenError where the judge cannot start at all.
        """
        task = cases[0].item.task
        rubrics = rubrics_of(self.llm)
        if task not in rubrics:
            return
        asked, outcomes = rubric(rubrics[task]), dict[str, Outcome]()
        items = []
        for case in cases:
            kept = self.asker.answer(case, FORMS[task][0], self.answers)
            if kept is None:
                outcomes[case.item.id] = NO_ANSWER
            elif in_other_language(case, kept.text):
                outcomes[case.item.id] = lowest(asked)
            else:
                items.append(_item(case, kept.text))
        if items:
            done = judging.judge(self.llm, asked, items)
            self.usage += done.usage
            self.written += verdict_rows(done, task=task, lang=cases[0].item.lang)
            self.said |= done.verdicts
            outcomes |= outcomes_of(done, "judge")
        who = f"{self.llm.name}@{self.llm.revision}"
        for case in cases:
            self.scores += judged_scores(case, asked, outcomes[case.item.id], JUDGED, who)


def _item(case: Case, reply: str) -> judging.Item:
    question = None if case.item.task == "empathy" else case.item.question
    said = told(case.dialogue, case.target, question)
    return judging.Item(case.item.id, {"conversation": said, "reply": reply})


def in_other_language(case: Case, reply: str) -> bool:
    """Is a reply in another language than its dialogue?"""
    return wrong_language(reply, "zh" if case.item.lang == "zh" else "en")


def lowest(asked: Rubric) -> Outcome:
    """What a reply in the other language is worth: 1 in every dimension."""
    return {dimension.name: 1.0 for dimension in asked.dimensions}


def outcomes_of(done: judging.Judging, who: str) -> dict[str, Outcome]:
    """Item id -> what came of it. Args: who: judged, as reasons name it."""
    return {judgement.id: _outcome(judgement.outcome, who) for judgement in done.judgements}


def _outcome(found: Verdict | Fault, who: str) -> Outcome:
    if isinstance(found, Fault):
        return f"{who}: {found.reason}"
    return {name: float(score) for name, score in found.scores.items()}


def judged_scores(case: Case, asked: Rubric, outcome: Outcome, prefix: str, who: str) -> list[ItemScore]:
    """One a dimension, and their mean where there are several.

    Args: prefix: of the measures' names. who: judged.
    """
    names = [dimension.name for dimension in asked.dimensions]
    if isinstance(outcome, str):
        values: dict[str, float | None] = dict.fromkeys((*names, MEAN))
    else:
        values = {**outcome, MEAN: sum(outcome.values()) / len(outcome)}
    shown = names if len(names) == 1 else [*names, MEAN]
    why = outcome if isinstance(outcome, str) else None
    by = f"{who}, {asked.label}"
    return [item_score(case, f"{prefix}{name}", values[name], why=why, judge=by) for name in shown]
