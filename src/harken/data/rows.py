"""Rows: the items that every construction step takes and gives, with where each came from.

A row is a conversation that ends where a model is to answer, what it should answer, and how that came about.
It is a tree of frozen dataclasses; `harken.data.shards` keeps rows in Parquet, `harken.data.workspace` the
audio that they name. A step that adds to a row keeps its id; a step that makes new rows derives theirs
(`derive`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

SCHEMA_VERSION = 2

Task = Literal[
    "source", "respond", "empathy", "trajectory", "reasoning", "paralinguistic", "contrast", "reflect"
]
TASKS: tuple[Task, ...] = (
    "source",  # what steps start from; leaves no training row of its own
    "respond",  # stage 1-1: the answer to the words
    "empathy",  # HumDial task 3: the answer to how they were said, and why
    "trajectory",  # HumDial task 1: how the emotion moved through the dialogue
    "reasoning",  # HumDial task 2: what lies behind it
    "paralinguistic",  # seed 003: questions about what was said and how
    "contrast",  # the same words in other emotions
    "reflect",  # seed 004: a reply, and what is thought of it while it is given
)
Origin = Literal["human", "rule", "model"]
"""Who says so: annotators, the rule by which a voice acted the emotion, or a model that heard it."""


@dataclass(frozen=True)
class Word:
    """A word and when it was said, in seconds from the start of its turn."""

    w: str
    t0: float
    t1: float


@dataclass(frozen=True)
class Speaker:
    """Who speaks, as far as known."""

    id: str | None = None
    gender: str | None = None  # female, male
    age: str | None = None  # child, young, adult, senior


@dataclass(frozen=True)
class Vad:
    """Valence, arousal and dominance, each from -1 to 1."""

    valence: float
    arousal: float
    dominance: float


@dataclass(frozen=True)
class Affect:
    """How a turn, or its span from `t0` to `t1` (seconds), was said; one of `affect.labels.EMOTIONS`."""

    label: str
    source: Origin
    confidence: float | None = None
    scores: tuple[tuple[str, float], ...] = ()  # (label, probability), labels sorted
    vad: Vad | None = None
    model: str | None = None  # name and revision of the labeler, where a model heard it
    t0: float | None = None
    t1: float | None = None


@dataclass(frozen=True)
class Cause:
    """Words that say why the speaker feels so, and the turn (from 0) that they are in."""

    turn: int
    span: str


@dataclass(frozen=True)
class Turn:
    """What one side says. `audio` names a recording (`harken.data.workspace`)."""

    role: Literal["user", "assistant"]
    text: str
    audio: str | None = None
    seconds: float | None = None
    units: tuple[int, ...] = ()
    words: tuple[Word, ...] = ()
    speaker: Speaker = Speaker()
    affect: tuple[Affect, ...] = ()
    cause: tuple[Cause, ...] = ()
    style: str | None = None  # of a reply: gentle, calm, warm, bright

    @property
    def emotion(self) -> str | None:
        """The label of the whole turn; None where nobody said, or where it is an abstention."""
        whole = [a for a in self.affect if a.t0 is None] or list(self.affect)
        return whole[0].label if whole and whole[0].label != "other" else None


@dataclass(frozen=True)
class Instruction:
    """What the model is told to do with the conversation, written or spoken."""

    text: str
    audio: str | None = None
    voice: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Question:
    """What a paralinguistic row asks: C content, E emotion, G gender and their pairs; and what answers it."""

    text: str
    type: Literal["C", "CE", "CG", "E", "G"]
    level: Literal["simple", "complex"]
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reflection:
    """What is thought of the reply, and never spoken, after the first `at` characters of the target."""

    at: int
    text: str


@dataclass(frozen=True)
class Teacher:
    """The language model that wrote a row's target (where a person did: its trace, or what is reflected), and
    from what."""

    name: str
    revision: str
    prompt_sha256: str  # of the prompt's template; the build keeps the text beside the shards
    sampling: str  # canonical JSON
    seed: int


@dataclass(frozen=True)
class Row:
    """One item of a data set."""

    id: str
    group: str
    split: str  # train, dev
    task: Task
    stage: str  # "" for source rows, else 1-1, 1-2, 2, reflect
    lang: str  # en, zh
    source: str
    licence: str
    shippable: bool  # may what was trained on it be shipped?
    turns: tuple[Turn, ...]
    parents: tuple[str, ...] = ()
    instruction: Instruction | None = None
    injection: str | None = None  # the opening of the think block that IEAT put in
    trace: str | None = None  # the whole think block, injection included; never spoken
    target: str | None = None  # the answer; once spoken, a copy of it is the last turn
    qa: Question | None = None
    teacher: Teacher | None = None
    codec_sha256: str | None = None
    reflections: tuple[Reflection, ...] = ()  # in the order of the target
    given: int = 0  # characters of the target that were said already, weakly, and are not to be learned
    rejected: str | None = None  # a weaker answer to the same

    @property
    def last_user(self) -> Turn:
        """The turn that is answered. Raises ValueError where nobody spoke."""
        for turn in reversed(self.turns):
            if turn.role == "user":
                return turn
        raise ValueError(f"row {self.id} has no user's turn")


ADDED: dict[int, tuple[str, ...]] = {2: ("reflections", "given", "rejected")}
"""Schema version -> the fields of a row that it brought; rows that were written before have none."""


def content_id(*parts: Any) -> str:
    """A name of 20 hex digits for `parts` (anything JSON can hold): equal for equal parts, anywhere."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def derive(row: Row, maker: str, number: int = 0, parents: tuple[Row, ...] = (), **changes: Any) -> Row:
    """A new row made from `row` (and `parents`) by `maker`, a step's fingerprint: new id, and its parents.

    Args:
        number: tells apart several rows that one step makes from the same rows.
    """
    made_from = tuple(parent.id for parent in (parents or (row,)))
    return replace(row, id=content_id(maker, number, made_from), parents=made_from, **changes)


def with_last_user(row: Row, **changes: Any) -> Row:
    """The row with its last user's turn changed."""
    last = max(i for i, turn in enumerate(row.turns) if turn.role == "user")
    turns = [replace(turn, **changes) if i == last else turn for i, turn in enumerate(row.turns)]
    return replace(row, turns=tuple(turns))


def to_json(row: Row) -> dict[str, Any]:
    """The row as plain lists and dictionaries."""
    return asdict(row)
