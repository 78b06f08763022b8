"""How the replies of task 3 sound: what people rated and, where they did not, what a judge that hears scored.

A reply in the other language is left out, as of every judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harken.evaluation.humdial.dialogues import Reading
from harken.evaluation.humdial.replies import SPOKEN_TASK, Replies
from harken.evaluation.humdial.scores import wrong_language
from harken.evaluation.humdial.testset import Case
from harken.evaluation.humdial.verdicts import HEARD, Ratings, judged_turn, told
from harken.evaluation.judges.by_ear import BY_EAR, ByEar
from harken.evaluation.judges.hearing import Heard
from harken.evaluation.judges.judging import Item, Judging
from harken.evaluation.language import Language

PEOPLE, EARS = "people", f"a {BY_EAR}"


@dataclass(frozen=True)
class Voices:
    """Scores of the replies' sound, and who gave them."""

    scores: Mapping[Language, Ratings] | None
    """None where nobody scored any, or all of it is withheld."""
    by: Mapping[str, Mapping[str, int]]
    """Dimension -> who -> the replies that they scored."""
    ear: ByEar | None = None

    @property
    def withheld(self) -> bool:
        """Are scores of a judge left out because it does not hear well enough?"""
        return self.ear is not None and self.ear.withheld

    def setting(self) -> dict[str, object]:
        """What a report says of who scored, and how many replies."""
        scored = {
            name: ", ".join(f"{who} {count}" for who, count in by.items() if count) or "nobody"
            for name, by in self.by.items()
        }
        return {**(self.ear.setting() if self.ear else {BY_EAR: "none"}), "D2 and D3 scored by": scored}

    def who(self) -> str:
        """Everybody who scored."""
        found = [who for who in (PEOPLE, EARS) if any(by[who] for by in self.by.values())]
        return " and ".join(found) or "nobody: all replies are in the other language"


def spoken_replies(cases: Sequence[Case], replies: Replies, reading: Reading) -> dict[Language, list[Heard]]:
    """The replies of task 3 that are judged, in their language, with the user's turn before each."""
    found: dict[Language, list[Heard]] = {}
    for case in cases:
        if case.task != SPOKEN_TASK:
            continue
        dialogue = replies.dialogue(case)
        target = judged_turn(dialogue, case.task, reading)
        if not target or not target.response_text or wrong_language(target.response_text, case.language):
            continue
        fields = {"conversation": told(dialogue, target), "reply": target.response_text}
        sound = replies.of(case)[target.turn_id].sound
        found.setdefault(case.language, []).append(
            Heard(
                Item(dialogue.dialogue_id, fields),
                case.recordings[dialogue.turns.index(target)],
                replies.folder / sound if sound else None,
            )
        )
    return found


def voices(heard: Mapping[Language, Sequence[Heard]], people: Ratings | None, ear: ByEar | None) -> Voices:
    """One score a dimension and reply: people's, else the judge's unless that is withheld.

    Args: heard: the replies. people: what they rated; None where nobody was asked to.
    """
    shown = ear.judgings if ear is not None and not ear.withheld else {}
    scores: dict[Language, Ratings] = {}
    by: dict[str, Counter[str]] = {name: Counter() for name in HEARD}
    for language, of_language in heard.items():
        ids = {each.item.id for each in of_language}
        rated = {name: _of(ids, (people or {}).get(name, {})) for name in HEARD}
        judged = {name: _means(shown.get(language), name) for name in HEARD}
        scores[language] = {name: judged[name] | rated[name] for name in HEARD}
        for name in HEARD:
            by[name][PEOPLE] += len(rated[name])
            by[name][EARS] += len(judged[name].keys() - rated[name].keys())
    nobody = people is None and (ear is None or ear.withheld)
    return Voices(None if nobody else scores, by, ear)


def _of(ids: set[str], rated: Mapping[str, float]) -> dict[str, float]:
    return {id: score for id, score in rated.items() if id in ids}


def _means(judging: Judging | None, dimension: str) -> dict[str, float]:
    return judging.means(dimension) if judging is not None else {}
