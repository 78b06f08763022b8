"""What a judge that hears makes of the sound of spoken replies, by HumDial's rubric for it.

A reply in the other language is a 1 that no judge is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harken.evaluation.asking.answers import Answers
from harken.evaluation.dialogue_sets.ask import Asker
from harken.evaluation.dialogue_sets.items import Task
from harken.evaluation.dialogue_sets.judged import (
    Outcome,
    in_other_language,
    judged_scores,
    lowest,
    outcomes_of,
)
from harken.evaluation.dialogue_sets.read import Case
from harken.evaluation.dialogue_sets.texts import NO_ANSWER
from harken.evaluation.humdial.verdicts import told
from harken.evaluation.item_scores import ItemScore
from harken.evaluation.judges.by_ear import BY_EAR, RUBRIC, ByEar, listen
from harken.evaluation.judges.hearing import Heard, HearingJudge
from harken.evaluation.judges.judging import Item
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.language import LANGUAGES, Language

HEARD = "heard "
"""How the names of measures begin that a judge that hears scored."""
SPOKEN: Task = "empathy"


@dataclass(frozen=True)
class VoiceScores:
    """Scores of one system's sound by one judge that hears."""

    scores: tuple[ItemScore, ...]
    ear: ByEar


@dataclass
class _Gathered:
    """The replies of one language: those to be judged, and what is known of the others."""

    heard: list[Heard] = field(default_factory=list)
    known: dict[str, Outcome] = field(default_factory=dict)


def voice_scores(
    groups: Mapping[tuple[str, Task], Sequence[Case]],
    asker: Asker,
    answers: Answers,
    hearing: HearingJudge,
    trial: bool,
    seed: int = 0,
) -> VoiceScores:
    """Have the spoken replies judged by ear.

    Args: groups: (language, task) -> its cases. trial, seed: as of `listen`.
    Raises: HarkenError where the judge cannot start or does not hear at all.
    """
    spoken: dict[Language, Sequence[Case]] = {
        lang: groups[lang, SPOKEN] for lang in LANGUAGES if (lang, SPOKEN) in groups
    }
    gathered = {lang: _gathered(cases, asker, answers) for lang, cases in spoken.items()}
    ear = listen(hearing, {lang: each.heard for lang, each in gathered.items()}, trial, seed)
    scores: list[ItemScore] = []
    for lang, cases in spoken.items():
        outcomes = gathered[lang].known | outcomes_of(ear.judgings[lang], BY_EAR)
        for case in cases:
            scores += judged_scores(case, ear.asked, outcomes[case.item.id], HEARD, ear.judge)
    return VoiceScores(tuple(scores), ear)


def _gathered(cases: Sequence[Case], asker: Asker, answers: Answers) -> _Gathered:
    found = _Gathered()
    for case in cases:
        kept, name = asker.answer(case, "reply", answers), case.item.id
        if kept is None:
            found.known[name] = NO_ANSWER
        elif in_other_language(case, kept.text):
            found.known[name] = lowest(rubric(RUBRIC))
        else:
            fields = {"conversation": told(case.dialogue, case.target), "reply": kept.text}
            sound = answers.folder / kept.sound if kept.sound else None
            found.heard.append(Heard(Item(name, fields), case.recordings[-1], sound))
    return found
