"""Scores of spoken replies: whether they can be understood, how they sound, how long they are and begin to
take, and how their pitch and pace differ by what they answer.

English is read back by Moonshine, which is no Whisper, and knows no other language; Chinese by Whisper, and
compared by syllables, as it sounds. Whether a reply's words and its voice agree is not measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harken.audio.io import read
from harken.errors import InputError
from harken.evaluation.asking.answers import Answers, Kept
from harken.evaluation.dialogue_sets.ask import Asker
from harken.evaluation.dialogue_sets.read import Case
from harken.evaluation.dialogue_sets.texts import NO_ANSWER, item_score
from harken.evaluation.item_scores import ItemScore
from harken.evaluation.progress import steps
from harken.evaluation.statistics import Interval, difference_between

READ_BACK = {"en": "word error rate (Moonshine)", "zh": "character error rate (Whisper)"}
QUALITY = "DNSMOS overall"
SECONDS = "reply, s"
FIRST_AUDIO = "first audio, s"
NO_SOUND, NO_WORDS, NO_TIME = "no sound", "no words to read back", "its first audio is not timed"
UNHEARD = "its sound cannot be heard"
SAD, HAPPY = "sad", "happy"
SAMPLE_RATE_HZ = 16_000
HAN = re.compile(r"[㐀-鿿]")

Wave = NDArray[np.float32]


class Ears:
    """What listens: each opened when it first does."""

    @cached_property
    def words(self) -> Callable[[Wave], str]:
        """(N,) samples at 16 kHz -> the English words in them. Raises MissingExtra."""
        from harken.evaluation.moonshine import Moonshine

        return Moonshine()

    def characters(self, wave: Wave) -> str:
        """(N,) samples at 16 kHz -> the Chinese words in them. Raises WeightsError."""
        from harken.data.read_back import recogniser

        return recogniser()(wave, "zh")

    def quality(self, wave: Wave) -> float:
        """From 1 to 5. Raises MissingExtra."""
        from harken.evaluation.dnsmos import dnsmos

        return dnsmos(wave).overall

    def semitones(self, wave: Wave) -> float:
        """The median pitch above 100 Hz. Raises MissingExtra."""
        from harken.evaluation.speaking import Sound
        from harken.evaluation.style import semitones

        return semitones(Sound(wave, SAMPLE_RATE_HZ, ended=True))


@dataclass(frozen=True)
class Manner:
    """How one reply was said."""

    group: str
    emotion: str | None
    """Of the user's turn."""
    semitones: float
    log_pace: float
    """Log of seconds a letter, or a Chinese character."""


@dataclass(frozen=True)
class Contrasted:
    """A difference between replies to sad and to happy turns; None where there are too few of either."""

    measure: str
    value: Interval | None
    n: int
    unscored: int
    """Sad and happy turns whose replies could not be measured."""


@dataclass
class SoundScores:
    """Scores of one system's spoken replies."""

    asker: Asker
    answers: Answers
    ears: Ears
    scores: list[ItemScore] = field(default_factory=list)

    def add(self, cases: Sequence[Case], seed: int = 0) -> list[Contrasted]:
        """Score the replies of one language; gives how those to sad turns differ from those to happy ones."""
        manners = [manner for case in steps(cases, "listening") for manner in self._heard(case)]
        asked = sum(case.target.emotion in (SAD, HAPPY) for case in cases)
        return contrasted(manners, asked, seed)

    def _heard(self, case: Case) -> list[Manner]:
        kept = self.asker.answer(case, "reply", self.answers)
        if kept is None or kept.sound is None:
            self._unheard(case, NO_ANSWER if kept is None else NO_SOUND)
            return []
        try:
            wave: Wave = read(self.answers.folder / kept.sound).samples
        except InputError:  # missing, damaged or silent
            self._unheard(case, UNHEARD)
            return []
        seconds = wave.size / SAMPLE_RATE_HZ
        self.scores += [
            self._read_back(case, kept, wave),
            item_score(case, QUALITY, self.ears.quality(wave)),
            item_score(case, SECONDS, seconds),
            item_score(case, FIRST_AUDIO, kept.first_audio_s, why=NO_TIME),
        ]
        letters = sum(char.isalnum() for char in kept.text)
        if not letters:
            return []
        pace = float(np.log(seconds / letters))
        return [Manner(case.item.group, case.target.emotion, self.ears.semitones(wave), pace)]

    def _unheard(self, case: Case, why: str) -> None:
        for measure in (READ_BACK[case.item.lang], QUALITY, SECONDS, FIRST_AUDIO):
            self.scores.append(item_score(case, measure, None, why=why))

    def _read_back(self, case: Case, kept: Kept, wave: Wave) -> ItemScore:
        """Errors a word, or a Chinese syllable; longer replies weigh more."""
        chinese = case.item.lang == "zh"
        errors, words = self._chinese(kept.text, wave) if chinese else self._english(kept.text, wave)
        if not words:
            return item_score(case, READ_BACK[case.item.lang], None, why=NO_WORDS)
        return item_score(case, READ_BACK[case.item.lang], errors / words, weight=words)

    def _english(self, text: str, wave: Wave) -> tuple[float, float]:
        from harken.evaluation.words import normalise, word_errors

        text = HAN.sub(" ", text)  # which Moonshine does not read
        if not normalise(text):  # no words, or a reply in another language
            return 0.0, 0.0
        errors = word_errors([text], [self.ears.words(wave)])
        return float(errors.above.sum()), float(errors.below.sum())

    def _chinese(self, text: str, wave: Wave) -> tuple[float, float]:
        from harken.data.read_back import character_error_rate, comparable

        if not HAN.search(text):  # a reply in another language
            return 0.0, 0.0
        syllables = len(comparable(text, "zh").split())
        return syllables * character_error_rate(text, self.ears.characters(wave), "zh"), syllables


def contrasted(manners: Sequence[Manner], asked: int, seed: int = 0) -> list[Contrasted]:
    """Pitch and pace of replies to sad turns against those to happy turns. Args: asked: such turns."""
    sad = [manner for manner in manners if manner.emotion == SAD]
    happy = [manner for manner in manners if manner.emotion == HAPPY]
    n, groups = len(sad) + len(happy), [manner.group for manner in (*sad, *happy)]
    found = []
    for name, unit, of in (("pitch", "semitones", _pitch), ("seconds a letter", "log ratio", _pace)):
        values: tuple[Interval | None, Interval | None] = (None, None)
        if min(len(sad), len(happy)) >= 2:
            values = difference_between(list(map(of, sad)), list(map(of, happy)), groups, seed=seed)
        for kind, value in zip((unit, "effect size d"), values, strict=True):
            found.append(Contrasted(f"to sad minus to happy turns: {name}, {kind}", value, n, asked - n))
    return found


def _pitch(manner: Manner) -> float:
    return manner.semitones


def _pace(manner: Manner) -> float:
    return manner.log_pace
