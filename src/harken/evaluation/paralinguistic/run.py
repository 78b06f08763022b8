"""Questions about recordings as a run: ask a system, have its answers judged, report.

OUT/answers.jsonl                 what the system said, as it came; a stopped run goes on from it
OUT/questions/                    recordings that came out of a built data set
OUT/logs/*.eval                   a log of each type of question, for inspect-ai's viewer
OUT/verdicts.jsonl                what the judge said
OUT/paralinguistic-problems.txt   everything that was wrong, a line each
OUT/paralinguistic.{jsonl,md}     the report
OUT/paralinguistic.html           the report with questions to listen to, as one page
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harken.errors import DataError
from harken.evaluation.asking.answers import Answers
from harken.evaluation.asking.exchanges import Asked, Exchange, ask, score
from harken.evaluation.asking.options import HEARD, Asking
from harken.evaluation.asking.problems import write_problems
from harken.evaluation.judges.judging import Item as JudgedItem
from harken.evaluation.judges.judging import Judging, judge
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.judges.saved import save_verdicts, verdict_rows
from harken.evaluation.paralinguistic.built import is_built, read_built
from harken.evaluation.paralinguistic.figures import DIMENSION, RUBRIC, paralinguistic_report
from harken.evaluation.paralinguistic.items import TYPES, Item, Metadata, read_lines
from harken.evaluation.paralinguistic.metadata import as_heard, told
from harken.evaluation.paralinguistic.page import write_paralinguistic_page
from harken.evaluation.problems import Problem
from harken.evaluation.report import Report
from harken.evaluation.systems.base import System, head_of

if TYPE_CHECKING:
    from harken.data.labelers.base import Labeler
    from harken.llm.base import LLM
    from harken.recipes import Recipe

BENCHMARK = "paralinguistic"


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
    """Open what `asking` names, and run; `limit` is of each type. Errors: as `read_items`, and those of
    `run_paralinguistic`."""
    asking.check(out, data)
    items, problems = read_items(data, None if asking.predicted else out / HEARD, limit)
    llm = asking.open_judge()
    labeler = _readout(recipe, checkpoint) if asking.metadata == "heard" else None
    system = asking.open_system(recipe, checkpoint)
    spoken = asking.voice is not None
    report = run_paralinguistic(
        items,
        problems,
        system,
        llm,
        out,
        metadata=asking.metadata,
        labeler=labeler,
        spoken=spoken,
        seed=seed,
        command=asking.command,
    )
    return asking.described(report)


def read_items(data: Path, heard: Path | None, limit: int | None = None) -> tuple[list[Item], list[Problem]]:
    """The questions of a built data set or of JSON lines, by type, and what is wrong with the rest.

    Args:
        heard: where recordings of a built data set are written; None where nobody hears them.
        limit: so many questions of each type at most, the first.

    Raises: DataError where there is no question at all, or a shard cannot be read.
    """
    if is_built(data):
        found, problems = read_built(data, heard)
    else:
        paths = [data] if data.is_file() else sorted(data.rglob("*.jsonl"))
        root = data.parent if data.is_file() else data
        found, problems = read_lines(paths, root, hears=heard is not None)
    items = [item for each in TYPES for item in [i for i in found if i.type == each][:limit]]
    if not items:
        first = f"; {problems[0]}" if problems else ""
        raise DataError(
            f"{data} holds no question about a recording that can be asked{first}",
            "name a data set with paralinguistic rows of split dev, or JSON lines (docs/benchmarks.md)",
        )
    return items, problems


def run_paralinguistic(
    items: Sequence[Item],
    problems: Sequence[Problem],
    system: System,
    llm: LLM | None,
    out: Path,
    *,
    metadata: Metadata = "none",
    labeler: Labeler | None = None,
    spoken: bool = False,
    seed: int = 0,
    command: str | None = None,
) -> Report:
    """Ask for the answers that `out` lacks, have them judged, write what the run leaves; gives the figures.

    Args:
        llm: the judge; None leaves answers unscored but by keyword.
        metadata: what the system is told of the voice; "heard" takes a `labeler`.
        spoken: are the answers to be spoken too? Only their text is scored.
        command: as it was typed, for the page.

    Raises: DataError where `out` holds another system's answers or those of another condition, HarkenError
        where the system or the judge cannot answer at all; what was answered before is kept.
    """
    whose = _whose(metadata, labeler)
    known = list(items)
    if labeler is not None and metadata == "heard":
        known = as_heard(items, labeler)
    instructions = {item.id: item.question if whose is None else told(item) for item in known}
    answers = Answers(out, head_of(BENCHMARK, system, metadata=whose))
    questions = {item.id: item.asked(instructions[item.id], spoken) for item in items}
    groups = {
        each: [Exchange(item.id, (questions[item.id],)) for item in items if item.type == each]
        for each in TYPES
    }
    asked = ask(system, {name: chosen for name, chosen in groups.items() if chosen}, answers, BENCHMARK)
    write_problems(out, BENCHMARK, problems, asked.failures)
    kept = {id: answers.get(question) for id, question in questions.items()}
    texts = {id: answer.text for id, answer in kept.items() if answer is not None}
    judging = _judged(llm, items, texts)
    if judging is not None:
        save_verdicts(out, verdict_rows(judging))
        _score_logs(asked, items, judging.means(DIMENSION))
    about = _about(items, instructions, problems, whose)
    report = paralinguistic_report(system.name, items, texts, judging, told=whose, about=about, seed=seed)
    write_paralinguistic_page(out, items, instructions, kept, judging, report, command, seed)
    return report


def _whose(metadata: Metadata, labeler: Labeler | None) -> str | None:
    """Where metadata come from, in words; None where there are none."""
    if metadata == "heard":
        assert labeler is not None, "metadata that are heard take a labeler"
        return f"emotion and gender as heard by {labeler.name}@{labeler.revision} (explicit)"
    return "emotion and gender as labelled in the data (explicit)" if metadata == "labelled" else None


def _about(
    items: Sequence[Item], instructions: Mapping[str, str], problems: Sequence[Problem], whose: str | None
) -> dict[str, object]:
    """What else the report says of the questions."""
    origins = Counter(affect.source for item in items for affect in item.turns[-1].affect[:1])
    about: dict[str, object] = {
        "emotion labels by": dict(origins) or "nobody",
        "problems of files": len(problems),
    }
    if whose is not None:
        plain = sum(instructions[item.id] == item.question for item in items)
        about["questions without metadata, as nothing is known"] = plain
    return about


def _judged(llm: LLM | None, items: Sequence[Item], texts: Mapping[str, str]) -> Judging | None:
    if llm is None:
        return None
    asked = [
        JudgedItem(item.id, {"question": item.question, "reference": item.answer, "reply": texts[item.id]})
        for item in items
        if item.id in texts
    ]
    return judge(llm, rubric(RUBRIC), asked)


def _score_logs(asked: Asked, items: Sequence[Item], judged: Mapping[str, float]) -> None:
    for name, log in asked.logs.items():
        of_type = [item.id for item in items if item.type == name]
        score(log, {id: ({DIMENSION: judged.get(id)}, "") for id in of_type})


def _readout(recipe: Recipe, checkpoint: Path | None) -> Labeler:
    """The recipe's own affect readout."""
    from harken.checkpoint import shipped
    from harken.data.labelers import open_labeler
    from harken.data.labelers.readout import Readout

    return open_labeler(Readout(trained=checkpoint or shipped(recipe.name)))
