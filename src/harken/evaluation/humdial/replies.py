"""A system's replies to HumDial's dialogues, kept as they come, so that a run that is stopped goes on.

A dialogue is held turn by turn: the system hears what the user said so far and knows what it replied itself.
Every reply is one line of `replies.jsonl`; its sound, for task 3, lies in the submission. A turn that it
could not answer is left out and not kept: the next run asks for it again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harken.errors import DataError, InputError
from harken.evaluation.humdial.dialogues import Dialogue
from harken.evaluation.humdial.submission import reply_file, task_file, write_reply
from harken.evaluation.humdial.testset import Case
from harken.evaluation.language import Language
from harken.evaluation.problems import json_objects
from harken.evaluation.systems.base import Answer, Question, System, Unanswered

FILE = "replies.jsonl"
SPOKEN_TASK = 3
QUESTIONS: dict[tuple[Language, int], str] = {
    ("en", 1): "How did my feelings change in the course of this conversation, and what changed them?",
    ("zh", 1): "在这段对话里，我的情绪经历了哪些变化？每次是因为什么？",
    ("en", 2): "Why do I feel like this now? What is the real reason?",
    ("zh", 2): "我现在为什么会有这样的感受？真正的原因是什么？",
}
"""What tasks 1 and 2 ask, for dialogues whose last turn does not ask it itself."""


@dataclass(frozen=True)
class Reply:
    """A system's reply to one turn."""

    language: Language
    task: int
    dialogue_id: str
    turn_id: int
    text: str
    spoken: bool
    """Is its sound in the submission?"""
    first_audio_s: float | None


@dataclass(frozen=True)
class Failure:
    """A turn that was not answered."""

    dialogue_id: str
    turn_id: int
    why: str


class Replies:
    """The replies of one system in one folder."""

    def __init__(self, folder: Path, system: str, ask: bool = False) -> None:
        """Read what is there. A line that was torn when a run was killed is dropped.

        Args:
            system: whose replies; a folder holds those of one.
            ask: put `QUESTIONS` beside the last turn.

        Raises: DataError where the folder holds replies of another system or to other questions, or cannot
            be written.
        """
        self._folder, self._ask = folder, ask
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._kept: dict[tuple[Language, int, str, int], Reply] = {}
        head = {"system": system, "ask": ask}
        if self._path.exists():
            self._read(head)
        else:
            self._append(head)

    def of(self, case: Case) -> dict[int, Reply]:
        """Turn id -> the reply to it, of the turns that were answered."""
        keys = [(case.language, case.task, case.dialogue.dialogue_id, t.turn_id) for t in case.dialogue.turns]
        return {key[-1]: self._kept[key] for key in keys if key in self._kept}

    def dialogue(self, case: Case) -> Dialogue:
        """The dialogue with the replies in it, as a submission has them; other replies are taken out."""
        replies = self.of(case)
        turns = []
        for turn in case.dialogue.turns:
            reply = replies.get(turn.turn_id)
            name = case.dialogue.dialogue_id
            sound = reply_file(self._folder, case.language, name, turn.turn_id)
            place = str(sound.relative_to(sound.parents[1])) if reply and reply.spoken else None
            turns.append(replace(turn, response_text=reply.text if reply else None, response_audio=place))
        return replace(case.dialogue, turns=tuple(turns))

    def collect(self, system: System, cases: Sequence[Case]) -> Iterator[list[Failure]]:
        """Ask for what is missing; gives what was not answered of each case, as it is done.

        Raises: HarkenError where the system cannot answer at all; what it answered before is kept.
        """
        stopped = threading.Event()
        pool = ThreadPoolExecutor(system.concurrency, thread_name_prefix="harken-system")
        try:
            held = [pool.submit(self._hold, system, case, stopped) for case in cases]
            for done in as_completed(held):
                yield done.result()
        finally:  # also when interrupted: what waits is not asked any more
            stopped.set()
            pool.shutdown(cancel_futures=True)

    def _hold(self, system: System, case: Case, stopped: threading.Event) -> list[Failure]:
        """Hold one dialogue."""
        failures: list[Failure] = []
        for number, turn in enumerate(case.dialogue.turns):
            if stopped.is_set():
                break
            if turn.turn_id in self.of(case):
                continue
            try:
                answer = system.answer(self._question(case, number))
            except Unanswered as error:
                failures.append(Failure(case.dialogue.dialogue_id, turn.turn_id, error.message))
            except BaseException:  # no other dialogue is begun
                stopped.set()
                raise
            else:
                self._keep(case, turn.turn_id, answer)
        return failures

    def _question(self, case: Case, number: int) -> Question:
        """About the turn of that number, from 0."""
        turns, so_far = case.dialogue.turns, self.of(case)
        before = [so_far.get(turn.turn_id) for turn in turns[:number]]
        last = number == len(turns) - 1
        return Question(
            _dataset(self._folder, case),
            f"{case.dialogue.dialogue_id}_{turns[number].turn_id}",
            case.recordings[: number + 1],
            tuple(reply.text if reply else None for reply in before),
            QUESTIONS.get((case.language, case.task)) if self._ask and last else None,
            spoken=case.task == SPOKEN_TASK,
        )

    def _keep(self, case: Case, turn_id: int, answer: Answer) -> None:
        """Its sound first: a line in the file stands for a whole reply."""
        name, spoken = case.dialogue.dialogue_id, False
        if answer.samples is not None and case.task == SPOKEN_TASK:
            write_reply(self._folder, case.language, name, turn_id, answer.samples, answer.sample_rate)
            spoken = True
        reply = Reply(case.language, case.task, name, turn_id, answer.text, spoken, answer.first_audio_s)
        with self._lock:
            self._append(asdict(reply))
            self._kept[reply.language, reply.task, name, turn_id] = reply

    def _append(self, row: dict[str, object]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        except OSError as error:
            raise InputError(
                f"{self._path}: cannot be written: {error.strerror}", "name another folder"
            ) from None

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
                f"{self._path} holds other replies: {rows[0]}, not {head}", "name another folder after --out"
            )
        for row in rows[1:]:
            reply = Reply(**row)
            self._kept[reply.language, reply.task, reply.dialogue_id, reply.turn_id] = reply


def _dataset(folder: Path, case: Case) -> str:
    """The file of a submission that holds the dialogue, as predictions are looked up."""
    return str(task_file(folder, case.language, case.task).relative_to(folder).with_suffix("").as_posix())
