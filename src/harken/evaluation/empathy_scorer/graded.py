"""Graded replies: the good reply of each listening dialogue, and what the rules make of it, with grades.

The dialogues come with Harken (`harken/data/listening`); those of their split dev train nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from harken.data.files import json_rows
from harken.evaluation.empathy_scorer.rules import BEST, GOLD, RULES, Grades, Scene
from harken.evaluation.judges.judging import Item
from harken.evaluation.judges.trial import line

FILES = ("dialogue.jsonl", "contrast.jsonl")


@dataclass(frozen=True)
class GradedReply:
    """A reply with the grades that the rule implies by which it was made."""

    id: str
    scene: Scene
    reply: str
    rule: str
    """`GOLD`, or the name of a rule."""
    family: str
    grades: Grades

    @property
    def item(self) -> Item:
        """As a judge is asked about it."""
        return Item(self.id, {"conversation": self.scene.conversation, "reply": self.reply})


def packaged_scenes(seed: int = 0) -> list[Scene]:
    """The dialogues that come with Harken, up to their last replies. Args: seed: draws `elsewhere`."""
    folder = Path(str(files("harken.data") / "listening"))
    return scenes([row for name in FILES for _, row in json_rows(folder / name)], seed)


def scenes(dialogues: Sequence[dict[str, Any]], seed: int = 0) -> list[Scene]:
    """Dialogues of the packaged form as scenes; replies from elsewhere are of the same split."""
    random = np.random.default_rng(seed)
    found = [_scene(dialogue) for dialogue in dialogues]
    by_split: dict[str, list[Scene]] = {}
    for scene in found:
        by_split.setdefault(scene.split, []).append(scene)
    return [
        replace(
            scene, elsewhere=_elsewhere(scene, by_split[scene.split], random), otherwise=_other(scene, found)
        )
        for scene in found
    ]


def graded(found: Iterable[Scene], most: int | None = None, seed: int = 0) -> list[GradedReply]:
    """The good reply of each scene, and so many spoilt ones at `most`, by rules that are drawn; None makes
    one by each rule that can make one."""
    replies = []
    for number, scene in enumerate(found):
        random = np.random.default_rng([seed, number])
        replies.append(GradedReply(f"{scene.id}/{GOLD}", scene, scene.gold, GOLD, GOLD, BEST))
        made = 0
        for place in random.permutation(len(RULES)):
            rule = RULES[place]
            spoilt = rule.spoil(scene, random)
            if made == most or not spoilt or spoilt == scene.gold:
                continue
            made += 1
            replies.append(
                GradedReply(f"{scene.id}/{rule.name}", scene, spoilt, rule.name, rule.family, rule.grades)
            )
    return replies


def _scene(dialogue: dict[str, Any]) -> Scene:
    *before, last = dialogue["turns"]
    return Scene(
        dialogue["id"],
        dialogue["split"],
        before[0]["text"],
        "\n".join(map(line, before)),
        before[-1]["text"],
        before[-1]["emotion"],
        last["text"],
        elsewhere="",
    )


def _elsewhere(scene: Scene, others: Sequence[Scene], random: np.random.Generator) -> str:
    """Of a dialogue that begins with other words; nothing where there is none."""
    strange = [other for other in others if other.group != scene.group]
    return strange[int(random.integers(len(strange)))].gold if strange else ""


def _other(scene: Scene, found: Sequence[Scene]) -> tuple[str, ...]:
    return tuple(
        other.gold
        for other in found
        if other.group == scene.group and other.said == scene.said and other.emotion != scene.emotion
    )
