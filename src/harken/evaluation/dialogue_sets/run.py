"""A run over a set of dialogues: ask a system, score its answers, have them judged, report.

OUT/answers.jsonl            what the system said, as it came, its sound beside it; a run goes on from it
OUT/logs/*.eval              a log of each language and task, for inspect-ai's viewer
OUT/verdicts.jsonl           what the judge said of each answer, and why
OUT/item-scores.jsonl        each score of each item, for `harken evaluate compare`
OUT/dialogues-problems.txt   everything that was wrong, a line each
OUT/dialogues.{jsonl,md}     the report
OUT/dialogues.html           the report with dialogues to listen to, as one page
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harken.evaluation.asking.answers import Answers
from harken.evaluation.asking.exchanges import Asked, ask, score
from harken.evaluation.asking.options import Asking
from harken.evaluation.asking.problems import write_problems
from harken.evaluation.dialogue_sets.ask import FORMS, Asker, Form, exchange_id
from harken.evaluation.dialogue_sets.figures import dialogues_report, withhold
from harken.evaluation.dialogue_sets.items import Task
from harken.evaluation.dialogue_sets.judged import JudgedScores, rubrics_of
from harken.evaluation.dialogue_sets.page import write_dialogues_page
from harken.evaluation.dialogue_sets.read import Case, DialogueSet, by_task, read_set
from harken.evaluation.dialogue_sets.sound import Contrasted, Ears, SoundScores
from harken.evaluation.dialogue_sets.texts import RIGHT, TextScores
from harken.evaluation.dialogue_sets.voices import SPOKEN, VoiceScores, voice_scores
from harken.evaluation.item_scores import ANSWER, ItemScore, write_scores
from harken.evaluation.judges.by_ear import BY_EAR
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.judges.saved import save_verdicts
from harken.evaluation.judges.trial import TRUST, described, trust_in
from harken.evaluation.language import LANGUAGES, Language
from harken.evaluation.planted import Trust
from harken.evaluation.report import Report
from harken.evaluation.systems.base import System, head_of, ranks

if TYPE_CHECKING:
    from harken.evaluation.judges.hearing import HearingJudge
    from harken.evaluation.judges.judging import Judge
    from harken.recipes import Recipe

BENCHMARK = "dialogues"


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
    """Open what `asking` names, and run. Args and errors: as `read_set` and `run_dialogues`."""
    asking.check(out, data)
    found = read_set(data, limit, asking.only)
    judge, hearing = asking.open_judge_or_scorer(), asking.open_hearing_judge()
    system = asking.open_system(recipe, checkpoint)
    report = run_dialogues(
        found, system, judge, out, seed, trial=asking.trial, hearing=hearing, command=asking.command
    )
    return asking.described(report.with_setting(data=str(data)))


def run_dialogues(
    found: DialogueSet,
    system: System,
    judge: Judge | None,
    out: Path,
    seed: int = 0,
    ears: Ears | None = None,
    trial: int = 0,
    hearing: HearingJudge | None = None,
    command: str | None = None,
) -> Report:
    """Try the judge, ask for the answers that `out` lacks, score them; write what the run leaves.

    Args:
        judge: of texts; None leaves them unjudged. seed: draws the bootstrap samples.
        ears: listens to spoken replies; None opens the real ones.
        trial: dialogues of each language in which replies are planted to try the judge; 0 tries neither.
        hearing: judges the sound of spoken replies; None leaves that unjudged.
        command: as it was typed, for the page.

    Raises: DataError where `out` holds other answers, HarkenError where the system or the judge cannot answer
        at all, MissingExtra where what listens is not installed; what was answered before is kept.
    """
    asker, groups, rubrics = Asker(ranks(system)), by_task(found.cases), rubrics_of(judge)
    languages = [lang for lang in LANGUAGES if any(lang == of for of, _ in groups)]
    trust = trust_in(judge, rubric(rubrics["empathy"]), languages, trial, seed)
    head = head_of(BENCHMARK, system, data=found.fingerprint, chooses=asker.how)
    answers = Answers(out, head)
    exchanges = {" ".join(key): asker.exchanges(cases) for key, cases in groups.items()}
    asked = ask(system, exchanges, answers, BENCHMARK)
    write_problems(out, BENCHMARK, found.problems, asked.failures)
    texts, sounds = TextScores(asker, answers), SoundScores(asker, answers, ears or Ears())
    judged = JudgedScores(asker, answers, judge) if judge is not None else None
    contrasts: dict[str, list[Contrasted]] = {}
    for (lang, task), cases in groups.items():
        texts.add(cases)
        if task == "empathy":
            contrasts[f"{lang} {task}"] = sounds.add(cases, seed)
        if judged is not None:
            judged.add(cases)
    voices = voice_scores(groups, asker, answers, hearing, trial > 0, seed) if hearing else None
    scores = withhold([*texts.scores, *sounds.scores, *_judged(out, judged, voices)], trust, voices)
    write_scores(out, head, scores)
    _score_logs(asked, groups, scores)
    setting = _of_judges(judge, trust, judged, voices) | _of_answers(found, asked, texts)
    report = dialogues_report(system.name, scores, contrasts, setting, seed)
    said = judged.said if judged is not None else {}
    write_dialogues_page(out, found, texts, scores, said, report, trust, rubrics.values(), command, seed)
    return report


def _judged(out: Path, judged: JudgedScores | None, voices: VoiceScores | None) -> list[ItemScore]:
    """What the judges scored; everything that they said is written."""
    if judged is not None or voices is not None:
        of_texts, of_sound = judged.written if judged else (), voices.ear.rows(SPOKEN) if voices else ()
        save_verdicts(out, [*of_texts, *of_sound])
    return [*(judged.scores if judged else ()), *(voices.scores if voices else ())]


def _of_judges(
    judge: Judge | None,
    trust: Mapping[Language, Trust],
    judged: JudgedScores | None,
    voices: VoiceScores | None,
) -> dict[str, object]:
    """What the report says of the judges."""
    by_ear = voices.ear.setting() if voices is not None else {BY_EAR: "none"}
    if judge is None or judged is None:
        return {"judge": "none", **by_ear}
    return {
        "judge": f"{judge.name}@{judge.revision}",
        TRUST: described(judge, trust),
        "rubrics": [rubric(name).label for name in rubrics_of(judge).values()],
        "judge's seconds": judged.usage.seconds,
        **by_ear,
    }


def _of_answers(found: DialogueSet, asked: Asked, texts: TextScores) -> dict[str, object]:
    """What the report says of what was asked and answered."""
    return {
        "choice": texts.asker.how,
        "problems of the set": len(found.problems),
        "unanswered questions": len(asked.failures),
        "answers counted as wrong": {why: n for why, n in texts.unread.items() if n} or "none",
    }


def _score_logs(
    asked: Asked, groups: Mapping[tuple[str, Task], Sequence[Case]], scores: Sequence[ItemScore]
) -> None:
    """Each score to the exchange that it is of."""
    by_item: dict[str, list[ItemScore]] = {}
    for each in scores:
        by_item.setdefault(each.id, []).append(each)
    for key, cases in groups.items():
        found = {
            exchange_id(case, form): (
                {each.called: each.score for each in by_item[case.item.id] if _form(each) == form},
                "",
            )
            for case in cases
            for form in FORMS[case.item.task]
        }
        score(asked.logs[" ".join(key)], found)


def _form(of: ItemScore) -> Form:
    if of.task == "empathy":
        return "reply"
    return "choice" if of.by != ANSWER or of.measure.startswith(RIGHT) else "free"
