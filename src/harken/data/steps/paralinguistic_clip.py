"""A clip that questions are asked about: a conversation up to a turn whose affect is known.

Says which of a shard's rows are rich in emotion, and puts what was heard into words: for the teacher that
writes questions, and as the metadata of the explicit path. What is asked is left to the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harken.affect.labels import EMOTIONS, GENDERS
from harken.data.rows import Affect, Row, Speaker, Turn, Vad, content_id
from harken.data.steps.teaching import LANGUAGES

_TRUSTED = ("human", "rule", "model")  # whose word counts first for what is true
_METADATA = ("model", "human", "rule")  # at inference only a model's labels are there
_WHOLE = {"en": "whole turn", "zh": "整句"}
_HEARD = {"en": "How it sounds", "zh": "听起来"}
_ROLES = {"en": {"user": "Speaker", "assistant": "Other"}, "zh": {"user": "说话人", "assistant": "对方"}}


@dataclass(frozen=True)
class Clip:
    """A row as far as its last user's turn, which questions are about."""

    row: Row
    turns: tuple[Turn, ...]  # up to and with the turn asked about
    labels: tuple[Affect, ...]  # of that turn, by the most trusted origin there is, never `other`
    gender: str | None  # female, male

    @property
    def turn(self) -> Turn:
        return self.turns[-1]

    @property
    def lang(self) -> str:
        return self.row.lang

    @property
    def emotions(self) -> tuple[str, ...]:
        """The labels in the order in which they are heard, each once."""
        return tuple(dict.fromkeys(affect.label for affect in self.labels))

    @property
    def vad(self) -> Vad | None:
        """Valence, arousal and dominance of the turn, whoever gave them."""
        return next((affect.vad for affect in self.turn.affect if affect.vad), None)

    @property
    def richness(self) -> float:
        """0 where all is neutral, else the surest label's confidence, and 1 more for each further emotion."""
        felt = [affect for affect in self.labels if affect.label != "neutral"]
        if not felt:
            return 0.0
        return max(_confidence(a) for a in felt) + len({a.label for a in felt}) - 1

    def words(self) -> str:
        """What is said and by whom, a turn a line, with nothing of how."""
        return "\n".join(f"{_ROLES[self.lang][turn.role]}: {turn.text}" for turn in self.turns)

    def timed_words(self) -> str:
        """The words of the turn asked about with when each began, in seconds; empty where that is unknown."""
        return " ".join(f"{word.w}@{word.t0:.2f}" for word in self.turn.words)

    def causes(self) -> tuple[str, ...]:
        """The spans that are known to cause the emotion, each found in the conversation."""
        return tuple(cause.span for cause in self.turn.cause if any(cause.span in t.text for t in self.turns))


def clip_of(row: Row, min_confidence: float) -> Clip | None:
    """The clip of a row, or None: nobody spoke, no label is sure enough, or a language without templates."""
    if row.lang not in LANGUAGES or not any(turn.role == "user" for turn in row.turns):
        return None
    last = max(i for i, turn in enumerate(row.turns) if turn.role == "user")
    turns = _cast(row, row.turns[: last + 1])
    labels = _labels(turns[-1], _TRUSTED, min_confidence)
    if not labels or not turns[-1].text.strip():
        return None
    gender = turns[-1].speaker.gender
    return Clip(row, turns, labels, gender if gender in GENDERS else None)


def richest(rows: Sequence[Row], share: float, min_confidence: float) -> list[Clip]:
    """The clips of `share` of the rows that have one, rich in emotion first, neutral ones last."""
    clips = [clip for row in rows if (clip := clip_of(row, min_confidence)) is not None]
    clips.sort(key=lambda clip: (-round(clip.richness, 6), clip.row.id))
    return clips[: round(share * len(clips))]


def metadata(turns: Sequence[Turn], lang: str) -> str:
    """How the users' turns sound, as time-stamped labels: `[0.0-2.3 s: sad, 0.81]`; empty where unknown.

    A model's labels come before an annotator's, as at inference nobody annotates.
    """
    spoken = [turn for turn in turns if turn.role == "user"]
    told = [stamps(_labels(turn, _METADATA, 0.0), turn, lang) for turn in spoken]
    if not any(told):
        return ""
    if len(spoken) > 1:
        told = [f"({number}) {text}" for number, text in enumerate(told, 1) if text]
    return f"{_HEARD[lang]}: {' '.join(told)}"


def stamps(labels: Sequence[Affect], turn: Turn, lang: str) -> str:
    """Labels of a turn, each with its seconds and, where known, its confidence."""
    return " ".join(_stamp(affect, turn, lang) for affect in labels)


def with_metadata(question: str, turns: Sequence[Turn], lang: str) -> str:
    """The prompt of the explicit path: the question, and on a line of its own how the turns sound."""
    heard = metadata(turns, lang)
    return f"{question}\n{heard}" if heard else question


def _cast(row: Row, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Turns that nobody has spoken and of whose speaker nothing is known get a gender, drawn by the group:
    they are spoken later in a voice of it, so it can be asked for."""
    users = [turn for turn in turns if turn.role == "user"]
    if any(turn.audio is not None or turn.speaker != Speaker() for turn in users):
        return turns
    speaker = Speaker(gender=GENDERS[int(content_id("gender", row.group), 16) % len(GENDERS)])
    return tuple(replace(turn, speaker=speaker) if turn.role == "user" else turn for turn in turns)


def _labels(turn: Turn, origins: Sequence[str], min_confidence: float) -> tuple[Affect, ...]:
    """Labels of the first origin that has any; segments with times where there are some."""
    for origin in origins:
        sure = [
            affect
            for affect in turn.affect
            if affect.source == origin
            and affect.label in EMOTIONS
            and affect.label != "other"
            and (origin != "model" or _confidence(affect) >= min_confidence)
        ]
        segments = [affect for affect in sure if affect.t0 is not None]
        if sure:
            return tuple(sorted(segments, key=lambda a: a.t0 or 0.0) or sure[:1])
    return ()


def _confidence(affect: Affect) -> float:
    """What nobody doubted is certain; a model that does not say how sure it is, is not."""
    if affect.confidence is not None:
        return affect.confidence
    return 0.0 if affect.source == "model" else 1.0


def _stamp(affect: Affect, turn: Turn, lang: str) -> str:
    start, end = affect.t0, affect.t1 if affect.t1 is not None else turn.seconds
    if start is None and end is not None:
        start = 0.0
    when = f"{start:.1f}-{end:.1f} s" if start is not None and end is not None else _WHOLE[lang]
    sure = "" if affect.confidence is None else f", {affect.confidence:.2f}"
    return f"[{when}: {affect.label}{sure}]"
