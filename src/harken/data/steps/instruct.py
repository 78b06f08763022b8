"""*instruct*: says aloud, in many words and voices, what is asked of a conversation.

Before the first shard the teacher writes instructions for the tasks trajectory and reasoning
(`instruct_texts`). They stand in `instructions/TASK.LANG.txt` under the build's folder, one a line, for a
person to go through: a line that is deleted, or begins with #, is not used, and a file that is there is never
written again. Each row of those tasks draws one and hears it from one of fifty voices. The recording is kept
apart from the conversation's; training puts it before the first turn.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from harken.data.rows import Instruction, Row, content_id
from harken.data.speech_making import Said, Speech, SpeechMaker, Unspoken, side_by_side
from harken.data.steps import instruct_texts
from harken.data.steps.base import Dropped, Resources, Step, StepConfig
from harken.data.steps.instruct_texts import LANGS, SPOKEN_TASKS, write_instructions
from harken.data.workspace import Workspace
from harken.errors import DataError
from harken.llm.base import LLM
from harken.voices.base import NEUTRAL

FOLDER = "instructions"
PROMPTS = instruct_texts.PROMPTS
"""What the teacher is told; the build keeps it beside the shards."""

_TRIES = 3  # draws of words and voice until one can be read back


class Instruct(StepConfig):
    """Spoken instructions for trajectory and reasoning rows."""

    computes: ClassVar[bool] = True

    step: Literal["instruct"] = "instruct"
    llm: str = "teacher"
    """Who writes them, by its name in the recipe."""
    per_task: int = Field(default=500, ge=2)
    """Texts a task, half of them in each language."""
    voices: int = Field(default=50, ge=1)
    """Voices a language; interpolated where there are fewer."""
    order: Literal["before"] = "before"
    """Where training puts the instruction: before the conversation. The paper does not say."""
    speech: Speech = Speech()

    def limited(self, rows: int) -> Self:
        return self.model_copy(update={"per_task": max(2, min(self.per_task, rows))})

    def prepare(self, resources: Resources) -> None:
        """Write the review files that are not there yet, side by side: each of them asks little at a time.

        Raises DataError where the teacher does not answer, or a file cannot be written.
        """
        folder = resources.folder / FOLDER
        files = {key: review_file(folder, *key) for key in product(SPOKEN_TASKS, LANGS)}
        missing = [key for key, path in files.items() if not path.exists()]
        if not missing:
            return
        teacher = resources.llm(self.llm)

        def write(key: tuple[str, str]) -> None:
            count = self.per_task // len(LANGS)
            _save(files[key], write_instructions(teacher, *key, count, resources.seed), count, teacher)

        with ThreadPoolExecutor(len(missing)) as pool:
            list(pool.map(write, missing))

    def open(self, resources: Resources) -> Step:
        """Raises DataError where a review file is not there or has nothing left in it."""
        texts = {
            (task, lang): read_review(review_file(resources.folder / FOLDER, task, lang))
            for task in SPOKEN_TASKS
            for lang in LANGS
        }
        return InstructStep(self, texts, self.speech.open())


@dataclass(frozen=True)
class InstructStep:
    """The step, with the instructions that stood the review and what speaks them."""

    config: Instruct
    texts: dict[tuple[str, str], list[str]]
    maker: SpeechMaker

    def __call__(self, rows: Sequence[Row], workspace: Workspace) -> Iterator[Row | Dropped]:
        def instruct(row: Row) -> Row | Dropped:
            if (row.task, row.lang) not in self.texts:
                return row
            try:
                return replace(row, instruction=self._spoken(row, workspace))
            except Unspoken as fault:
                return Dropped(row, self.config.step, fault.reason, fault.detail)

        yield from side_by_side(instruct, rows)

    def _spoken(self, row: Row, workspace: Workspace) -> Instruction:
        """Words and a voice by the row's id; others where these cannot be read back."""
        config, dice = self.config, random.Random(content_id(row.id, self.config.maker))
        voices = config.speech.voices.many(row.split, row.lang, config.voices)
        for tries_left in reversed(range(_TRIES)):
            text, voice = dice.choice(self.texts[row.task, row.lang]), dice.choice(voices)
            try:
                said: Said = self.maker.say(text, row.lang, voice, NEUTRAL, workspace)
            except Unspoken:
                if not tries_left:
                    raise
            else:
                return Instruction(text, said.audio, voice, said.seconds)
        raise AssertionError("the last try gives or raises")


def review_file(folder: Path, task: str, lang: str) -> Path:
    return folder / f"{task}.{lang}.txt"


def read_review(path: Path) -> list[str]:
    """The lines that stood the review. Raises DataError where there are none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}", "delete it to have it written again") from None
    kept = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not kept:
        raise DataError(
            f"{path} has no instruction left", "leave some, or delete it to have it written again"
        )
    return kept


def _save(path: Path, texts: Sequence[str], wanted: int, teacher: LLM) -> None:
    """The review file, whole or not at all."""
    short = f"# {wanted} were wanted, it had no more than {len(texts)}." if len(texts) < wanted else None
    head = [
        f"# Instructions that {teacher.name} ({teacher.revision}) wrote. Delete a line, or put # before it,",
        "# and it is not used. Delete the file and it is written again.",
        *([short] if short else []),
    ]
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text("\n".join([*head, *texts]) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}", "free some room") from None
