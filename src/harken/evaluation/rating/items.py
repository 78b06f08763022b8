"""What people may rate of a run: dialogues up to the reply that counts, with where the sound lies.

A run writes `to-rate.jsonl`; it holds nothing of who replied. Recordings of the users stay where they are, so
a run whose data have moved writes it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harken.data.files import json_rows, write_text
from harken.errors import DataError
from harken.evaluation.asking.answers import FILE
from harken.evaluation.humdial.dialogues import Reading
from harken.evaluation.humdial.replies import SPOKEN_TASK, Replies
from harken.evaluation.humdial.testset import Case
from harken.evaluation.humdial.verdicts import judged_turn
from harken.evaluation.language import Language

ITEMS = "to-rate.jsonl"
_AGAIN = "run the same `harken evaluate humdial` again: nothing is asked twice"


@dataclass(frozen=True)
class Exchange:
    """What the user said, and the reply."""

    text: str
    sound: Path
    reply: str | None
    reply_sound: Path | None


@dataclass(frozen=True)
class Item:
    """A dialogue; the last reply of it is rated."""

    id: str
    language: Language
    exchanges: tuple[Exchange, ...]


def write_items(out: Path, cases: Sequence[Case], replies: Replies, reading: Reading) -> None:
    """Write `OUT/to-rate.jsonl`: the dialogues of task 3 whose target turn has a spoken reply."""
    rows = [row for case in cases if case.task == SPOKEN_TASK and (row := _row(out, case, replies, reading))]
    write_text(out / ITEMS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_items(out: Path) -> list[Item]:
    """What a run has for people to rate, in its order.

    Raises: DataError for a folder that holds no finished run, a run without spoken replies, and recordings
        that are not where they were.
    """
    if not (out / FILE).is_file():
        raise DataError(f"{out} holds no run of HumDial", "name what was --out of `harken evaluate humdial`")
    if not (out / ITEMS).is_file():
        raise DataError(f"{out} holds a run that is not finished: it has no {ITEMS}", _AGAIN)
    try:
        items = [_item(out, row) for _, row in json_rows(out / ITEMS)]
    except (KeyError, TypeError) as error:
        raise DataError(f"{out / ITEMS}: cannot be read: {error!r}", _AGAIN) from None
    if not items:
        raise DataError(
            f"{out} has no spoken reply to rate",
            "give the system a voice (--voice), and dialogues of task 3",
        )
    for item in items:
        for exchange in item.exchanges:
            for sound in (exchange.sound, exchange.reply_sound):
                if sound is not None and not sound.is_file():
                    raise DataError(f"{out}: the recording {sound} is missing", _AGAIN)
    return items


def _row(out: Path, case: Case, replies: Replies, reading: Reading) -> dict[str, object] | None:
    """None where the reply that counts was not spoken."""
    target, of_turn = judged_turn(case.dialogue, case.task, reading), replies.of(case)
    if target is None or target.turn_id not in of_turn or not of_turn[target.turn_id].sound:
        return None
    name, exchanges = case.dialogue.dialogue_id, []
    for turn, recording in zip(case.dialogue.turns, case.recordings, strict=True):
        reply = of_turn.get(turn.turn_id)
        exchanges.append(
            {
                "text": turn.text,
                "sound": str(recording.resolve()),
                "reply": reply.text if reply else None,
                "reply_sound": reply.sound if reply else None,
            }
        )
        if turn is target:
            break
    return {"id": name, "language": case.language, "exchanges": exchanges}


def _item(out: Path, row: dict[str, Any]) -> Item:
    exchanges = tuple(
        Exchange(
            each["text"],
            Path(each["sound"]),
            each["reply"],
            out / each["reply_sound"] if each["reply_sound"] else None,
        )
        for each in row["exchanges"]
    )
    return Item(row["id"], row["language"], exchanges)
