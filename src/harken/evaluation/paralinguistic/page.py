"""A run of questions about recordings as a page: its report, what the judge's score is worth, and questions
that are drawn from it.

The page itself is `harken.evaluation.page`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from harken.evaluation.asking.answers import Kept
from harken.evaluation.judges.judging import Judging
from harken.evaluation.judges.verdicts import Verdict
from harken.evaluation.language import LANGUAGES
from harken.evaluation.page.examples import Example, ExampleTurn
from harken.evaluation.page.plots import Plots, Scored
from harken.evaluation.page.runs import drawn, hashed, sound_of, write_run_page
from harken.evaluation.paralinguistic.figures import DIMENSION, JUDGED, RUBRIC
from harken.evaluation.paralinguistic.items import TYPES, Item
from harken.evaluation.paralinguistic.objective import Labelled, labelled
from harken.evaluation.report import Report

BY_KEYWORD = "right by keyword"


def write_paralinguistic_page(
    out: Path,
    items: Sequence[Item],
    instructions: Mapping[str, str],
    kept: Mapping[str, Kept | None],
    judging: Judging | None,
    report: Report,
    command: str | None = None,
    seed: int = 0,
) -> None:
    """Write `OUT/paralinguistic.html`. Args: instructions, kept: item id -> what was asked, and answered."""
    texts = {id: answer.text for id, answer in kept.items() if answer is not None}
    direct = labelled(items, texts, judging.means(DIMENSION) if judging else {})
    by_id, verdicts = {each.item.id: each for each in direct}, judging.verdicts if judging else {}
    groups = [[i for i in items if (i.lang, i.type) == (lang, t)] for t in TYPES for lang in LANGUAGES]
    write_run_page(
        out,
        report,
        groups="type and language",
        examples=[
            _example(out, i, instructions[i.id], kept[i.id], by_id.get(i.id), verdicts.get(i.id))
            for i in drawn(groups, lambda item: item.id)
        ],
        plots=Plots(calibrations=_calibrations(direct, seed)),
        command=command,
        hashes=hashed(
            out,
            (item.file for item in items),
            (recording for item in items for recording in item.recordings),
            [RUBRIC],
        ),
    )


def _example(
    out: Path, item: Item, asked: str, answer: Kept | None, direct: Labelled | None, verdict: Verdict | None
) -> Example:
    heard = [turn.text for turn in item.turns if turn.role == "user"]
    turns = [
        ExampleTurn(text, None, recording, reply)
        for text, recording, reply in zip_longest(heard, item.recordings, item.replies)
    ]
    said = answer.text if answer else None
    turns[-1] = replace(turns[-1], reply=said, reply_recording=sound_of(out, answer), scored=True)
    facts = {"asked": asked, "reference": item.answer}
    if not said:
        facts["answer"] = "none"
    scores: dict[str, float | None] = {JUDGED: verdict.scores[DIMENSION]} if verdict else {}
    if direct is not None:
        facts |= {"label": direct.truth, "label that the answer names": direct.answered}
        scores[BY_KEYWORD] = float(direct.correct)
    return Example(
        item.id,
        item.lang,
        f"type {item.type}",
        tuple(turns),
        scores,
        {JUDGED: verdict.reasons.get(DIMENSION, "")} if verdict else {},
        verdict.comment if verdict else "",
        facts=facts,
    )


def _calibrations(direct: Sequence[Labelled], seed: int) -> list[Scored]:
    """The judge's score against being right by keyword, where both are known."""
    both = [(each.judged, each) for each in direct if each.judged is not None]
    if not both:
        return []
    return [
        Scored(
            tuple(score for score, _ in both),
            tuple(each.correct for _, each in both),
            f"{JUDGED} against {BY_KEYWORD}",
            tuple(each.recording for _, each in both),
            seed,
        )
    ]
