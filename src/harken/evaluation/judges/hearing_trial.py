"""A judge that hears, on trial: does it put a run's replies above the same with their sound made worse?

Of a few replies that were spoken, three worse recordings each are planted: with white noise as loud as the
reply, the recording of another reply, and the reply cut off in its middle. The judge scores them like any
others. One that does not hear the noise scores no sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harken.audio.io import Samples, encode, read
from harken.errors import InputError
from harken.evaluation.judges.hearing import Heard, HearingJudge, judge_by_ear
from harken.evaluation.judges.judging import Item, Judging
from harken.evaluation.judges.rubrics import Rubric
from harken.evaluation.planted import LEAST_AUC, Trust, auc
from harken.evaluation.statistics import Floats, Interval

REPLIES = 6
QUALITY = "audio_quality_naturalness"
"""The dimension that a trial looks at."""
AS_IT_IS, NOISE, OTHER, CUT = (
    "as it is",
    "noise at 0 dB",
    "the recording of another reply",
    "a cut in its middle",
)
WORSE = (NOISE, OTHER, CUT)


@dataclass(frozen=True)
class Spoken:
    """A reply that can be heard, with its samples (N,)."""

    heard: Heard
    samples: Samples
    sample_rate: int  # Hz


def try_ears(hearing: HearingJudge, rubric: Rubric, heard: Sequence[Heard], seed: int = 0) -> Trust | None:
    """Let it judge what is planted; None where fewer than two replies can be heard.

    Args:
        rubric: one with the dimension `QUALITY`.
        heard: the run's replies, of which the first `REPLIES` that can be heard are taken.
        seed: of the intervals; what is planted never changes.

    Raises: as `judge_by_ear`.
    """
    spoken = _first_spoken(heard)
    if len(spoken) < 2:
        return None
    judging = judge_by_ear(hearing, rubric, planted(spoken))
    scores = judging.means(QUALITY)

    def of(sound: str) -> Floats:
        return np.array([scores.get(_id(number, sound), np.nan) for number in range(len(spoken))])

    found = {sound: auc(of(AS_IT_IS), of(sound), seed) for sound in WORSE}
    return _trust(found, len(spoken), judging)


def planted(spoken: Sequence[Spoken]) -> list[Heard]:
    """Four recordings of each reply, from `AS_IT_IS` to `CUT`; two replies or more."""
    found = []
    for number, each in enumerate(spoken):
        other = spoken[(number + 1) % len(spoken)]
        sounds = {
            AS_IT_IS: encode(each.samples, each.sample_rate),
            NOISE: encode(noisy(each.samples), each.sample_rate),
            OTHER: encode(other.samples, other.sample_rate),
            CUT: encode(each.samples[: each.samples.size // 2], each.sample_rate),
        }
        for sound, wav in sounds.items():
            item = Item(_id(number, sound), each.heard.item.fields)
            found.append(replace(each.heard, item=item, reply=wav))
    return found


def noisy(samples: Samples, seed: int = 0) -> Samples:
    """Samples (N,) with white noise of the same power."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    noise = np.random.default_rng(seed).normal(0.0, np.sqrt(power), samples.size)
    return (samples + noise).astype(np.float32)


def _first_spoken(heard: Sequence[Heard]) -> list[Spoken]:
    found: list[Spoken] = []
    for each in heard:
        if len(found) == REPLIES:
            break
        if each.reply is None:
            continue
        try:
            recording = read(each.reply)
        except InputError:  # the reply is reported as unscored, with this reason, when it is judged itself
            continue
        found.append(Spoken(each, recording.samples, recording.sample_rate))
    return found


def _trust(found: dict[str, Interval], replies: int, judging: Judging) -> Trust:
    noise, unscored = found[NOISE], len(judging.unscored)
    shown = noise.value >= LEAST_AUC
    left = f", with {unscored} of {len(judging.judgements)} recordings unscored" if unscored else ""
    return Trust(
        shown,
        f"Scores of sound are {'shown' if shown else 'withheld'}: on {QUALITY} this judge tells replies from "
        f"the same with {NOISE} with an AUC of {noise.value:.2f} [{noise.low:.2f}, {noise.high:.2f}] over "
        f"{replies} replies{left}, and {LEAST_AUC:.2f} is asked for; from {OTHER} with "
        f"{found[OTHER].value:.2f}, from {CUT} with {found[CUT].value:.2f}.",
    )


def _id(number: int, sound: str) -> str:
    return f"{number}/{sound}"
