"""Whether a reply sounds like what it answers: the same words, said to people who spoke sadly and happily.

Dev speakers of RAVDESS say the same sentence in both emotions; the model hears each and says one and the
same text. A pair is one speaker's two recordings of a sentence, of the same intensity and repetition. Beside
it, the same with the affect vectors dealt out anew among all recordings: there nothing should be left.

Shapes: P pairs, K affect vectors before the words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from harken.audio.pitch import FRAMES_PER_S, VOICED, prosody
from harken.errors import DataError
from harken.evaluation.progress import steps
from harken.evaluation.report import Report, Row, bootstrap, figure, per_item
from harken.evaluation.speaking import Replies, Sound, spoken
from harken.evaluation.speech import at_16_khz
from harken.evaluation.statistics import effect_size

if TYPE_CHECKING:
    from harken.evaluation.labelers import LabelledClip
    from harken.model.own_voice import OwnVoice
    from harken.model.spoken_lm import HeardTurn, SpokenLM

TEXTS = (
    "I hear what you are saying, and I am here with you.",
    "Thank you for telling me. What happened after that?",
)
"""Said in turns, one a pair."""
SEMITONES = 12.0

Pair = tuple["LabelledClip", "LabelledClip"]
"""Sad, happy."""


def evaluate_style(model: SpokenLM, voice: OwnVoice, pairs: Sequence[Pair], seed: int = 0) -> Report:
    """Args: pairs: see `sad_and_happy`. Raises DataError for fewer than two: an effect size takes two."""
    if len(pairs) < 2:
        raise DataError(
            f"{len(pairs)} pair of recordings is too few for an effect size",
            "name more of RAVDESS, or a --limit of 2 or more",
        )
    heard = [model.hear(clip.clip.samples()) for pair in steps(list(pairs), "listening") for clip in pair]
    order = np.random.default_rng(seed).permutation(len(heard))
    shuffled = [with_affect_of(turn, heard[other], model) for turn, other in zip(heard, order, strict=True)]
    rows = [
        row
        for name, turns in (("as heard", heard), ("affect vectors shuffled", shuffled))
        for row in differences(name, _said(model, voice, turns), seed)
    ]
    speakers = len({pair[0].clip.voice for pair in pairs})
    method = (
        "sad minus happy, paired; pitch is the median of voiced frames (SwiftF0); d is the mean difference "
        "over its standard deviation; 95 % by bootstrap over pairs"
    )
    return Report(
        "style",
        {
            "data": f"{len(pairs)} pairs of {speakers} dev speakers of RAVDESS",
            "texts": TEXTS,
            "method": method,
        },
        tuple(rows),
    )


def sad_and_happy(clips: Sequence[LabelledClip]) -> list[Pair]:
    """Recordings that differ in the emotion alone. Raises DataError where there are none.

    RAVDESS's names say modality-channel-emotion-intensity-sentence-repetition-actor.
    """
    by_rest: dict[tuple[str, ...], dict[str, LabelledClip]] = {}
    for clip in clips:
        fields = PurePath(clip.clip.id).stem.split("-")
        if clip.clip.source == "ravdess" and len(fields) == 7:
            by_rest.setdefault((*fields[:2], *fields[3:]), {})[clip.emotion] = clip
    found = [(both["sad"], both["happy"]) for both in by_rest.values() if {"sad", "happy"} <= both.keys()]
    if not found:
        raise DataError("no sentence of RAVDESS that a dev speaker says sadly and happily", "name its folder")
    return found


def with_affect_of(turn: HeardTurn, other: HeardTurn, model: SpokenLM) -> HeardTurn:
    """The words of one turn with the affect of another."""
    vectors = model.recipe.listen.affect_vectors
    return dataclasses.replace(
        turn,
        affect=other.affect,
        embeddings=torch.cat([other.embeddings[:vectors], turn.embeddings[vectors:]]),
    )


def differences(name: str, sounds: Sequence[Sound], seed: int) -> list[Row]:
    """Sad minus happy. Args: sounds: of each pair the sad one, then the happy one."""
    seconds = np.array([sound.seconds for sound in sounds]).reshape(-1, 2)
    pitch = np.array([semitones(sound) for sound in sounds]).reshape(-1, 2)
    slower = np.log(seconds[:, 0] / seconds[:, 1])  # (P,)
    higher = pitch[:, 0] - pitch[:, 1]
    n = len(slower)
    return [
        figure("RAVDESS", name, "sad is longer, log ratio", bootstrap(per_item(slower), seed=seed), n),
        figure("RAVDESS", name, "the same, effect size d", effect_size(slower, seed=seed), n),
        figure("RAVDESS", name, "sad is higher, semitones", bootstrap(per_item(higher), seed=seed), n),
        figure("RAVDESS", name, "the same, effect size d", effect_size(higher, seed=seed), n),
    ]


def semitones(sound: Sound) -> float:
    """The median pitch above 100 Hz; that of a sound without voice counts as 100 Hz."""
    wave: NDArray[np.float32] = at_16_khz(sound)
    found = prosody(wave, wave.size * FRAMES_PER_S // 16_000)
    voiced = found.log_pitch[found.voicing >= VOICED]
    return float(SEMITONES * (np.median(voiced) - np.log(100.0)) / np.log(2.0)) if voiced.size else 0.0


def _said(model: SpokenLM, voice: OwnVoice, turns: Sequence[HeardTurn]) -> list[Sound]:
    replies = Replies(model)
    written = [replies.given(turn, TEXTS[n // 2 % len(TEXTS)]) for n, turn in enumerate(turns)]
    return spoken(voice, written)
