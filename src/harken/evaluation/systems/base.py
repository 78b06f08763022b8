"""What a system under test is: a conversation in, an answer in text and, where it speaks, in sound out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

from harken.audio.io import Samples
from harken.errors import HarkenError
from harken.weights.unpack import sha256_of


class Unanswered(HarkenError):
    """A system gave no answer to one question. The next one may well be answered."""


@dataclass(frozen=True)
class Question:
    """One conversation that ends with the user, who is to be answered."""

    dataset: str
    """Where it is from, for systems that look answers up."""
    key: str
    """Its name in the data set."""
    recordings: tuple[Path, ...]
    """What the user said, in order, one or more."""
    replies: tuple[str | None, ...] = ()
    """What the system said to each recording but the last; None where it said nothing."""
    instruction: str | None = None
    """What to do with the last turn; None is to answer it."""
    spoken: bool = False
    """Is the sound of the answer wanted?"""
    candidates: tuple[str, ...] = ()
    """Answers to choose from by how likely they are: for systems that can (`ranks`), and for no others."""
    felt: bool = False
    """Is it wanted what the system makes of the user's feeling?"""

    @property
    def turns(self) -> list[tuple[Path, str | None]]:
        """Each recording with what the system said to it."""
        return list(zip_longest(self.recordings, self.replies))

    @property
    def digest(self) -> str:
        """Of what is asked: what the recordings hold (their names, where they are not there), the instruction
        and the candidates."""
        asked = json.dumps([[_hash(path) for path in self.recordings], self.instruction, self.candidates])
        return hashlib.sha256(asked.encode()).hexdigest()[:16]


def _hash(recording: Path) -> str:
    if not recording.is_file():
        return recording.name
    told = recording.stat()
    return _hash_of(recording, told.st_mtime_ns, told.st_size)


@cache
def _hash_of(file: Path, changed_ns: int, size_bytes: int) -> str:
    """A conversation is looked up often: each state of a file is read once."""
    return sha256_of(file)


@dataclass(frozen=True)
class Felt:
    """What a system says it makes of the user's feeling; None is what it does not say."""

    heard: str | None = None
    """The emotion in the sound alone."""
    stated: str | None = None
    """The emotion that its reasoning states."""
    cause: str | None = None
    """The words that its reasoning rests on."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a system answered."""

    text: str
    samples: Samples | None = None  # (N,)
    """Its sound; None where it was not wanted or the system does not speak."""
    sample_rate: int = 0  # Hz
    first_audio_s: float | None = None
    """From the question to the first sound; None where that is not known."""
    felt: Felt | None = None


class System(Protocol):
    """A system under test."""

    @property
    def name(self) -> str:
        """What reports call it."""
        ...

    @property
    def concurrency(self) -> int:
        """How many questions it takes at once: more than one come from several threads, one at a time from
        the thread that began, within its event loop."""
        ...

    def answer(self, question: Question) -> Answer:
        """Answer the end of a conversation.

        Raises: Unanswered where this question has no answer, another HarkenError where none will have.
        """
        ...


def head_of(benchmark: str, system: System, **more: object) -> dict[str, object]:
    """Whose answers these are, and to what: the head of a file of them."""
    return {
        "benchmark": benchmark,
        "system": system.name,
        "voice": getattr(system, "voice", None),  # a system that speaks in one that was chosen has it
        **more,
    }


def ranks(system: System) -> bool:
    """Whether a system chooses among `Question.candidates` by how likely it finds them."""
    return bool(getattr(system, "ranks", False))
