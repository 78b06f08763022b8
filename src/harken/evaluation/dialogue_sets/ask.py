"""What a system is asked about each item, and its answers.

An item of trajectory, reasoning or contrast is asked twice: in the system's own words, and by choice among
the candidates. Empathy is asked as a spoken reply to the turn, with no instruction at all.
The replies before the last turn are the dialogue's own. The conversation ends with the turn that is asked
about, or later where a cause of it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harken.evaluation.asking.answers import Answers, Kept
from harken.evaluation.asking.exchanges import Exchange
from harken.evaluation.dialogue_sets.items import Task
from harken.evaluation.dialogue_sets.read import Case
from harken.evaluation.dialogue_sets.reading import LETTERS
from harken.evaluation.systems.base import Question

Form = Literal["free", "choice", "reply"]
FORMS: dict[Task, tuple[Form, ...]] = {
    "trajectory": ("free", "choice"),
    "reasoning": ("free", "choice"),
    "empathy": ("reply",),
    "contrast": ("free", "choice"),
}
FELT: tuple[Task, ...] = ("reasoning", "contrast")
"""Tasks in which it counts what a system makes of the last turn, beside what it answers."""
ONLY_A_LETTER = {"en": "Answer with the letter alone.", "zh": "请只回答字母。"}


@dataclass(frozen=True)
class Asker:
    """What is asked, of a system that ranks candidates or is given them with letters."""

    ranks: bool

    @property
    def how(self) -> str:
        """How a system chooses, as measures call it."""
        return "by likelihood gained" if self.ranks else "by letter"

    def question(self, case: Case, form: Form) -> Question:
        """One question."""
        item, choice = case.item, form == "choice"
        listed = choice and not self.ranks
        return Question(
            f"dialogues-{item.lang}",
            exchange_id(case, form),
            case.recordings,
            tuple(turn.response_text for turn in case.dialogue.turns[:-1]),
            instruction=None if form == "reply" else _listed(case) if listed else item.question,
            spoken=form == "reply",
            candidates=item.candidates if choice and self.ranks else (),
            felt=choice and item.task in FELT,
        )

    def exchanges(self, cases: Sequence[Case]) -> list[Exchange]:
        """One a question: no answer is heard by the next."""
        return [
            Exchange(exchange_id(case, form), (self.question(case, form),), (case.target.text,))
            for case in cases
            for form in FORMS[case.item.task]
        ]

    def answer(self, case: Case, form: Form, answers: Answers) -> Kept | None:
        """What was answered, where it was."""
        return answers.get(self.question(case, form))


def exchange_id(case: Case, form: Form) -> str:
    """Also the question's key."""
    return f"{case.item.id}-{form}"


def _listed(case: Case) -> str:
    item = case.item
    choices = [f"{letter}) {text}" for letter, text in zip(LETTERS, item.candidates, strict=False)]
    return "\n".join([item.question, *choices, ONLY_A_LETTER[item.lang]])
