"""What the core, as the stage `core` left it, makes of written turns: the targets of self-distillation.

Each turn is answered twice, plainly and in a person's voice, whose affect vector stands before the words; and
asked for its cause, with an emotion injected into the think block (the IEAT step of the paper's 2.2). Which
emotion and whose voice depend on the words alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor

from harken.dialogue.render import THINK_OPEN, cause_opening
from harken.model.core import Core
from harken.model.listen import AffectPrefix
from harken.training.answers import Answer, answers

MOST_TOKENS = 40
"""Of an answer."""
MOST_CAUSE_TOKENS = 20


@dataclass(frozen=True)
class Teacher:
    """Who answers, and what it is told."""

    core: Core
    prefix: AffectPrefix
    tokenizer: Any
    system: str


@dataclass(frozen=True)
class OwnWords:
    """What was made of turns; each by the turn's words."""

    answers: dict[str, Answer]
    felt: dict[str, tuple[str, Answer]]
    """An emotion, and the answer to the words in a voice of it."""
    causes: dict[str, str]
    """What is named as the cause of an injected emotion."""


def make_own_words(teacher: Teacher, said: list[str], affects: dict[str, Tensor], folder: Path) -> OwnWords:
    """Ask the teacher about each turn; answers are kept in `folder`, and what is there is not asked again.

    Args: affects: emotion -> (M, V) readout vectors of people who acted it; where there are none each turn is
        answered plainly, and that is all.
    """
    emotions = sorted(affects)
    felt = {text: emotions[_number(text) % len(emotions)] for text in said if emotions}

    def voice(text: str) -> Tensor:
        people = affects[felt[text]]
        with torch.no_grad():
            one = people[_number(text) % len(people)][None].to(teacher.core.embed.weight.device)
            vectors: Tensor = teacher.prefix(one)[0]
        return vectors  # (K, D)

    def injected(text: str) -> str:
        return THINK_OPEN + cause_opening(felt[text] if felt[text] != "neutral" else "surprise")

    def made(name: str, about: str, most: int, **how: Any) -> dict[str, Answer]:
        file = folder / f"{name}.jsonl"
        found = answers(teacher.core, teacher.tokenizer, said, teacher.system, most, file, **how)
        return {answer.prompt: answer for answer in track(found, about, total=len(said))}

    plain = made("answers", "the core's own answers", MOST_TOKENS)
    if not emotions:
        return OwnWords(plain, {}, {})
    in_voice = made("felt", "its answers to people's voices", MOST_TOKENS, voice=voice)
    named = made("causes", "the causes it names", MOST_CAUSE_TOKENS, opening=injected)
    causes = {text: teacher.tokenizer.decode(a.tokens).split('"')[0] for text, a in named.items()}
    return OwnWords(
        plain,
        {text: (felt[text], answer) for text, answer in in_voice.items()},
        {text: cause for text, cause in causes.items() if cause.strip()},
    )


def _number(text: str) -> int:
    return zlib.crc32(text.encode())
