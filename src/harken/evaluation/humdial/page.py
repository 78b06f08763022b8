"""A run of HumDial as a page: its report, plots, and dialogues that are drawn from it.

The page itself is `harken.evaluation.page`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from harken.evaluation.humdial.dialogues import Dialogue, Reading
from harken.evaluation.humdial.replies import Replies
from harken.evaluation.humdial.scores import D1, TASKS, Scores
from harken.evaluation.humdial.submission import reply_file
from harken.evaluation.humdial.testset import Case, by_task
from harken.evaluation.humdial.verdicts import HEARD, RUBRICS, Judged, judged_turn
from harken.evaluation.judges.trial import withheld
from harken.evaluation.judges.verdicts import Verdict as Said
from harken.evaluation.language import Language
from harken.evaluation.page.examples import Example, ExampleTurn
from harken.evaluation.page.plots import ByLabel, Plots
from harken.evaluation.page.runs import by_label, drawn, hashed, write_run_page
from harken.evaluation.planted import Trust
from harken.evaluation.report import Report

Key = tuple[Language, int, str]
"""Language, task number and dialogue id."""
Shown = Mapping[Key, Scores]


def write_humdial_page(
    out: Path,
    cases: Sequence[Case],
    replies: Replies,
    judged: Judged,
    report: Report,
    reading: Reading,
    command: str | None = None,
    trust: Mapping[Language, Trust] | None = None,
) -> None:
    """Write `OUT/humdial.html`.

    Args:
        out: the run's folder, with the submission. reading: which turn of task 3 was judged.
        command: as it was typed.
        trust: of the judge, where it was tried; its scores are drawn only where they are shown.
    """
    tried = trust or {}
    scores = _shown_scores(judged, withheld(tried))
    said = {key: found for key, found in judged.said.items() if key[0] not in withheld(tried)}
    held = {_key(case): replies.dialogue(case) for case in cases}
    write_run_page(
        out,
        report,
        groups="task and language",
        examples=[_example(out, case, held[_key(case)], scores, said, reading) for case in chosen(cases)],
        plots=Plots(by_label=_by_emotion(cases, scores, reading), first_audio_s=_first_audio(cases, replies)),
        trust=tried,
        command=command,
        hashes=hashed(
            out,
            (case.file for case in cases),
            (r for case in cases for r in case.recordings),
            RUBRICS.values(),
        ),
    )


def _shown_scores(judged: Judged, hidden: Collection[str]) -> dict[Key, Scores]:
    """Of a language in `hidden`, what was heard alone: the text judge's scores are withheld."""
    return {
        (language, task, verdict.dialogue_id): {
            name: score
            for name, score in (verdict.scores or {}).items()
            if name in HEARD or language not in hidden
        }
        for language, tasks in judged.verdicts.items()
        for task, of_task in tasks.items()
        for verdict in of_task
    }


def chosen(cases: Sequence[Case]) -> list[Case]:
    """The cases that are shown, spoken tasks first."""
    groups = sorted(by_task(cases).items(), key=lambda group: -group[0][1])
    return drawn((of_group for _, of_group in groups), lambda case: case.dialogue.dialogue_id)


def _example(
    out: Path,
    case: Case,
    dialogue: Dialogue,
    scores: Shown,
    said: Mapping[Key, Said],
    reading: Reading,
) -> Example:
    target, name = judged_turn(case.dialogue, case.task, reading), dialogue.dialogue_id
    turns = tuple(
        ExampleTurn(
            turn.text,
            turn.emotion,
            recording,
            turn.response_text,
            reply_file(out, case.language, name, turn.turn_id) if turn.response_audio else None,
            scored=target is not None and turn.turn_id == target.turn_id,
        )
        for turn, recording in zip(dialogue.turns, case.recordings, strict=True)
    )
    why = said.get(_key(case))
    return Example(
        name,
        case.language,
        f"task {case.task}, {TASKS[case.task].name}",
        turns,
        scores[_key(case)],
        why.reasons if why else {},
        why.comment if why else "",
    )


def _by_emotion(cases: Sequence[Case], scores: Shown, reading: Reading) -> ByLabel | None:
    """The empathy in the replies' words, by the emotion that they answer."""
    targets = ((case, judged_turn(case.dialogue, case.task, reading)) for case in cases)
    found = by_label(
        (target.emotion, scores[_key(case)].get(D1))
        for case, target in targets
        if target is not None and target.emotion is not None
    )
    return ByLabel("the user's emotion", D1.replace("_", " "), found) if found else None


def _first_audio(cases: Sequence[Case], replies: Replies) -> dict[str, list[float]]:
    return by_label(
        (case.language, reply.first_audio_s) for case in cases for reply in replies.of(case).values()
    )


def _key(case: Case) -> Key:
    return case.language, case.task, case.dialogue.dialogue_id
