"""TELEVAL's question answering as a run: ask a system, write its answers in TELEVAL's form, score, report.

OUT/answers.jsonl                        what the system said, as it came; a stopped run goes on from it
OUT/questions/                           recordings that came inside Parquet files
OUT/logs/*.eval                          a log of each set, for inspect-ai's viewer
OUT/prediction/{system}/{set}.jsonl      the answers, as TELEVAL's own scorer reads them
OUT/televal-problems.txt                 everything that was wrong, a line each
OUT/televal.{jsonl,md}                   the report
OUT/televal.html                         the report with questions to listen to, as one page
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harken.evaluation.asking.answers import Answers, Kept
from harken.evaluation.asking.exchanges import Asked, Exchange, ask, score
from harken.evaluation.asking.options import HEARD, Asking
from harken.evaluation.asking.problems import write_problems
from harken.evaluation.report import Report
from harken.evaluation.spoken_qa import Prediction, item_score, write_predictions
from harken.evaluation.systems.base import Question, System, head_of
from harken.evaluation.televal.figures import MEASURE, televal_report
from harken.evaluation.televal.page import write_televal_page
from harken.evaluation.televal.sets import Item, Sets, read_sets
from harken.evaluation.televal.tables import read_columns

if TYPE_CHECKING:
    from harken.recipes import Recipe

BENCHMARK = "televal"


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
    """Open what `asking` names, and run; `limit` is of each set. Errors: as `run_televal` and `read_sets`."""
    asking.check(out, data)
    heard = None if asking.predicted else out / HEARD
    sets = read_sets(data, read_columns(asking.columns), heard, limit)
    system = asking.open_system(recipe, checkpoint)
    report = run_televal(
        sets, system, out, spoken=asking.voice is not None, seed=seed, command=asking.command
    )
    return asking.described(report)


def run_televal(
    sets: Sets,
    system: System,
    out: Path,
    *,
    spoken: bool = False,
    seed: int = 0,
    command: str | None = None,
) -> Report:
    """Ask for the answers that `out` lacks, write predictions, problems and the page; gives the figures.

    Args:
        spoken: are the answers to be spoken too? Only their text is scored.
        command: as it was typed, for the page.

    Raises: DataError where `out` holds another system's answers, HarkenError where the system cannot answer
        at all; what was answered before is kept.
    """
    answers = Answers(out, head_of(BENCHMARK, system))
    groups = {
        name: [Exchange(each.key, (_question(name, each, spoken),), (each.query,)) for each in items]
        for name, items in sets.items.items()
    }
    asked = ask(system, groups, answers, BENCHMARK)
    kept = {
        name: [answers.get(_question(name, item, spoken)) for item in items]
        for name, items in sets.items.items()
    }
    predictions = {name: _predictions(items, kept[name]) for name, items in sets.items.items()}
    for name, given in predictions.items():
        write_predictions(out, system.name.replace("/", "_"), name, given)
    write_problems(out, BENCHMARK, sets.problems, asked.failures)
    _score_logs(asked, predictions)
    report = televal_report(system.name, predictions, len(sets.problems), seed)
    write_televal_page(out, sets.items, kept, report, command)
    return report


def _question(name: str, item: Item, spoken: bool) -> Question:
    return Question(name, item.key, (item.recording,), spoken=spoken)


def _predictions(items: Sequence[Item], kept: Sequence[Kept | None]) -> list[Prediction]:
    """An answer that is missing is empty, so that it stays in the mean."""
    return [
        Prediction(item.key, answer.text if answer else "", item.answer)
        for item, answer in zip(items, kept, strict=True)
    ]


def _score_logs(asked: Asked, predictions: dict[str, list[Prediction]]) -> None:
    for name, given in predictions.items():
        scores = {p.key: ({MEASURE: float(item_score(p.pred, p.ref))}, "") for p in given}
        score(asked.logs[name], scores)
