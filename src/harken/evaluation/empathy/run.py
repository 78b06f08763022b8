"""Replies to turns with an emotion as a run: ask a system, have its replies described and scored, report.

OUT/answers.jsonl           what the system said, as it came; a stopped run goes on from it
OUT/logs/*.eval             a log, for inspect-ai's viewer
OUT/verdicts.jsonl          its description of each reply (`comment`), reasons and scores
OUT/item-scores.jsonl       each score of each turn, for `harken evaluate compare` and `arms`
OUT/empathy-problems.txt    everything that was wrong, a line each
OUT/empathy.{jsonl,md}      the report
OUT/empathy.html            the report with replies to listen to, as one page
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harken.data.labelers.base import sha256_of
from harken.errors import DataError
from harken.evaluation.asking.answers import Answers, Kept
from harken.evaluation.asking.exchanges import Exchange, ask, score
from harken.evaluation.asking.options import Asking
from harken.evaluation.asking.problems import write_problems
from harken.evaluation.empathy.figures import MEAN, RUBRIC, Ratings, empathy_report
from harken.evaluation.empathy.items import Item, read_turns
from harken.evaluation.empathy.page import write_empathy_page
from harken.evaluation.item_scores import ItemScore, write_scores
from harken.evaluation.judges.judging import Item as JudgedItem
from harken.evaluation.judges.judging import Judge, Judging, judge
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.judges.saved import save_verdicts, verdict_rows
from harken.evaluation.judges.verdicts import Fault
from harken.evaluation.problems import Problem
from harken.evaluation.ratings import mean_ratings, read_ratings
from harken.evaluation.report import Report
from harken.evaluation.systems.base import System, head_of

if TYPE_CHECKING:
    from harken.recipes import Recipe

BENCHMARK = "empathy"
GROUP = "turns"


def evaluate(
    data: Path,
    asking: Asking,
    *,
    recipe: Recipe,
    checkpoint: Path | None,
    out: Path,
    limit: int | None = None,
    seed: int = 0,
) -> Report:
    """Open what `asking` names, and run. Errors: as `read_turns`, `read_people` and `run_empathy`."""
    asking.check(out, data)
    ratings = read_people(asking.ratings) if asking.ratings else None
    items, problems = read_turns(data, hears=not asking.predicted, limit=limit)
    llm = asking.open_judge_or_scorer()
    system = asking.open_system(recipe, checkpoint)
    spoken = asking.voice is not None
    report = run_empathy(
        items,
        problems,
        system,
        llm,
        out,
        ratings=ratings,
        spoken=spoken,
        seed=seed,
        command=asking.command,
    )
    return asking.described(report)


def read_people(path: Path) -> Ratings:
    """People's ratings on the rubric's dimensions. Raises DataError for a file without any."""
    read = read_ratings(path)
    by_dimension = {d.name: mean_ratings(read, d.name) for d in rubric(RUBRIC).dimensions}
    found = {name: rated for name, rated in by_dimension.items() if rated}
    if not found:
        raise DataError(
            f"{path} rates none of {', '.join(by_dimension)}", "name these in its column dimension"
        )
    return found


def run_empathy(
    items: Sequence[Item],
    problems: Sequence[Problem],
    system: System,
    llm: Judge | None,
    out: Path,
    *,
    ratings: Ratings | None = None,
    spoken: bool = False,
    seed: int = 0,
    command: str | None = None,
) -> Report:
    """Ask for the replies that `out` lacks, have them judged, write what the run leaves; gives the figures.

    Args:
        llm: the judge; None leaves replies unscored.
        ratings: people's, of this system's replies.
        spoken: are the replies to be spoken too? Only their text is judged.
        command: as it was typed, for the page.

    Raises: DataError where `out` holds another system's replies, HarkenError where the system or the judge
        cannot answer at all; what was answered before is kept.
    """
    head = head_of(BENCHMARK, system)
    answers = Answers(out, head)
    exchanges = [Exchange(item.id, (item.asked(spoken),), (item.told,)) for item in items]
    asked = ask(system, {GROUP: exchanges}, answers, BENCHMARK)
    write_problems(out, BENCHMARK, problems, asked.failures)
    replies = {item: answers.get(item.asked(spoken)) for item in items}
    used = rubric(RUBRIC)
    judging = judge(llm, used, _given(replies)) if llm is not None else None
    if judging is not None:
        save_verdicts(out, verdict_rows(judging))
        write_scores(out, {**head, "data": _digest(items)}, item_scores(items, judging))
        score(asked.logs[GROUP], {id: (v.scores, v.comment) for id, v in judging.verdicts.items()})
    report = empathy_report(
        system.name,
        items,
        len(_given(replies)),
        judging,
        [dimension.name for dimension in used.dimensions],
        ratings,
        problems_of_files=len(problems),
        seed=seed,
    )
    write_empathy_page(out, replies, judging, report, command)
    return report


def item_scores(items: Sequence[Item], judging: Judging) -> list[ItemScore]:
    """Of every turn its scores by dimension, and their mean."""
    names = [*(dimension.name for dimension in rubric(RUBRIC).dimensions), None]
    means = {name: judging.means(name) for name in names}
    faults = {each.id: each.outcome.reason for each in judging.unscored if isinstance(each.outcome, Fault)}
    who = f"{judging.judge}, {judging.rubric}"
    return [
        ItemScore(
            item.id,
            item.id,
            item.lang,
            BENCHMARK,
            f"judged {name or MEAN}",
            score := means[name].get(item.id),
            why=None if score is not None else faults.get(item.id, "no reply"),
            judge=who,
        )
        for item in items
        for name in names
    ]


def _digest(items: Sequence[Item]) -> str:
    """Of the files that the turns are from."""
    return sha256_of(*dict.fromkeys(item.file for item in items))


def _given(replies: Mapping[Item, Kept | None]) -> list[JudgedItem]:
    """What there is to judge."""
    return [
        JudgedItem(item.id, {"conversation": item.told, "reply": reply.text})
        for item, reply in replies.items()
        if reply is not None
    ]
