"""The contrast set: the same words in several emotions by one voice, so that only the sound tells which.

People come first: speakers who said one sentence in several emotions. Then dev turns whose words leave the
feeling open, each to be acted by rule in every emotion of `ACTED`. A group has one recording an emotion, and
all of its emotions are candidates, so a system that reads the words alone is right by chance.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harken.data.rows import content_id
from harken.data.speech import Clip
from harken.data.steps.contrast import leaves_open
from harken.evaluation.clips import drawn
from harken.evaluation.dialogue_sets.scenes import Scene
from harken.evaluation.language import LANGUAGES

ACTED = ("anger", "happy", "neutral", "sad")
"""Emotions that the acting by rule keeps well apart."""


@dataclass(frozen=True)
class ContrastGroup:
    """One sentence, one voice, several emotions."""

    id: str
    source: str
    group: str
    """What keeps it out of training: the dialogue's group, or the speaker."""
    lang: str
    text: str
    gender: str | None
    takes: Mapping[str, Clip | None]
    """Emotion -> a person's recording; None where it is to be spoken."""

    @property
    def person(self) -> str | None:
        """The person; None where a synthetic voice is to speak."""
        return next((clip.voice for clip in self.takes.values() if clip is not None), None)

    def dialogue_id(self, emotion: str) -> str:
        """Of the dialogue of one turn that a take is."""
        return f"{self.id}-{emotion}"


def people_groups(folders: Sequence[Path], seed: int) -> list[ContrastGroup]:
    """Dev speakers' sentences in two emotions or more, of several takes of an emotion one drawn by `seed`.

    Raises: DataError where a folder is none of emotional speech, or has no dev speakers.
    """
    if not folders:
        return []
    from harken.evaluation.labelers import LabelledClip, people

    said: dict[tuple[str, str], list[LabelledClip]] = {}
    for clips in people(folders, languages=LANGUAGES).values():
        for labelled in clips:
            said.setdefault((labelled.clip.voice, labelled.clip.text), []).append(labelled)
    groups = []
    for (speaker, text), takes in sorted(said.items()):
        by_emotion: dict[str, list[Clip]] = {}
        for take in sorted(takes, key=lambda take: take.clip.id):
            by_emotion.setdefault(take.emotion, []).append(take.clip)
        if len(by_emotion) < 2:
            continue
        key = f"contrast-{speaker}-{content_id(text)[:6]}"
        dice = random.Random(content_id("take", key, seed))
        chosen = {emotion: dice.choice(by_emotion[emotion]) for emotion in sorted(by_emotion)}
        first = takes[0]
        groups.append(
            ContrastGroup(key, first.clip.source, speaker, first.clip.lang, text, first.gender, chosen)
        )
    return groups


def acted_groups(scenes: Sequence[Scene]) -> list[ContrastGroup]:
    """The scenes' turns whose words leave the emotion open, each text once."""
    by_text: dict[str, ContrastGroup] = {}
    for scene in scenes:
        for number, turn in enumerate(scene.turns, 1):
            if leaves_open(turn.text, scene.lang):
                group = ContrastGroup(
                    f"contrast-{scene.id}-t{number}", scene.source, scene.group, scene.lang, turn.text,
                    scene.gender, dict.fromkeys(ACTED),
                )  # fmt: skip
                by_text.setdefault(turn.text, group)
    return list(by_text.values())


def contrast_groups(
    folders: Sequence[Path], scenes: Sequence[Scene], limit: int | None, seed: int
) -> list[ContrastGroup]:
    """People's groups, then acted ones, `limit` at most, drawn by `seed`. Raises: DataError, see above."""
    people = drawn(people_groups(folders, seed), limit, seed)
    return people + drawn(acted_groups(scenes), None if limit is None else limit - len(people), seed)
