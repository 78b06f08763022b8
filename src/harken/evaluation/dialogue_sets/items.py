"""Items: what a system is asked about a dialogue, its gold answer, and candidates where one can be chosen.

Three tasks as in HumDial's Track 1, and a fourth on what only the sound tells. Trajectory, reasoning and
contrast have objective answers; a reply of the task empathy is judged. No question names an emotion.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harken.data.rows import content_id
from harken.evaluation.dialogue_sets.choices import (
    Trajectory,
    cause_candidates,
    trajectory_candidates,
)
from harken.evaluation.dialogue_sets.scenes import Scene

Task = Literal["trajectory", "reasoning", "empathy", "contrast"]

QUESTIONS: Mapping[tuple[Task, str], str] = {
    ("trajectory", "en"): "Which emotions does the speaker go through, turn by turn?",
    ("trajectory", "zh"): "说话人在各轮对话中的情绪依次是什么？",
    ("reasoning", "en"): "Why does the speaker feel this way in turn {turn}?",
    ("reasoning", "zh"): "说话人在第{turn}轮为什么会有这样的感受？",
    ("empathy", "en"): "Reply to turn {turn} as fits how the speaker feels.",
    ("empathy", "zh"): "请回应第{turn}轮，言语和语气要贴合说话人的感受。",
    ("contrast", "en"): "How does the speaker feel?",
    ("contrast", "zh"): "说话人是什么感受？",
}


@dataclass(frozen=True)
class Item:
    """One question about one dialogue."""

    id: str
    task: Task
    dialogue_id: str
    turn_id: int | None
    """The turn that is asked about or answered; None: all of them."""
    lang: str
    group: str
    """Items of a group are resampled together: near-duplicate dialogues, or the same words by one speaker."""
    question: str
    gold: tuple[str, ...] = ()
    """The emotions in order, the annotated causes, or the emotion; nothing where a reply is judged."""
    candidates: tuple[str, ...] = ()
    answer: str | None = None
    """The right candidate, which occurs once among them."""
    cause_turns: tuple[int, ...] = ()
    """Of reasoning: the turn of each gold cause, in which it was said or answered."""


def scene_items(
    scene: Scene, trajectories: Sequence[Trajectory], causes: Sequence[str], seed: int
) -> list[Item]:
    """The items of a scene: its trajectory, why (where that is annotated and has other candidates), a reply.

    Args: trajectories: of dialogues, causes: of other dialogues in the language, to draw candidates from.
    """
    reasoning = _reasoning(scene, causes, seed)
    emotional = [turn for turn, emotion in enumerate(scene.emotions, 1) if emotion != "neutral"]
    empathy = _item(scene, "empathy", emotional[-1])
    return [_trajectory(scene, trajectories, seed), *([reasoning] if reasoning else []), empathy]


def contrast_item(
    dialogue_id: str, lang: str, group: str, emotion: str, candidates: Sequence[str], seed: int
) -> Item:
    """Which of the group's emotions one recording of its words was said in."""
    order = list(candidates)
    random.Random(content_id("contrast", group, seed)).shuffle(order)  # the same for the whole group
    return Item(
        f"{dialogue_id}-contrast", "contrast", dialogue_id, 1, lang, group, QUESTIONS["contrast", lang],
        (emotion,), tuple(order), emotion,
    )  # fmt: skip


def _trajectory(scene: Scene, others: Sequence[Trajectory], seed: int) -> Item:
    gold = scene.emotions
    candidates = trajectory_candidates(gold, others, _dice("trajectory", scene, seed))
    choices = tuple(", ".join(trajectory) for trajectory in candidates)
    return _item(scene, "trajectory", None, gold, choices, ", ".join(gold))


def _reasoning(scene: Scene, far: Sequence[str], seed: int) -> Item | None:
    """About the last turn with an emotion whose causes can be told from others."""
    dice = _dice("reasoning", scene, seed)
    for number, turn in reversed(list(enumerate(scene.turns, 1))):
        if turn.emotion == "neutral" or not turn.causes:
            continue
        gold = tuple(cause.text for cause in turn.causes)
        near = [cause.text for other in scene.turns if other is not turn for cause in other.causes]
        if (candidates := cause_candidates(gold, near, far, dice)) is not None:
            where = tuple(cause.turn for cause in turn.causes)
            return _item(scene, "reasoning", number, gold, candidates, gold[0], where)
    return None


def _item(
    scene: Scene,
    task: Task,
    turn: int | None,
    gold: tuple[str, ...] = (),
    candidates: tuple[str, ...] = (),
    answer: str | None = None,
    cause_turns: tuple[int, ...] = (),
) -> Item:
    question = QUESTIONS[task, scene.lang].format(turn=turn)
    return Item(
        f"{scene.id}-{task}", task, scene.id, turn, scene.lang, scene.group, question, gold, candidates,
        answer, cause_turns,
    )  # fmt: skip


def _dice(task: Task, scene: Scene, seed: int) -> random.Random:
    return random.Random(content_id(task, scene.id, seed))
