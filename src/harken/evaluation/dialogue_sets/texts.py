"""Scores of what was answered in words, without a judge.

An answer that is there but names no candidate, or no emotion, is wrong, and counted; one that is not there
leaves its item unscored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harken.affect.labels import to_emotion
from harken.evaluation.asking.answers import Answers, Kept
from harken.evaluation.dialogue_sets.ask import Asker, Form
from harken.evaluation.dialogue_sets.read import Case
from harken.evaluation.dialogue_sets.reading import cause_overlap, chosen, emotions_named
from harken.evaluation.dialogue_sets.scoring import trajectory_score
from harken.evaluation.item_scores import ANSWER, ItemScore
from harken.evaluation.language import written_in
from harken.evaluation.systems.base import Felt

RIGHT = "right choice"
EXACT, EDITS = "trajectory exact, own words", "trajectory edits, own words"
CAUSE = "cause F1, own words"
EMOTION = "right emotion"
NAMED = f"{EMOTION}, own words"
IN_LANGUAGE = "reply in the user's language"
TRACE, READOUT = "trace", "readout"
NO_ANSWER = "no answer"
NO_CANDIDATE, NO_EMOTION = "names no candidate", "names no emotion"


@dataclass
class TextScores:
    """Scores of one system's words."""

    asker: Asker
    answers: Answers
    scores: list[ItemScore] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    """Answers that were wrong for what they do not name."""

    def add(self, cases: Sequence[Case]) -> None:
        """Score the items of one language and task; trace and readout where the system tells them."""
        by_task = {
            "trajectory": self._trajectory,
            "reasoning": self._reasoning,
            "contrast": self._contrast,
            "empathy": self._empathy,
        }
        found = [score for case in cases for score in by_task[case.item.task](case)]
        told = {score.by for score in found if score.score is not None} | {ANSWER}
        self.scores += [score for score in found if score.by in told]

    def said(self, case: Case) -> dict[str, str | None]:
        """What is chosen, by `ANSWER`, and the emotions that trace and readout tell where the system tells
        them; None is a part that names nothing, and nothing is no answer."""
        if (kept := self.kept(case, "choice")) is None:
            return {}
        found: dict[str, str | None] = {ANSWER: self._chosen(case, kept)}
        if kept.felt is not None:
            found |= {TRACE: _label(kept.felt.stated), READOUT: _label(kept.felt.heard)}
        return found

    def kept(self, case: Case, form: Form) -> Kept | None:
        """An answer as it came, where there is one."""
        return self.asker.answer(case, form, self.answers)

    def felt(self, case: Case) -> Felt | None:
        """What the system made of the user's feeling when it chose, where it tells."""
        kept = self.kept(case, "choice")
        return kept.felt if kept else None

    def _trajectory(self, case: Case) -> Iterator[ItemScore]:
        yield self._choice(case)
        if (kept := self.kept(case, "free")) is None:
            yield from (item_score(case, measure, None, why=NO_ANSWER) for measure in (EXACT, EDITS))
            return
        named = emotions_named(kept.text)
        self.unread[NO_EMOTION] += not named
        score = trajectory_score(case.item.gold, named)
        yield item_score(case, EXACT, float(score.exact))
        yield item_score(case, EDITS, float(score.edits))

    def _reasoning(self, case: Case) -> Iterator[ItemScore]:
        yield self._choice(case)
        kept = self.kept(case, "free")
        yield item_score(
            case, CAUSE, None if kept is None else cause_overlap(kept.text, case.item.gold), why=NO_ANSWER
        )
        felt = self.felt(case)
        score = None if felt is None else cause_overlap(felt.cause or "", case.item.gold)
        yield item_score(case, "cause F1", score, by=TRACE, why=NO_ANSWER)

    def _contrast(self, case: Case) -> Iterator[ItemScore]:
        yield self._choice(case)
        yield self._named(case)
        said, chance = self.said(case), 1 / len(case.item.candidates)
        for by in (TRACE, READOUT):
            score = float(said[by] == case.item.gold[0]) if by in said else None
            yield item_score(case, EMOTION, score, by=by, chance=chance, why=NO_ANSWER)

    def _named(self, case: Case) -> ItemScore:
        """Whether an answer in free words names the emotion, and no other."""
        chance = 1 / len(case.item.candidates)
        if (kept := self.kept(case, "free")) is None:
            return item_score(case, NAMED, None, chance=chance, why=NO_ANSWER)
        named = set(emotions_named(kept.text))
        self.unread[NO_EMOTION] += not named
        return item_score(case, NAMED, float(named == {case.item.gold[0]}), chance=chance)

    def _empathy(self, case: Case) -> Iterator[ItemScore]:
        kept = self.kept(case, "reply")
        right = None if kept is None else float(written_in(kept.text) == case.item.lang)
        yield item_score(case, IN_LANGUAGE, right, why=NO_ANSWER)

    def _choice(self, case: Case) -> ItemScore:
        item, said = case.item, self.said(case)
        measure, chance = f"{RIGHT}, {self.asker.how}", 1 / len(item.candidates)
        if not said:
            return item_score(case, measure, None, chance=chance, why=NO_ANSWER)
        choice = said[ANSWER]
        self.unread[NO_CANDIDATE] += choice is None
        return item_score(case, measure, float(choice == item.answer), chance=chance)

    def _chosen(self, case: Case, kept: Kept) -> str | None:
        if self.asker.ranks:
            return kept.text
        return chosen(kept.text, case.item.candidates, emotions=case.item.task != "reasoning")


def _label(emotion: str | None) -> str | None:
    return None if emotion is None else to_emotion(emotion)


def item_score(
    case: Case,
    measure: str,
    score: float | None,
    *,
    by: str = ANSWER,
    weight: float = 1.0,
    chance: float | None = None,
    why: str | None = None,
    judge: str | None = None,
) -> ItemScore:
    """A score of a case. Args: why: it is unscored, where it is. judge: who scored it, where one did."""
    item = case.item
    reason = why if score is None else None
    return ItemScore(
        item.id, item.group, item.lang, item.task, measure, score, by, weight, chance, reason, judge
    )
