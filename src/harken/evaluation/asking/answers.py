"""A system's answers in a folder, kept as they come, so that a run that is stopped goes on.

Every answer is one line of `answers.jsonl`; its sound is a file beside it. What was not answered is not kept:
the next run asks for it again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harken.audio.io import write
from harken.errors import DataError, InputError
from harken.evaluation.asking.recordings import file_name
from harken.evaluation.problems import json_objects
from harken.evaluation.systems.base import Answer, Felt, Question

FILE = "answers.jsonl"
SOUND = "sound"
LOCK = ".answers.lock"
"""Held by the process that asks: two would write over each other's answers."""


@dataclass(frozen=True)
class Kept:
    """A system's answer to one question."""

    dataset: str
    key: str
    text: str
    sound: str | None
    """The file of its sound in the folder; None where there is none."""
    first_audio_s: float | None
    asked: str
    """`Question.digest` of what was answered."""
    felt: Felt | None = None


class Answers:
    """The answers of one system in one folder."""

    def __init__(
        self,
        folder: Path,
        head: Mapping[str, object],
        sound_file: Callable[[Question], Path] | None = None,
    ) -> None:
        """Read what is there. A line that was torn when a run was killed is dropped.

        Args:
            head: whose answers, and to what; a folder holds those of one head.
            sound_file: where the sound of an answer goes, under the folder; None is a folder of its own.

        Raises: DataError where the folder holds answers under another head, InputError where it cannot be
            written.
        """
        self.folder = folder
        self._sound_file = sound_file or self._beside
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Kept] = {}
        if self._path.exists():
            self._read(dict(head))
        else:
            self._append(dict(head))

    def get(self, question: Question) -> Kept | None:
        """The answer to a question, where it was answered; one to another question of its name is none."""
        kept = self._kept.get((question.dataset, question.key))
        return kept if kept is not None and kept.asked == question.digest else None

    def keep(self, question: Question, answer: Answer) -> Kept:
        """Its sound first: a line in the file stands for a whole answer. Raises InputError."""
        place = None
        if answer.samples is not None and question.spoken:
            path = self._sound_file(question)
            self._make(path.parent)
            write(path, answer.samples, answer.sample_rate)
            place = path.relative_to(self.folder).as_posix()
        kept = Kept(
            question.dataset,
            question.key,
            answer.text,
            place,
            answer.first_audio_s,
            question.digest,
            answer.felt,
        )
        with self._lock:
            self._append(asdict(kept))
            self._kept[kept.dataset, kept.key] = kept
        return kept

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While answers are asked for, the folder is this process's. Raises DataError where it is another's,
        InputError where it cannot be written.
        """
        self._make(self.folder)
        claim = FileLock(self.folder / LOCK, timeout=0)
        try:
            claim.acquire()
        except Timeout:
            hint = "wait for it, or name another folder after --out"
            raise DataError(f"{self.folder}: another run keeps its answers there", hint) from None
        except OSError as error:
            raise InputError(
                f"{self.folder}: cannot be written: {error.strerror}", "name another folder"
            ) from None
        try:
            yield
        finally:
            claim.release()

    def _beside(self, question: Question) -> Path:
        return self.folder / SOUND / question.dataset / f"{file_name(question.key)}.wav"

    def _append(self, row: dict[str, object]) -> None:
        self._make(self.folder)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise InputError(
                f"{self._path}: cannot be written: {error.strerror}", "name another folder"
            ) from None

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made: {error.strerror}", "name another folder") from None

    def _read(self, head: dict[str, object]) -> None:
        if not self._path.read_bytes().endswith(b"\n"):  # torn: what follows must not be written onto it
            with self._path.open("ab") as file:
                file.write(b"\n")
        rows = [row for _, row in json_objects(self._path)[0]]
        if not rows:
            self._append(head)
            return
        if rows[0] != head:
            raise DataError(
                f"{self._path} holds other answers: {rows[0]}, not {head}", "name another folder after --out"
            )
        for row in rows[1:]:
            felt = row.pop("felt", None)
            kept = Kept(**row, felt=Felt(**felt) if felt else None)
            self._kept[kept.dataset, kept.key] = kept
