"""A run of HumDial as a page: its report, dialogues drawn from it, and hashes of what went in.

Which dialogues are shown is drawn by the hash of their ids, each task and language once before any twice:
nobody chooses them. The page itself is `harken.evaluation.page`'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import harken
from harken.evaluation.asking.answers import FILE
from harken.evaluation.humdial.dialogues import Dialogue, Reading
from harken.evaluation.humdial.replies import Replies
from harken.evaluation.humdial.scores import D1, TASKS, Verdict
from harken.evaluation.humdial.submission import reply_file
from harken.evaluation.humdial.testset import Case, by_task
from harken.evaluation.humdial.verdicts import RUBRICS, Judged, judged_turn
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.language import Language
from harken.evaluation.page.examples import Example, ExampleTurn
from harken.evaluation.page.page import EXAMPLES, write_page
from harken.evaluation.page.plots import ByLabel, Plots
from harken.evaluation.planted import Trust
from harken.evaluation.report import Report, hardware

NAME = "humdial.html"
DRAWN = "those on the page are drawn by the hash of their ids, each task and language before any twice"
Verdicts = Mapping[tuple[Language, int, str], Verdict]
"""Language, task number and dialogue id -> verdict."""


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
    verdicts = {
        (language, task, verdict.dialogue_id): verdict
        for language, tasks in judged.verdicts.items()
        for task, of_task in tasks.items()
        for verdict in of_task
    }
    held = {_key(case): replies.dialogue(case) for case in cases}
    tried = trust or {}
    shown = [case for case in cases if case.language not in tried or tried[case.language].shown]
    write_page(
        out / NAME,
        report.with_setting(harken=harken.__version__, hardware=hardware(), dialogues=DRAWN),
        examples=[_example(out, case, held[_key(case)], judged, verdicts, reading) for case in drawn(cases)],
        plots=Plots(
            by_label=_by_emotion(shown, verdicts, reading), first_audio_s=_first_audio(cases, replies)
        ),
        trust=" ".join(f"{language}: {found.why}" for language, found in tried.items()) or None,
        command=command,
        hashes=_hashes(out, cases),
    )


def drawn(cases: Sequence[Case], count: int = EXAMPLES) -> list[Case]:
    """The cases that are shown, spoken tasks first."""

    def rank(case: Case) -> str:
        return hashlib.sha256(case.dialogue.dialogue_id.encode(errors="surrogatepass")).hexdigest()

    groups = sorted(by_task(cases).items(), key=lambda group: -group[0][1])
    in_turns = zip_longest(*(sorted(chosen, key=rank) for _, chosen in groups))
    return [case for case in chain.from_iterable(in_turns) if case is not None][:count]


def _example(
    out: Path, case: Case, dialogue: Dialogue, judged: Judged, verdicts: Verdicts, reading: Reading
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
    verdict, said = verdicts[_key(case)], judged.said.get(_key(case))
    return Example(
        name,
        case.language,
        f"task {case.task}, {TASKS[case.task].name}",
        turns,
        verdict.scores or {},
        said.reasons if said else {},
        said.comment if said else "",
    )


def _by_emotion(cases: Sequence[Case], verdicts: Verdicts, reading: Reading) -> ByLabel | None:
    """The empathy in the replies' words, by the emotion that they answer."""
    scores: dict[str, list[float]] = {}
    for case in cases:
        target = judged_turn(case.dialogue, case.task, reading)
        score = (verdicts[_key(case)].scores or {}).get(D1)
        if score is not None and target is not None and target.emotion is not None:
            scores.setdefault(target.emotion, []).append(score)
    return ByLabel("the user's emotion", D1.replace("_", " "), scores) if scores else None


def _first_audio(cases: Sequence[Case], replies: Replies) -> dict[str, list[float]]:
    delays: dict[str, list[float]] = {}
    for case in cases:
        for reply in replies.of(case).values():
            if reply.first_audio_s is not None:
                delays.setdefault(case.language, []).append(reply.first_audio_s)
    return delays


def _hashes(out: Path, cases: Sequence[Case]) -> dict[str, str]:
    """Of the test set's files, its recordings together, the replies, and the rubrics."""
    files = dict.fromkeys(case.file for case in cases)
    recordings = [recording for case in cases for recording in case.recordings]
    together = hashlib.sha256("".join(map(_sha256, recordings)).encode()).hexdigest()
    return {
        **{f"{file.parent.name}/{file.name}": f"sha256 {_sha256(file)}" for file in files},
        f"{len(recordings)} recordings": f"sha256 of their sha256, in order: {together}",
        FILE: f"sha256 {_sha256(out / FILE)}",
        **{f"rubric {name}": f"version {rubric(name).version}" for name in RUBRICS.values()},
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(case: Case) -> tuple[Language, int, str]:
    return case.language, case.task, case.dialogue.dialogue_id
