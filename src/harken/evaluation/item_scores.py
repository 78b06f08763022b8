"""Scores of single items, kept on disk, so that two runs can be compared item by item.

FOLDER/item-scores.jsonl begins with a line that says whose scores they are and of which data; each further
line is one score of one item.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harken.data.files import write_text
from harken.errors import DataError
from harken.evaluation.problems import json_objects

FILE = "item-scores.jsonl"
ANSWER = "answer"


@dataclass(frozen=True)
class ItemScore:
    """What one item is worth by one measure."""

    id: str
    group: str
    """Items of a group are resampled together."""
    lang: str
    task: str
    measure: str
    score: float | None
    """None where it is unscored."""
    by: str = ANSWER
    """What of the system is scored: its answer, or another part of it by its name."""
    weight: float = 1.0
    """In the mean over items: of a word error rate, the reference's words."""
    chance: float | None = None
    """What guessing would score; None where that is not known."""
    why: str | None = None
    """Why it is unscored."""
    judge: str | None = None
    """Who scored it, and by which rubric; None where nobody judged."""

    @property
    def data(self) -> str:
        """What reports call the data that the item belongs to."""
        return f"{self.lang} {self.task}"

    @property
    def called(self) -> str:
        """The measure, and what it is of where that is not the answer."""
        return self.measure if self.by == ANSWER else f"{self.measure}, {self.by}"


def write_scores(folder: Path, head: Mapping[str, object], scores: Iterable[ItemScore]) -> None:
    """Write scores, whole or not at all. Args: head: whose they are, and of what."""
    rows: list[dict[str, Any]] = [dict(head), *map(asdict, scores)]
    write_text(folder / FILE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_scores(folder: Path) -> tuple[dict[str, Any], Sequence[ItemScore]]:
    """The head and the scores. Raises DataError where they are missing or of another form."""
    path = folder / FILE
    rows, problems = json_objects(path)
    try:
        if problems:
            raise ValueError(problems[0].what)
        return rows[0][1], [ItemScore(**row) for _, row in rows[1:]]
    except (IndexError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no scores of items: {error}", "score the run again") from None
