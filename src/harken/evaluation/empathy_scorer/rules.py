"""Rules that spoil a good reply in a known way, and the grades that each implies.

A rule's grades are of a reply that is spoilt all through. Where the reply keeps its good opening and is
spoilt after it, they lie half-way between those and 5. They are implied by the rule, and nobody has checked
them reply by reply. The phrases are none of `harken.evaluation.planted`'s, on which judges are tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DIMENSIONS = ("NS", "WA", "EU", "ES")
"""Need support, wording appropriateness, emotion understanding, emotional support."""
Grades = tuple[float, float, float, float]
"""In the order of `DIMENSIONS`, 1 to 5."""
BEST: Grades = (5.0, 5.0, 5.0, 5.0)
GOLD = "gold"
"""Names the reply as it was written, beside those that rules make of it."""


@dataclass(frozen=True)
class Scene:
    """A dialogue up to its last reply, and that reply."""

    id: str
    split: str
    group: str
    """Scenes of one group begin with the same words, and are held out, folded and drawn together."""
    conversation: str
    """As judges read it: a line a turn, with the user's emotions."""
    said: str
    """The user's last words."""
    emotion: str
    gold: str
    elsewhere: str
    """The good reply of another dialogue."""
    otherwise: tuple[str, ...] = ()
    """Good replies to the same words, said with another feeling."""

    @property
    def opening(self) -> str:
        """The first sentence of the good reply."""
        return sentences(self.gold)[0]

    @property
    def ending(self) -> str | None:
        """Its last sentence; None where it has one alone."""
        found = sentences(self.gold)
        return found[-1] if len(found) > 1 else None


Spoil = Callable[[Scene, np.random.Generator], str | None]
"""What a rule makes of a scene's good reply; None where it makes nothing of it."""


@dataclass(frozen=True)
class Rule:
    """One way to spoil a reply."""

    name: str
    family: str
    """Rules of one family share their words, and are left out of training together."""
    grades: Grades
    spoil: Spoil


PHRASES: dict[str, tuple[Grades, tuple[str, ...]]] = {
    "generic": (
        (2, 3, 1, 2),
        (
            "Well, that is how it goes.",
            "Alright, good to know.",
            "Sure, go on then.",
            "Mm, and what happened after that?",
            "Oh really? Please continue.",
            "I get it, life is like that.",
            "Thank you for sharing this with me.",
            "Is there anything else on your mind today?",
        ),
    ),
    "cold": (
        (1, 1, 2, 1),
        (
            "That is hardly worth mentioning.",
            "I do not see why you are telling me.",
            "You are making too much of it.",
            "It is nothing special, it happens to everyone.",
            "Others have far bigger things to deal with.",
            "Feelings will not change anything here.",
            "Please keep it short, I have heard enough.",
            "That is of no interest to me.",
        ),
    ),
    "advice": (
        (2, 3, 2, 2),
        (
            "You should write down a plan and stick to it.",
            "My advice is to sleep on it and get some exercise.",
            "You ought to compare the options and choose the cheapest.",
            "First make a list, then work through it point by point.",
            "You need to look at it from the practical side.",
            "Try a breathing exercise and drink a glass of water.",
            "The best thing is to read the rules and follow them.",
            "You could search for it on the internet.",
        ),
    ),
    "about itself": (
        (1, 2, 2, 1),
        (
            "That reminds me of my own week, I hardly got any rest.",
            "I once had something much like it, and mine was far more exciting.",
            "Let me tell you what I did yesterday instead.",
            "I would rather talk about my holidays, they were lovely.",
            "Funny, I was just thinking about what I would like for dinner.",
            "My own story is longer, so listen to this.",
        ),
    ),
    "blame": (
        (1, 1, 2, 1),
        (
            "You have only yourself to blame for that.",
            "You should have thought of it earlier.",
            "I would never have let it come to that.",
            "That is what comes of not listening.",
            "Honestly, somebody like you ought to know better.",
            "If you had been careful, we would not be talking about it.",
        ),
    ),
}
"""Family -> its grades, and sentences that do to whatever was said what the family is called for."""

