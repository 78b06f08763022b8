"""Planted replies of known order: can a judge tell gold ones from generic, misplaced and foreign ones?

Beside each gold reply three worse ones are put. The judge scores them like any others, and the area under the
curve (AUC) says for each two qualities how often the better reply is put above the worse. A judge that cannot
tell gold replies from generic ones ranks no systems (`trusted`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harken.errors import InputError
from harken.evaluation.judges.judging import Item, Judging
from harken.evaluation.statistics import Floats, Interval

GOLD, GENERIC, OTHER_TURN, OTHER_LANGUAGE = "gold", "generic", "other turn", "wrong language"
QUALITIES = (GOLD, GENERIC, OTHER_TURN, OTHER_LANGUAGE)
"""From best to worst."""
LEAST_AUC = 0.75
RESAMPLES = 2000

GENERICS = {
    "en": (
        "I see. Tell me more about that.",
        "Okay, thanks for letting me know.",
        "That is interesting. What else is going on?",
        "I hear what you are saying.",
        "Right. These things happen sometimes.",
        "I understand. Let us see how it goes.",
    ),
    "zh": (
        "我明白了，你再多说一点吧。",
        "好的，谢谢你告诉我。",
        "挺有意思的，还有别的事吗？",
        "嗯，我听到你说的了。",
        "是啊，有时候就是会这样。",
        "我理解，那我们再看看吧。",
    ),
}
"""Replies that fit everything, and so nothing."""


@dataclass(frozen=True)
class Planted:
    """A reply of known quality to one of the dialogues."""

    dialogue: int
    quality: str
    item: Item


@dataclass(frozen=True)
class Separation:
    """How well a judge tells the qualities apart."""

    auc: Mapping[tuple[str, str], Interval]
    """(better, worse) -> how often the better reply is scored above the worse; 0.5 is chance."""
    dialogues: int
    replies: int
    unscored: Mapping[str, int]
    """Quality -> replies without a verdict; they count as not told apart from any other."""


@dataclass(frozen=True)
class Trust:
    """Whether a judge's rankings are shown, and why, in one sentence."""

    shown: bool
    why: str


def plant(dialogues: Sequence[tuple[str, str]], lang: str = "en", seed: int = 0) -> list[Planted]:
    """Four replies, from gold to wrong language, to each (conversation, gold reply).

    Items have the fields `conversation` and `reply`.

    Args: lang: of the dialogues, en or zh; `seed` draws the generic replies and whose turn is borrowed from.
    Raises: InputError for another language, or where not every dialogue has another with another reply.
    """
    if lang not in GENERICS:
        raise InputError(f"there are no generic replies in {lang!r}", f"languages: {', '.join(GENERICS)}")
    random = np.random.default_rng(seed)
    (other_lang,) = (each for each in GENERICS if each != lang)
    planted = []
    for number, (conversation, gold) in enumerate(dialogues):
        others = sorted({reply for other, reply in dialogues if other != conversation and reply != gold})
        if not others:
            raise InputError(
                "no other reply to plant in the place of another", "give two or more different dialogues"
            )
        replies = {
            GOLD: gold,
            GENERIC: str(random.choice(GENERICS[lang])),
            OTHER_TURN: others[random.integers(len(others))],
            OTHER_LANGUAGE: str(random.choice(GENERICS[other_lang])),
        }
        planted += [
            Planted(
                number, quality, Item(f"{number}/{quality}", {"conversation": conversation, "reply": text})
            )
            for quality, text in replies.items()
        ]
    return planted


def separation(
    planted: Sequence[Planted], judging: Judging, dimension: str | None = None, seed: int = 0
) -> Separation:
    """The AUC of every two qualities, with its interval over dialogues.

    Args:
        judging: of the planted items.
        dimension: whose scores; None takes the mean of all.
    """
    means = judging.means(dimension)
    dialogues = sorted({each.dialogue for each in planted})
    scores = {quality: np.full(len(dialogues), np.nan) for quality in QUALITIES}
    for each in planted:
        scores[each.quality][dialogues.index(each.dialogue)] = means.get(each.item.id, np.nan)
    unscored = Counter(each.quality for each in planted if each.item.id not in means)
    found = {
        (better, worse): auc(scores[better], scores[worse], seed)
        for better, worse in combinations(QUALITIES, 2)
    }
    return Separation(found, len(dialogues), len(planted), dict(unscored))


def trusted(found: Separation, least: float = LEAST_AUC) -> Trust:
    """Judged rankings are withheld where the AUC of gold over generic replies is below `least`."""
    gold = found.auc[GOLD, GENERIC]
    shown = gold.value >= least
    done = "shown" if shown else "withheld"
    unscored = sum(found.unscored.values())
    left = f", with {unscored} of {found.replies} replies unscored" if unscored else ""
    return Trust(
        shown,
        f"Judged rankings are {done}: this judge tells gold replies from generic ones with an AUC of "
        f"{gold.value:.2f} [{gold.low:.2f}, {gold.high:.2f}] over {found.dialogues} dialogues{left}, "
        f"and {least:.2f} is asked for.",
    )


def auc(better: Floats, worse: Floats, seed: int = 0) -> Interval:
    """How often the better of two is scored above the worse, of (G,) and (G,) scores that belong together.

    The G are resampled; a pair of which one is unscored (not a number) counts half.
    """
    difference = better[:, None] - worse[None]  # (G, G)
    wins = np.where(np.isnan(difference), 0.5, 0.5 + 0.5 * np.sign(difference))
    n = len(better)
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)  # (R, G)
    drawn = ((draws @ wins) * draws).sum(1) / n**2
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(wins.mean()), float(low), float(high))
