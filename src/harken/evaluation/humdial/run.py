"""HumDial's Track 1 as a run: ask a system, hand in its replies, have them judged, report.

OUT/answers.jsonl           what the system said, as it came; a run that was stopped goes on from it
OUT/logs/*.eval             a log of each task, for inspect-ai's viewer
OUT/verdicts.jsonl          what the judge said of each reply, and why
OUT/HD-Track1/              the submission
OUT/humdial-problems.txt    everything that was wrong, a line each
OUT/to-rate.jsonl           what people may rate (`harken evaluate rate`)
OUT/humdial.{jsonl,md}      the report
OUT/humdial.html            the report with dialogues to listen to, as one page
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harken.data.files import write_text
from harken.evaluation.asking.exchanges import Asked, Failure, ask, score
from harken.evaluation.asking.options import Asking
from harken.evaluation.humdial.dialogues import Dialogue
from harken.evaluation.humdial.figures import Counts, humdial_report
from harken.evaluation.humdial.page import write_humdial_page
from harken.evaluation.humdial.replies import QUESTIONS, SPOKEN_TASK, Replies
from harken.evaluation.humdial.submission import check, task_file, write_task
from harken.evaluation.humdial.testset import Case, by_task, read_test_set
from harken.evaluation.humdial.verdicts import HEARD, RUBRICS, Judged, Ratings, judge_replies
from harken.evaluation.humdial.voices import Voices, spoken_replies, voices
from harken.evaluation.judges.by_ear import listen
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.judges.saved import save_verdicts
from harken.evaluation.judges.trial import trust_in
from harken.evaluation.language import LANGUAGES, Language
from harken.evaluation.problems import Problem
from harken.evaluation.rating.items import write_items
from harken.evaluation.ratings import mean_ratings, read_ratings
from harken.evaluation.report import Report
from harken.evaluation.systems.base import System

if TYPE_CHECKING:
    from harken.evaluation.judges.hearing import HearingJudge
    from harken.llm.base import LLM
    from harken.recipes import Recipe

PROBLEMS = "humdial-problems.txt"


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
    asking.check(out, data)
    cases, problems = read_test_set(data, limit)
    judge, hearing = asking.open_judge(), asking.open_hearing_judge()
    system = asking.open_system(recipe, checkpoint)
    return asking.described(run_humdial(cases, problems, system, judge, asking, out, seed, hearing))


def run_humdial(
    cases: Sequence[Case],
    problems: Sequence[Problem],
    system: System,
    judge: LLM | None,
    asking: Asking,
    out: Path,
    seed: int = 0,
    hearing: HearingJudge | None = None,
) -> Report:
    """Try the judge, ask for the replies that `out` lacks, write the submission and the problems, and judge.

    Args:
        problems: of the test set's files. judge: of texts; None leaves them unscored.
        asking: its `ratings`, `reading`, `ask` and `trial` are used. seed: draws the bootstrap samples.
        hearing: judges the sound that people did not rate; None leaves that unscored.

    Raises: DataError where `out` holds another system's replies, HarkenError where the system or the judge
        cannot answer at all; what was answered before is kept.
    """
    ratings = _ratings(asking.ratings)
    replies = Replies.open(out, system, cases, asking.ask)
    groups = by_task(cases)
    languages = [language for language, _ in groups]
    trust = trust_in(judge, rubric(RUBRICS[SPOKEN_TASK]), languages, asking.trial, seed)
    exchanges = {_group(group): list(map(replies.exchange, chosen)) for group, chosen in groups.items()}
    asked = ask(system, exchanges, replies.answers, "humdial")
    held = {group: [replies.dialogue(case) for case in chosen] for group, chosen in groups.items()}
    faults = _hand_in(out, held)
    _write_problems(out, problems, asked.failures, faults)
    sound = _listened(cases, replies, hearing, ratings, asking, seed)
    judged = judge_replies(held, asking.reading, judge, sound.scores, QUESTIONS if asking.ask else None)
    _keep(judged, sound, asked, out)
    report = humdial_report(
        system.name,
        judged,
        Counts(len(problems), len(asked.failures), len(faults)),
        judge=f"{judge.name}@{judge.revision}" if judge else None,
        reading=asking.reading,
        voices=sound,
        delays_s={group: _delays(replies, chosen) for group, chosen in groups.items()},
        trust=trust,
        seed=seed,
    )
    write_items(out, cases, replies, asking.reading)
    write_humdial_page(out, cases, replies, judged, report, asking.reading, asking.command, trust)
    return report


def _group(group: tuple[Language, int]) -> str:
    language, task = group
    return f"{language} task {task}"


def _listened(
    cases: Sequence[Case],
    replies: Replies,
    hearing: HearingJudge | None,
    ratings: Ratings | None,
    asking: Asking,
    seed: int,
) -> Voices:
    """What people and the judge that hears make of the replies' sound."""
    heard = spoken_replies(cases, replies, asking.reading)
    ear = listen(hearing, heard, asking.trial > 0, seed) if hearing is not None else None
    return voices(heard, ratings, ear)


def _keep(judged: Judged, sound: Voices, asked: Asked, out: Path) -> None:
    """What the judges said, as a file, and the scores in the logs."""
    written = [*judged.written, *(sound.ear.rows(SPOKEN_TASK) if sound.ear else ())]
    if written:
        save_verdicts(out, written)
    for language, by_number in judged.verdicts.items():
        for task, verdicts in by_number.items():
            scores = {verdict.dialogue_id: (verdict.scores or {}, "") for verdict in verdicts}
            score(asked.logs[_group((language, task))], scores)


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
