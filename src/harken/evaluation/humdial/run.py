"""HumDial's Track 1 as a run: ask a system, hand in its replies, have them judged, report.

OUT/answers.jsonl           what the system said, as it came; a run that was stopped goes on from it
OUT/logs/*.eval             a log of each task, for inspect-ai's viewer
OUT/judge.sqlite            what the judge said
OUT/HD-Track1/              the submission
OUT/humdial-problems.txt    everything that was wrong, a line each
OUT/humdial.{jsonl,md}      the report
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harken.data.files import write_text
from harken.errors import InputError
from harken.evaluation.asking.exchanges import Asked, Failure, ask, score
from harken.evaluation.humdial.dialogues import Dialogue, Reading
from harken.evaluation.humdial.figures import Counts, humdial_report
from harken.evaluation.humdial.replies import QUESTIONS, Replies
from harken.evaluation.humdial.submission import check, task_file, write_task
from harken.evaluation.humdial.testset import Case, by_task, read_test_set
from harken.evaluation.humdial.verdicts import HEARD, Judged, Ratings, judge_replies
from harken.evaluation.language import LANGUAGES, Language
from harken.evaluation.paralinguistic.items import Metadata
from harken.evaluation.problems import Problem
from harken.evaluation.ratings import mean_ratings, read_ratings
from harken.evaluation.report import Report
from harken.evaluation.systems.base import System

if TYPE_CHECKING:
    from harken.llm.base import LLM
    from harken.recipes import Recipe

JUDGE_ANSWERS = "judge.sqlite"
PROBLEMS = "humdial-problems.txt"


@dataclass(frozen=True)
class Asking:
    """Who is asked, and who judges: see `open_system` and `open_judge`."""

    system: str | None = None
    model: str | None = None
    api_key_env: str | None = None
    voice: str | None = None
    judge: str | None = None
    """None leaves texts unscored."""
    judge_model: str | None = None
    judge_key_env: str | None = None
    columns: Path | None = None
    """Of televal, what its files call their columns and sets."""
    metadata: Metadata = "none"
    """Of paralinguistic, what the system is told of the voice."""
    ratings: Path | None = None
    """People's ratings (`harken.evaluation.ratings`): of humdial of task 3's sound, by dialogue id."""
    reading: Reading = "second"
    ask: bool = False
    """Put tasks 1 and 2 into words beside the last turn, for data whose last turn does not."""


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
    """Open what `asking` names, and run. Args and errors: as `run_humdial`."""
    from harken.evaluation.judges.select import open_judge
    from harken.evaluation.systems.select import open_system

    if asking.system is not None and Path(asking.system).resolve() == out.resolve():
        raise InputError(f"{out} holds the predictions that are scored", "name another folder after --out")
    cases, problems = read_test_set(data, limit)
    judge = None
    if asking.judge is not None:
        judge = open_judge(asking.judge, asking.judge_model, asking.judge_key_env, out / JUDGE_ANSWERS)
    system = open_system(
        asking.system,
        recipe=recipe,
        checkpoint=checkpoint,
        model=asking.model,
        api_key_env=asking.api_key_env,
        voice=asking.voice,
    )
    report = run_humdial(cases, problems, system, judge, asking, out, seed)
    # A setting of the report's own stands over the recipe that the command names, which was not asked.
    return report if asking.system is None else report.with_setting(recipe="none", checkpoint="none")


def run_humdial(
    cases: Sequence[Case],
    problems: Sequence[Problem],
    system: System,
    judge: LLM | None,
    asking: Asking,
    out: Path,
    seed: int = 0,
) -> Report:
    """Ask for the replies that `out` lacks, write the submission and the problems, judge; gives the figures.

    Args:
        problems: of the test set's files. judge: of texts; None leaves them unscored.
        asking: its `ratings`, `reading` and `ask` are used. seed: draws the bootstrap samples.

    Raises: DataError where `out` holds another system's replies, HarkenError where the system or the judge
        cannot answer at all; what was answered before is kept.
    """
    ratings = _ratings(asking.ratings)
    replies = Replies.open(out, system.name, cases, asking.ask)
    groups = by_task(cases)
    exchanges = {_group(group): list(map(replies.exchange, chosen)) for group, chosen in groups.items()}
    asked = ask(system, exchanges, replies.answers, "humdial")
    held = {group: [replies.dialogue(case) for case in chosen] for group, chosen in groups.items()}
    faults = _hand_in(out, held)
    _write_problems(out, problems, asked.failures, faults)
    judged = judge_replies(held, asking.reading, judge, ratings, QUESTIONS if asking.ask else None)
    _score_logs(asked, judged)
    delays = {group: _delays(replies, chosen) for group, chosen in groups.items()}
    counts = Counts(
        problems_of_files=len(problems),
        unanswered_turns=len(asked.failures),
        problems_of_submission=len(faults),
    )
    return humdial_report(
        system.name,
        judged,
        counts,
        judge=f"{judge.name}@{judge.revision}" if judge else None,
        reading=asking.reading,
        rated=ratings is not None,
        delays_s=delays,
        seed=seed,
    )


def _group(group: tuple[Language, int]) -> str:
    language, task = group
    return f"{language} task {task}"


def _score_logs(asked: Asked, judged: Judged) -> None:
    for language, by_number in judged.verdicts.items():
        for task, verdicts in by_number.items():
            score(
                asked.logs[_group((language, task))], {v.dialogue_id: (v.scores or {}, "") for v in verdicts}
            )


def _hand_in(out: Path, held: dict[tuple[Language, int], list[Dialogue]]) -> list[Problem]:
    """Write the submission; gives what is wrong with the tasks that were asked."""
    for (language, task), dialogues in held.items():
        write_task(out, language, task, dialogues)
    others = {
        task_file(out, language, task)
        for language in LANGUAGES
        for task in (1, 2, 3)
        if (language, task) not in held
    }
    return [problem for problem in check(out, held) if problem.file not in others]


def _write_problems(
    out: Path, problems: Sequence[Problem], failures: Sequence[Failure], faults: Sequence[Problem]
) -> None:
    unanswered = [f"{f.exchange}: turn {f.key.rsplit('_', 1)[-1]}: unanswered: {f.why}" for f in failures]
    lines = [*map(str, problems), *unanswered, *map(str, faults)]
    write_text(out / PROBLEMS, "".join(f"{line}\n" for line in lines))


def _ratings(path: Path | None) -> Ratings | None:
    if path is None:
        return None
    read = read_ratings(path)
    return {dimension: mean_ratings(read, dimension) for dimension in HEARD}


def _delays(replies: Replies, cases: Sequence[Case]) -> list[float]:
    """Times to first audio, in seconds, of the replies that have one."""
    found = [reply.first_audio_s for case in cases for reply in replies.of(case).values()]
    return [delay for delay in found if delay is not None]
