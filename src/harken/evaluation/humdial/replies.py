"""A system's replies to HumDial's dialogues: what is asked of each, and the dialogue with what was answered.

A dialogue is held turn by turn: the system hears what the user said so far and knows what it replied itself.
The sound of replies, for task 3, lies in the submission.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harken.evaluation.asking.answers import Answers, Kept
from harken.evaluation.asking.exchanges import Exchange
from harken.evaluation.humdial.dialogues import Dialogue
from harken.evaluation.humdial.submission import reply_file, task_file
from harken.evaluation.humdial.testset import Case
from harken.evaluation.language import Language
from harken.evaluation.systems.base import Question, System, head_of

SPOKEN_TASK = 3
QUESTIONS: dict[tuple[Language, int], str] = {
    ("en", 1): "How did my feelings change in the course of this conversation, and what changed them?",
    ("zh", 1): "在这段对话里，我的情绪经历了哪些变化？每次是因为什么？",
    ("en", 2): "Why do I feel like this now? What is the real reason?",
    ("zh", 2): "我现在为什么会有这样的感受？真正的原因是什么？",
}
"""What tasks 1 and 2 ask, for dialogues whose last turn does not ask it itself."""


@dataclass(frozen=True)
class Replies:
    """The replies of one system in one folder."""

    folder: Path
    answers: Answers
    ask: bool
    """Are `QUESTIONS` put beside the last turn?"""

    @staticmethod
    def open(folder: Path, system: System, cases: Sequence[Case], ask: bool = False) -> Replies:
        """Read what is there.

        Raises: DataError where the folder holds replies of another system or to other questions, InputError
            where it cannot be written.
        """
        places = {
            (_dataset(folder, case), _key(case, turn.turn_id)): reply_file(
                folder, case.language, case.dialogue.dialogue_id, turn.turn_id
            )
            for case in cases
            for turn in case.dialogue.turns
        }
        head = head_of("humdial", system, ask=ask)
        answers = Answers(folder, head, lambda question: places[question.dataset, question.key])
        return Replies(folder, answers, ask)

    def exchange(self, case: Case) -> Exchange:
        """The dialogue as questions, one a turn."""
        turns = case.dialogue.turns
        said = tuple(f"{turn.text} ({turn.emotion})" if turn.emotion else turn.text for turn in turns)
        questions = tuple(self._question(case, number) for number in range(len(turns)))
        return Exchange(case.dialogue.dialogue_id, questions, said)

    def of(self, case: Case) -> dict[int, Kept]:
        """Turn id -> the reply to it, of the turns that were answered."""
        found = {
            turn.turn_id: self.answers.get(self._question(case, number))
            for number, turn in enumerate(case.dialogue.turns)
        }
        return {turn_id: kept for turn_id, kept in found.items() if kept is not None}

    def dialogue(self, case: Case) -> Dialogue:
        """The dialogue with the replies in it, as a submission has them; other replies are taken out."""
        replies = self.of(case)
        beside = task_file(self.folder, case.language, case.task).parent
        turns = []
        for turn in case.dialogue.turns:
            reply = replies.get(turn.turn_id)
            sound = self.folder / reply.sound if reply and reply.sound else None
            place = sound.relative_to(beside).as_posix() if sound else None
            turns.append(replace(turn, response_text=reply.text if reply else None, response_audio=place))
        return replace(case.dialogue, turns=tuple(turns))

    def _question(self, case: Case, number: int) -> Question:
        """About the turn of that number, from 0."""
        turns = case.dialogue.turns
        last = number == len(turns) - 1
        return Question(
            _dataset(self.folder, case),
            _key(case, turns[number].turn_id),
            case.recordings[: number + 1],
            instruction=QUESTIONS.get((case.language, case.task)) if self.ask and last else None,
            spoken=case.task == SPOKEN_TASK,
        )


def _key(case: Case, turn_id: int) -> str:
    return f"{case.dialogue.dialogue_id}_{turn_id}"


def _dataset(folder: Path, case: Case) -> str:
    """The file of a submission that holds the dialogue, as predictions are looked up."""
    return str(task_file(folder, case.language, case.task).relative_to(folder).with_suffix("").as_posix())