FELT = {
    "happy": ("How wonderful, you must be over the moon!", "Great news, I am so glad for you!"),
    "sad": ("I am so sorry, you must be heartbroken.", "How sad, that is a heavy loss."),
    "anger": ("I can tell how furious you are.", "No wonder that you are angry about it."),
    "fear": ("How frightening, you must be terrified.", "Do not be afraid, it will be safe."),
    "disgust": ("How revolting, that turns my stomach.", "Ugh, that is really disgusting."),
}
"""What somebody says who hears that emotion."""
TAKEN_FOR = {
    "happy": ("sad", "anger", "fear"),
    "surprise": ("sad", "disgust"),
    "neutral": ("sad", "anger", "fear"),
    "sad": ("happy",),
    "anger": ("happy",),
    "fear": ("happy", "disgust"),
    "disgust": ("happy",),
}
"""Emotion -> what it is wrongly heard as."""

WORDY = (
    "There is of course a great deal that could be said about this from many sides.",
    "In general one may say that such matters are what they are, and that they take their course.",
    "At this point it seems right to go over it once more in full before anything else is said.",
    "As has been mentioned, all of this is to be seen in the light of the whole.",
)


def sentences(text: str) -> list[str]:
    """The sentences of a reply, one at least."""
    return re.split(r"(?<=[.!?])\s+", text.strip())


def half_way(grades: Grades) -> Grades:
    """Of a reply of which the half is good."""
    ns, wa, eu, es = ((5.0 + grade) / 2 for grade in grades)
    return ns, wa, eu, es


def _drawn(phrases: Sequence[str], random: np.random.Generator) -> str:
    return phrases[int(random.integers(len(phrases)))]


def _after_opening(name: str, grades: Grades, spoil: Spoil) -> Rule:
    """The rule of a family by which the reply is spoilt after its opening only."""

    def spoilt(scene: Scene, random: np.random.Generator) -> str | None:
        bad = spoil(scene, random) if scene.ending else None
        return f"{scene.opening} {bad}" if bad else None

    return Rule(f"{name}, after the opening", name, half_way(grades), spoilt)


def _both(name: str, grades: Grades, spoil: Spoil) -> tuple[Rule, Rule]:
    return Rule(name, name, grades, spoil), _after_opening(name, grades, spoil)


def _of_phrases(phrases: Sequence[str]) -> Spoil:
    return lambda scene, random: _drawn(phrases, random)


def _misread(scene: Scene, random: np.random.Generator) -> str | None:
    wrong = TAKEN_FOR.get(scene.emotion)
    if wrong is None or scene.ending is None:
        return None
    return f"{_drawn(FELT[_drawn(wrong, random)], random)} {scene.ending}"


def _otherwise(scene: Scene, random: np.random.Generator) -> str | None:
    return _drawn(scene.otherwise, random) if scene.otherwise else None


def _question_alone(scene: Scene, random: np.random.Generator) -> str | None:
    return scene.ending if scene.ending and scene.ending.endswith("?") else None


def _opening_alone(scene: Scene, random: np.random.Generator) -> str | None:
    return scene.opening if scene.ending else None


def _cut_off(scene: Scene, random: np.random.Generator) -> str | None:
    words = scene.gold.split()
    return " ".join(words[: len(words) // 2]).rstrip(",.!?") if len(words) > 3 else None


def _wordy(scene: Scene, random: np.random.Generator) -> str:
    first, second = random.permutation(len(WORDY))[:2]
    return f"{scene.opening} {WORDY[first]} {WORDY[second]} {scene.ending or ''}".strip()


RULES: tuple[Rule, ...] = (
    *(
        rule
        for family, (grades, phrases) in PHRASES.items()
        for rule in _both(family, grades, _of_phrases(phrases))
    ),
    *_both("off the point", (1, 2, 2, 1), lambda scene, random: scene.elsewhere),
    *_both("repeats the user", (2, 2, 3, 2), lambda scene, random: scene.said),
    Rule("wrong emotion", "wrong emotion", (2, 2, 1, 2), _misread),
    Rule("to another feeling", "to another feeling", (2, 3, 1, 2), _otherwise),
    Rule("question alone", "half of it", (3, 3, 3, 2), _question_alone),
    Rule("opening alone", "half of it", (4, 5, 5, 4), _opening_alone),
    Rule("cut off", "cut off", (3, 2, 4, 3), _cut_off),
    Rule("wordy", "wordy", (4, 2, 5, 4), _wordy),
)
FAMILIES = tuple(dict.fromkeys(rule.family for rule in RULES))
