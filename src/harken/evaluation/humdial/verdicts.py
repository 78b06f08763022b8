"""Verdicts on a system's replies to HumDial: a judge's on their texts, with what their sound was scored.

Tasks 1 and 2 score the reply to the last turn, task 3 that to the target turn. A reply in the other language
is a 1 that no judge is asked for. A reply or a verdict that is missing leaves its dialogue unscored, and the
reason is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harken.errors import DataError
from harken.evaluation.humdial.dialogues import Dialogue, Reading, Turn, target_turn
from harken.evaluation.humdial.scores import D2, D3, TASKS, Verdict, judged, wrong_language
from harken.evaluation.judges import judging
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.judges.saved import Row, verdict_rows
from harken.evaluation.judges.verdicts import Fault
from harken.evaluation.judges.verdicts import Verdict as Said
from harken.evaluation.language import Language
from harken.evaluation.progress import steps
from harken.llm.base import LLM
from harken.llm.cache import Usage

RUBRICS = {1: "humdial-task1", 2: "humdial-task2", 3: "humdial-task3-text"}
"""Task number -> what the judge is asked about the text of a reply."""
HEARD = (D2, D3)
"""The dimensions that take ears."""
NO_REPLY = "no reply"
NO_TARGET = "no target turn"

Ratings = Mapping[str, Mapping[str, float]]
"""Dimension -> dialogue id -> the mean of people's ratings, or a score of a judge that hears, from 1 to 5."""


@dataclass
class Judged:
    """What the replies to one test set were worth."""

    verdicts: dict[Language, dict[int, list[Verdict]]] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    """Reason -> dialogues that are unscored for it."""
    wrong_language: int = 0
    """Replies that were scored, or would be, 1 for their language."""
    usage: Usage = field(default_factory=Usage)
    written: list[Row] = field(default_factory=list)
    """Everything that the judge said, a row a reply (`harken.evaluation.judges.saved`)."""
    said: dict[tuple[Language, int, str], Said] = field(default_factory=dict)
    """Language, task number and dialogue id -> what the judge said, with its reasons."""


def judge_replies(
    held: Mapping[tuple[Language, int], Sequence[Dialogue]],
    reading: Reading,
    llm: LLM | None,
    sound: Mapping[Language, Ratings] | None = None,
    questions: Mapping[tuple[Language, int], str] | None = None,
) -> Judged:
    """One verdict a dialogue, on the dimensions that the judge scores, and those of its sound.

    Args:
        held: (language, task number) -> dialogues with the system's replies.
        llm: judges texts; None leaves them unscored.
        sound: scores of the replies' sound; None leaves D2 and D3 unscored.
        questions: what was asked beside the last turn, where it was.

    Raises: HarkenError where the judge cannot start at all.
    """
    found = Judged()
    for (language, task), dialogues in steps(list(held.items()), "judging"):
        targets = {dialogue.dialogue_id: judged_turn(dialogue, task, reading) for dialogue in dialogues}
        items = _items(dialogues, targets, language, (questions or {}).get((language, task)))
        scores: dict[str, dict[str, float]] = {item.id: {} for item in items}
        if llm is not None and items:
            done = judging.judge(llm, rubric(RUBRICS[task]), items)
            found.written += verdict_rows(done, task=task, lang=language)
            _add(done, language, task, scores, found)
        if task == 3:
            for dimension, rated in (sound or {}).get(language, {}).items():
                for name in scores.keys() & rated.keys():
                    scores[name][dimension] = rated[name]
        dimensions = scored_dimensions(task, llm is not None, sound is not None)
        by_language = found.verdicts.setdefault(language, {})
        by_language[task] = [
            _verdict(name, task, target, language, scores.get(name), dimensions, found)
            for name, target in targets.items()
        ]
    return found


def scored_dimensions(task: int, words: bool, sound: bool) -> tuple[str, ...]:
    """The dimensions of a task that are scored. Args: words, sound: are they scored by anybody?"""
    return tuple(name for name in TASKS[task].dimensions if (sound if name in HEARD else words))


def judged_turn(dialogue: Dialogue, task: int, reading: Reading) -> Turn | None:
    """The turn whose reply is judged; None where task 3 has none."""
    if task != 3:
        return dialogue.turns[-1]
    try:
        return target_turn(dialogue, reading)
    except DataError:
        return None


def told(dialogue: Dialogue, target: Turn, asked: str | None = None) -> str:
    """The conversation up to the reply that is judged, a line a turn, with the user's emotions."""
    lines = []
    for turn in dialogue.turns:
        lines.append(f"User ({turn.emotion}): {turn.text}" if turn.emotion else f"User: {turn.text}")
        if turn is target:
            break
        if turn.response_text:
            lines.append(f"Assistant: {turn.response_text}")
    if asked and target is dialogue.turns[-1]:
        lines[-1] += f" {asked}"
    return "\n".join(lines)


def _items(
    dialogues: Sequence[Dialogue],
    targets: Mapping[str, Turn | None],
    language: Language,
    asked: str | None,
) -> list[judging.Item]:
    """The replies that a judge is asked about: there, and in the right language."""
    items = []
    for dialogue in dialogues:
        target = targets[dialogue.dialogue_id]
        if target and target.response_text and not wrong_language(target.response_text, language):
            fields = {"conversation": told(dialogue, target, asked), "reply": target.response_text}
            items.append(judging.Item(dialogue.dialogue_id, fields))
    return items


def _add(
    done: judging.Judging, language: Language, task: int, scores: dict[str, dict[str, float]], found: Judged
) -> None:
    found.usage += done.usage
    for judgement in done.judgements:
        if isinstance(judgement.outcome, Fault):
            found.faults[judgement.outcome.reason] += 1
        else:
            scores[judgement.id] |= judgement.outcome.scores
            found.said[language, task, judgement.id] = judgement.outcome


def _verdict(
    name: str,
    task: int,
    target: Turn | None,
    language: Language,
    scores: Mapping[str, float] | None,
    dimensions: Sequence[str],
    found: Judged,
) -> Verdict:
    """Of what is given, the dimensions that are scored at all; a missing reply counts."""
    if target is None or not target.response_text:
        found.faults[NO_TARGET if target is None else NO_REPLY] += 1
        return Verdict(name, None)
    found.wrong_language += wrong_language(target.response_text, language)
    verdict = judged(name, TASKS[task], target.response_text, language, scores)
    kept = {dimension: (verdict.scores or {}).get(dimension) for dimension in dimensions}
    return Verdict(name, kept if any(score is not None for score in kept.values()) else None)
