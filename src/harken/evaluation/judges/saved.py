"""Verdicts as a file: a line a judgement, with its reasons or its fault, for whoever wants to read along."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from harken.data.files import write_text
from harken.errors import InputError
from harken.evaluation.judges.judging import Judging
from harken.evaluation.judges.verdicts import Verdict

FILE = "verdicts.jsonl"

Row = dict[str, object]


def verdict_rows(judging: Judging, **about: object) -> list[Row]:
    """A row a judgement. Args: about: what else each row says, such as task and language."""
    rows: list[Row] = []
    for judgement in judging.judgements:
        head = {"id": judgement.id, **about, "rubric": judging.rubric, "judge": judging.judge}
        outcome = judgement.outcome
        if isinstance(outcome, Verdict):
            said = {"scores": outcome.scores, "reasons": outcome.reasons, "comment": outcome.comment}
        else:
            said = {"fault": outcome.reason, "detail": outcome.detail}
        rows.append({**head, **said})
    return rows


def save_verdicts(folder: Path, rows: Iterable[Row]) -> None:
    """Write `FILE`, whole or not at all. Raises InputError where it cannot."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / FILE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}", "name another folder") from None
