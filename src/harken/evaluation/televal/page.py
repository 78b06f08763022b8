"""A run of TELEVAL as a page: its report and questions that are drawn from it, with what was answered.

The page itself is `harken.evaluation.page`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harken.evaluation.asking.answers import Kept
from harken.evaluation.page.examples import Example, ExampleTurn
from harken.evaluation.page.runs import drawn, hashed, sound_of, write_run_page
from harken.evaluation.report import Report
from harken.evaluation.spoken_qa import Reference, item_score
from harken.evaluation.televal.sets import Item

NO_ANSWER = "no answer, which counts as wrong"


def write_televal_page(
    out: Path,
    items: Mapping[str, Sequence[Item]],
    kept: Mapping[str, Sequence[Kept | None]],
    report: Report,
    command: str | None = None,
) -> None:
    """Write `OUT/televal.html`. Args: items, kept: set -> its questions, and the answers to them in order."""
    groups = [
        [(name, item, answer) for item, answer in zip(of_set, kept[name], strict=True)]
        for name, of_set in items.items()
    ]
    every = [item for of_set in items.values() for item in of_set]
    write_run_page(
        out,
        report,
        groups="set",
        examples=[_example(out, *each) for each in drawn(groups, lambda each: each[1].key)],
        command=command,
        hashes=hashed(out, (item.file for item in every), (item.recording for item in every)),
    )


def _example(out: Path, name: str, item: Item, answer: Kept | None) -> Example:
    said = answer.text if answer else ""
    turn = ExampleTurn(item.query, None, item.recording, said, sound_of(out, answer), scored=True)
    right = "right" if item_score(said, item.answer) else "wrong"
    facts = {"reference": _in_words(item.answer), "scored as": right if said.strip() else NO_ANSWER}
    return Example(item.key, name.rpartition("-")[2], name, (turn,), facts=facts)


def _in_words(reference: Reference) -> str:
    match reference:
        case str():
            return reference
        case tuple():
            return " and ".join(map(_in_words, reference))
    return " or ".join(map(_in_words, reference))
