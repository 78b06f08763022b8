"""Text samples from annotated dialogues: what a good reply says, and what a good trace names.

They teach the core, by a low-rank update, to answer as a listener in short spoken sentences and to think in
Harken's form. `harken.training.align` reuses them with speech in the place of the last user turn.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from harken.data.dialogues import Dialogue, Utterance, read_dialogues
from harken.dialogue.render import REPEAT, AssistantTurn, Turn, UserTurn, trace
from harken.errors import DataError

WITH_HISTORY = 0.6
"""Share of the replies that are taught with the turns before them."""

LISTENING = (
    None,
    "Questions",
    "Reflection of feelings",
    "Affirmation and Reassurance",
    "Restatement or Paraphrasing",
    "Providing Suggestions",
)
"""Supporters' strategies that are taught; what is left out is talk about themselves."""

Task = Literal["reply", "trace", "repeat"]
MOST_HISTORY = 3
"""Turns of history that a sample keeps."""
MOST_WORDS = 36
"""Longest reply that is taught, in words: it is spoken."""


@dataclass(frozen=True)
class Sample:
    """A conversation that ends with a user's turn, and what the core should write."""

    id: str
    task: Task
    split: str
    history: tuple[Turn, ...]
    said: str
    """The words of the last user turn."""
    emotion: str | None
    """How they were said, for a trace."""
    target: str
    gold: tuple[str, ...] = ()
    """Annotated cause spans, for scoring."""


def text_samples(folder: Path, seed: int = 0) -> list[Sample]:
    """All samples of the dialogue sets that Harken may train on, in a stable order.

    Args: folder: holds `reccon`, `esconv` and `styletalk` as `.jsonl.gz`.
    """
    reccon = read_dialogues(folder / "reccon.jsonl.gz")
    random = np.random.default_rng(seed)
    return [
        *styletalk_replies(folder / "styletalk.jsonl.gz", random),
        *dialogue_replies(read_dialogues(folder / "esconv.jsonl.gz"), "seeker", random, share=0.8),
        *dialogue_replies(reccon, None, random, share=0.2),
        *traces(reccon, random, {"happy": 0.35, "neutral": 0.12}),
    ]


def styletalk_replies(path: Path, random: np.random.Generator) -> Iterator[Sample]:
    """StyleTalk: the same context with differently felt replies."""
    if not path.exists():
        raise DataError(f"{path} does not exist", "name the folder that holds the dialogue sets")
    with gzip.open(path, "rt") as lines:
        for row in map(json.loads, lines):
            said = re.split(r"\s*\b([AB]) : ", row["context"])[1:]
            pairs = list(zip(said[::2], (t.strip() for t in said[1::2]), strict=True))
            now = "A" if not pairs or pairs[-1][0] == "B" else "B"  # whoever did not speak last
            past = _turns([(s == now, text) for s, text in pairs]) if random.random() < WITH_HISTORY else ()
            yield Sample(row["id"], "reply", row["split"], past, row["text"], None, row["reply"])


def dialogue_replies(
    dialogues: list[Dialogue], user: str | None, random: np.random.Generator, share: float
) -> Iterator[Sample]:
    """The next turn of the other speaker as the reply, for a share of the turns of `user` (None: anyone)."""
    for dialogue in dialogues:
        for now, following in zip(dialogue.turns, dialogue.turns[1:], strict=False):
            fits = now.speaker != following.speaker and user in (None, now.speaker)
            words = len(following.text.split())
            fits = fits and following.strategy in LISTENING and not following.text.isupper()
            if fits and 3 <= words <= MOST_WORDS and random.random() < share:
                past = history(dialogue, now) if random.random() < WITH_HISTORY else ()
                yield Sample(
                    f"{dialogue.id}-t{now.number}", "reply", dialogue.split, past, now.text, now.emotion,
                    tidy(following.text),
                )  # fmt: skip


def traces(
    dialogues: list[Dialogue], random: np.random.Generator, share: dict[str, float]
) -> Iterator[Sample]:
    """What to think of a turn: its emotion, and the cause that annotators marked in the dialogue so far.

    Args: share: how much of an emotion's train turns to take, where not all; most of everyday life is happy.
    """
    for dialogue in dialogues:
        for turn in dialogue.turns:
            if dialogue.split == "train" and random.random() >= share.get(turn.emotion or "neutral", 1.0):
                continue
            felt = turn.emotion not in (None, "neutral")
            if felt and not turn.causes:
                continue  # only background causes: nothing that words could name
            cause = min(turn.causes, key=len) if felt else None
            yield Sample(
                f"{dialogue.id}-t{turn.number}", "trace", dialogue.split, history(dialogue, turn), turn.text,
                turn.emotion, trace(turn.emotion or "neutral", cause), turn.causes,
            )  # fmt: skip


def tidy(text: str) -> str:
    """A typed reply as one would speak it: a capital at the start, a stop at the end, single spaces."""
    text = " ".join(text.split())
    text = re.sub(r"\bi\b", "I", text[:1].upper() + text[1:])
    return text if text[-1] in ".?!" else text + "."


def history(dialogue: Dialogue, now: Utterance) -> tuple[Turn, ...]:
    """The last turns before `now`, as its speaker's and the assistant's."""
    before = dialogue.before(now.number)[-MOST_HISTORY:]
    return _turns([(turn.speaker == now.speaker, turn.text) for turn in before])


def instruction(task: Task) -> str | None:
    return REPEAT if task == "repeat" else None


def _turns(said: list[tuple[bool, str]]) -> tuple[Turn, ...]:
    return tuple(UserTurn(text) if mine else AssistantTurn(text) for mine, text in said)
