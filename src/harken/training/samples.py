"""Text samples from annotated dialogues: what a good reply says, and what a good trace names.

Replies and traces come from Harken's own listening dialogues (`harken/data/listening/`), more traces from
RECCON. They teach the core, by a low-rank update, to answer as a listener in short spoken sentences and to
think in Harken's form. `harken.training.align` reuses them with speech in the place of the last user turn.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harken.data.dialogues import Dialogue, Utterance, read_dialogues
from harken.dialogue.render import AssistantTurn, Turn, UserTurn, trace

Task = Literal["reply", "trace", "repeat"]
MOST_HISTORY = 3
"""Turns of history that a sample keeps."""
REPLY_TIMES = 2
"""How often a listener's reply is taken for each time that its trace is."""


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
    """How they were said, where that is known."""
    target: str
    gold: tuple[str, ...] = ()
    """Annotated cause spans."""
    open: bool = False
    """The words leave the feeling open, so that only the voice tells it."""


def text_samples(folder: Path) -> list[Sample]:
    """All samples that `mini` learns from, in a stable order.

    Args: folder: holds `reccon.jsonl.gz`.

    Raises: DataError where that is missing.
    """
    reccon = read_dialogues(folder / "reccon.jsonl.gz")
    random = np.random.default_rng(0)
    own = list(listening_samples(listening_dialogues()))
    replies = [sample for sample in own if sample.task == "reply"]
    return [*own, *replies * (REPLY_TIMES - 1), *traces(reccon, random, {"happy": 0.35, "neutral": 0.12})]


def listening_dialogues() -> list[dict[str, Any]]:
    """The dialogues that come with Harken, as `harken/data/listening/README.md` describes them."""
    folder = files("harken.data") / "listening"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".jsonl")), key=lambda f: f.name)
    return [json.loads(line) for file in found for line in file.read_text("utf-8").splitlines()]


def listening_samples(dialogues: Iterable[dict[str, Any]]) -> Iterator[Sample]:
    """Each user's turn as a reply and as a trace."""
    dialogues = list(dialogues)
    felt = defaultdict(set)
    for dialogue in dialogues:
        felt[dialogue["turns"][0]["text"]].add(dialogue["turns"][0]["emotion"])
    for dialogue in dialogues:
        turns, split, first = dialogue["turns"], dialogue["split"], dialogue["turns"][0]["text"]
        for place in range(0, len(turns) - 1, 2):
            now, following = turns[place], turns[place + 1]
            past = _turns([(t["speaker"] == "user", t["text"]) for t in turns[:place]][-MOST_HISTORY:])
            emotion, cause = now["emotion"], now.get("cause")
            name, opens = f"{dialogue['id']}-t{place + 1}", place == 0 and len(felt[first]) > 1
            thought = trace(emotion, cause)
            gold = (cause,) if cause else ()
            yield Sample(name, "reply", split, past, now["text"], emotion, following["text"], gold, opens)
            yield Sample(name, "trace", split, past, now["text"], emotion, thought, gold, opens)


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
            cause = min(turn.causes, key=len, default=None)
            yield Sample(
                f"{dialogue.id}-t{turn.number}", "trace", dialogue.split, history(dialogue, turn), turn.text,
                turn.emotion, trace(turn.emotion or "neutral", cause), turn.causes,
            )  # fmt: skip


def history(dialogue: Dialogue, now: Utterance) -> tuple[Turn, ...]:
    """The last turns before `now`, as its speaker's and the assistant's."""
    before = dialogue.before(now.number)[-MOST_HISTORY:]
    return _turns([(turn.speaker == now.speaker, turn.text) for turn in before])


def _turns(said: list[tuple[bool, str]]) -> tuple[Turn, ...]:
    return tuple(UserTurn(text) if mine else AssistantTurn(text) for mine, text in said)
