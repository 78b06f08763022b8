"""A run of replies to turns with an emotion as a page: its report, scores by emotion, and turns that are
drawn, with what the judge saw in the replies.

The page itself is `harken.evaluation.page`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harken.evaluation.asking.answers import Kept
from harken.evaluation.empathy.figures import MEAN, RUBRIC
from harken.evaluation.empathy.items import Item
from harken.evaluation.judges.judging import Judging
from harken.evaluation.judges.verdicts import Verdict
from harken.evaluation.page.examples import Example, ExampleTurn
from harken.evaluation.page.plots import ByLabel, Plots
from harken.evaluation.page.runs import by_label, drawn, hashed, sound_of, write_run_page
from harken.evaluation.report import Report


def write_empathy_page(
    out: Path,
    replies: Mapping[Item, Kept | None],
    judging: Judging | None,
    report: Report,
    command: str | None = None,
) -> None:
    """Write `OUT/empathy.html`. Args: replies: each turn, and what was replied to it."""
    verdicts, means = (judging.verdicts, judging.means()) if judging else ({}, {})
    groups: dict[tuple[str, str], list[Item]] = {}
    for item in replies:
        groups.setdefault((item.lang, item.emotion), []).append(item)
    scores = by_label((item.emotion, means.get(item.id)) for item in replies)
    write_run_page(
        out,
        report,
        groups="language and emotion",
        examples=[
            _example(out, item, replies[item], verdicts.get(item.id))
            for item in drawn(groups.values(), lambda item: item.id)
        ],
        plots=Plots(by_label=ByLabel("the user's emotion", "judged mean", scores)),
        command=command,
        hashes=hashed(out, (item.file for item in replies), (item.recording for item in replies), [RUBRIC]),
    )


def _example(out: Path, item: Item, reply: Kept | None, verdict: Verdict | None) -> Example:
    said = reply.text if reply else None
    turn = ExampleTurn(item.text, item.emotion, item.recording, said, sound_of(out, reply), scored=True)
    scores = {**verdict.scores, MEAN: verdict.mean} if verdict else {}
    return Example(
        item.id,
        item.lang,
        item.emotion,
        (turn,),
        scores,
        verdict.reasons if verdict else {},
        verdict.comment if verdict else "",
        facts={} if said else {"reply": "none"},
    )
