"""A run over a set of dialogues as a page: its report, plots, and items that are drawn from it.

What a judge said is shown only where it is trusted. The page itself is `harken.evaluation.page`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harken.evaluation.dialogue_sets.ask import FORMS
from harken.evaluation.dialogue_sets.figures import is_withheld
from harken.evaluation.dialogue_sets.items import Task
from harken.evaluation.dialogue_sets.judged import JUDGED, MEAN, RUBRICS
from harken.evaluation.dialogue_sets.read import Case, DialogueSet, by_task
from harken.evaluation.dialogue_sets.sound import FIRST_AUDIO
from harken.evaluation.dialogue_sets.texts import (
    EXACT,
    NO_ANSWER,
    NO_CANDIDATE,
    READOUT,
    RIGHT,
    TRACE,
    TextScores,
)
from harken.evaluation.humdial.scores import D1
from harken.evaluation.item_scores import ANSWER, ItemScore
from harken.evaluation.judges.trial import withheld
from harken.evaluation.judges.verdicts import Verdict
from harken.evaluation.language import Language
from harken.evaluation.page.examples import Example, ExampleTurn
from harken.evaluation.page.plots import ByLabel, Confusion, Plots, Scored
from harken.evaluation.page.runs import by_label, drawn, hashed, sound_of, write_run_page
from harken.evaluation.planted import Trust
from harken.evaluation.report import Report

SPOKEN: Task = "empathy"
NAMES_NONE = "none"
SAID = {ANSWER: "what the answer says", TRACE: "what the trace states", READOUT: "what the readout hears"}
OBJECTIVE: Mapping[Task, str] = {"trajectory": EXACT, "reasoning": RIGHT}
"""Task -> how the measure begins that tells whether an answer is right."""


@dataclass(frozen=True)
class _Shown:
    """The scores that are shown: those that are withheld are not."""

    scores: tuple[ItemScore, ...]
    verdicts: Mapping[str, Verdict]
    """Item id -> what the judge said."""

    def of(self, item: str) -> list[ItemScore]:
        return [score for score in self.scores if score.id == item]

    def by_item(self, measure: str, task: Task) -> dict[str, ItemScore]:
        """Item id -> its score by the measure that begins so, of the answer, where it has one."""
        return {
            each.id: each
            for each in self.scores
            if (each.task, each.by) == (task, ANSWER)
            and each.measure.startswith(measure)
            and each.score is not None
        }


def write_dialogues_page(
    out: Path,
    found: DialogueSet,
    texts: TextScores,
    scores: Sequence[ItemScore],
    verdicts: Mapping[str, Verdict],
    report: Report,
    trust: Mapping[Language, Trust],
    rubrics: Collection[str] = tuple(RUBRICS.values()),
    command: str | None = None,
    seed: int = 0,
) -> None:
    """Write `OUT/dialogues.html`.

    Args:
        texts: what was answered, read. verdicts: item id -> what the judge said.
        trust: of the judge, where it was tried. rubrics: by which was judged.
    """
    untrusted = withheld(trust)
    languages = {case.item.id: case.item.lang for case in found.cases}
    shown = _Shown(
        tuple(each for each in scores if not is_withheld(each)),
        {id: said for id, said in verdicts.items() if languages[id] not in untrusted},
    )
    groups = sorted(by_task(found.cases).items(), key=lambda group: group[0][1] != SPOKEN)
    chosen = drawn((cases for _, cases in groups), lambda case: case.item.id)
    write_run_page(
        out,
        report.with_setting(**{"replies before the last turn": "the dialogue's own"}),
        groups="task and language",
        examples=[_example(out, case, texts, shown) for case in chosen],
        plots=Plots(
            _confusions([case for case in found.cases if case.item.task == "contrast"], texts),
            _calibrations(shown, seed),
            _by_emotion(found.cases, shown),
            by_label((each.lang, each.score) for each in scores if each.measure == FIRST_AUDIO),
        ),
        trust=trust,
        command=command,
        hashes=hashed(out, found.files, (each for case in found.cases for each in case.recordings), rubrics),
    )


def _example(out: Path, case: Case, texts: TextScores, shown: _Shown) -> Example:
    item, verdict = case.item, shown.verdicts.get(case.item.id)
    reply = texts.kept(case, "reply") if item.task == SPOKEN else None
    turns = [
        ExampleTurn(turn.text, turn.emotion, recording, turn.response_text)
        for turn, recording in zip(case.dialogue.turns, case.recordings, strict=True)
    ]
    last = replace(
        turns[-1],
        reply=reply.text if reply else None,
        reply_recording=sound_of(out, reply),
        scored=reply is not None,
    )
    reasons = {f"{JUDGED}{name}": why for name, why in verdict.reasons.items()} if verdict else {}
    scores = shown.of(item.id)
    return Example(
        item.id,
        item.lang,
        item.task,
        (*turns[:-1], last),
        {each.called: each.score for each in scores},
        {each.called: each.why for each in scores if each.why is not None} | reasons,
        verdict.comment if verdict else "",
        facts={} if item.task == SPOKEN else _facts(case, texts),
    )


def _facts(case: Case, texts: TextScores) -> dict[str, str]:
    """What was asked, what is right, and what was answered in words."""
    item, felt, said = case.item, texts.felt(case), texts.said(case)
    facts = {
        "asked": item.question,
        "to choose from": "; ".join(item.candidates),
        "gold answer": (", " if item.task == "trajectory" else "; ").join(item.gold),
    }
    if "free" in FORMS[item.task]:
        free = texts.kept(case, "free")
        facts["in its own words"] = free.text if free else NO_ANSWER
    choice = texts.kept(case, "choice")
    facts["its choice"] = (said[ANSWER] or f"{NO_CANDIDATE}: {choice.text}") if choice else NO_ANSWER
    if felt is not None and item.task == "reasoning":
        facts["the cause in its trace"] = felt.cause or NAMES_NONE
    if item.task == "contrast":
        facts |= {SAID[by]: said[by] or NAMES_NONE for by in (TRACE, READOUT) if by in said}
    return facts


def _confusions(cases: Sequence[Case], texts: TextScores) -> list[Confusion]:
    """Of the contrast set, both languages together: the emotion that is acted against what the answer, the
    trace and the readout say."""
    acted = [(case.item.gold[0], texts.said(case)) for case in cases]
    found = []
    for by, what in SAID.items():
        counts = Counter((gold, said[by] or NAMES_NONE) for gold, said in acted if by in said)
        if not counts:
            continue
        labels = tuple(sorted({gold for gold, _ in counts}))
        answered = {label for _, label in counts} - {*labels, NAMES_NONE}
        others = (*sorted(answered), *([NAMES_NONE] if NAMES_NONE in {said for _, said in counts} else []))
        table = tuple(tuple(counts[gold, label] for label in (*labels, *others)) for gold in labels)
        found.append(Confusion(labels, table, others, f"The same words, acted differently: {what}"))
    return found


def _calibrations(shown: _Shown, seed: int) -> list[Scored]:
    """The judge's mean against what is known to be right, a task each."""
    found = []
    for task, measure in OBJECTIVE.items():
        judged, right = shown.by_item(f"{JUDGED}{MEAN}", task), shown.by_item(measure, task)
        both = [(judged[id], right[id]) for id in judged if id in right]
        if both:
            found.append(
                Scored(
                    tuple(score.score for score, _ in both if score.score is not None),
                    tuple(each.score == 1.0 for _, each in both),
                    f"{task}, judged mean against {both[0][1].measure}",
                    tuple(each.group for _, each in both),
                    seed,
                )
            )
    return found


def _by_emotion(cases: Sequence[Case], shown: _Shown) -> ByLabel | None:
    """The judged empathy in the replies' words, by the emotion that they answer."""
    judged = shown.by_item(f"{JUDGED}{D1}", SPOKEN)
    scores = by_label(
        (case.target.emotion, judged[case.item.id].score)
        for case in cases
        if case.item.id in judged and case.target.emotion is not None
    )
    return ByLabel("the user's emotion", f"{JUDGED}{D1}".replace("_", " "), scores) if scores else None
