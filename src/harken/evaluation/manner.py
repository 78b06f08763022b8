"""Whether a reply's voice has the style that it was meant to have, and the one that its user's emotion asks
for.

A probe learns how the styles of `harken.voices.styles.REPLY_STYLES` sound, from rendered replies of split
train that the codec said again, since it sounds otherwise than what rendered them. It is tried on those of
split dev, and on the model's own voice when that is told each style in turn: so far it can be trusted, and no
further. Then the model answers dev users' turns, and people who acted an emotion, in words and a style of its
own, and the probe hears its voice. Beside it, the same with the affect vectors dealt out anew among all
turns: there a voice suits what was annotated no more often than by chance.

The probe reads loudness and pitch of what is audible, scaled, into a logistic regression.

Shapes: F values, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from harken.affect.labels import to_emotion
from harken.audio.pitch import FRAMES_PER_S, SAMPLE_RATE_HZ, VOICED, prosody
from harken.audio.silence import audible_s
from harken.data.speech import Clip
from harken.errors import DataError, MissingExtra
from harken.evaluation.clips import drawn
from harken.evaluation.progress import steps
from harken.evaluation.report import Report, Row, bootstrap, figure, per_item
from harken.evaluation.speaking import Replies, Sound, spoken
from harken.evaluation.speech import at_16_khz
from harken.evaluation.statistics import recall_ratios
from harken.evaluation.style import with_affect_of
from harken.model.own_voice import STYLES
from harken.training.speech_units import spoken_reply
from harken.voices.styles import reply_style

if TYPE_CHECKING:
    from harken.model.own_voice import OwnVoice
    from harken.model.spoken_lm import SpokenLM
    from harken.model.units.decoder import HarkenUnitDecoder
    from harken.model.units.encoder import HarkenUnitEncoder

MOST_TURNS = 100
LEARNED_A_STYLE = 100
"""Rendered replies of each style that the probe learns from, at most."""
_QUANTILES = (10, 50, 90)

Turns = Mapping[str, Sequence[Clip]]
"""Name -> users' turns of an annotated emotion."""
Hear = Callable[[Clip], NDArray[np.float32]]
"""A rendered reply -> how it sounds, (N,) at 16 kHz."""


class Probe:
    """Which style a voice has, by ear."""

    def __init__(self, rendered: Sequence[Clip], hear: Hear, seed: int = 0) -> None:
        """Args: rendered: replies whose style is known; hear: how they sound.

        Raises: MissingExtra, and DataError where no style is known.
        """
        try:
            from sklearn.linear_model import LogisticRegression
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler
        except ImportError:
            raise MissingExtra("the probe", "eval") from None
        of_style = {style: [clip for clip in rendered if clip.style == style] for style in STYLES}
        if missing := [style for style, clips in of_style.items() if not clips]:
            raise DataError(
                f"no rendered reply of split train is {' or '.join(missing)}",
                "name a folder that `harken data render --replies` wrote",
            )
        learned = [clip for clips in of_style.values() for clip in drawn(clips, LEARNED_A_STYLE, seed)]
        values = [sounds(hear(clip)) for clip in steps(learned, "learning styles")]
        regression = LogisticRegression(class_weight="balanced", max_iter=1000)
        self._model: Any = make_pipeline(StandardScaler(), regression)
        self._model.fit(np.stack(values), [clip.style for clip in learned])
        self.learned = len(learned)

    def __call__(self, waves: Sequence[NDArray[np.float32]]) -> list[str]:
        """(N,) samples at 16 kHz each -> styles."""
        return [str(style) for style in self._model.predict(np.stack([sounds(wave) for wave in waves]))]


def sounds(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """How the audible part of (N,) samples at 16 kHz sounds, (F,): loudness and pitch where it is voiced, as
    mean or quantiles and as deviation, and how much of it is. Zeros where nothing is heard.
    """
    heard = audible_s(samples, SAMPLE_RATE_HZ)
    begin, end = (round(SAMPLE_RATE_HZ * s) for s in heard or (0.0, 0.0))
    frames = (end - begin) * FRAMES_PER_S // SAMPLE_RATE_HZ
    found = prosody(samples[begin:end], frames) if frames else None
    if found is None or not (found.voicing >= VOICED).any():
        return np.zeros(len(_QUANTILES) + 4, np.float32)
    voiced = found.voicing >= VOICED
    loudness, pitch = found.loudness_db[voiced], found.log_pitch[voiced]
    values = (loudness.mean(), loudness.std(), *np.percentile(pitch, _QUANTILES), pitch.std(), voiced.mean())
    return np.array(values, np.float32)


def evaluate_manner(
    model: SpokenLM,
    voice: OwnVoice,
    hear: Hear,
    rendered: Sequence[Clip],
    turns: Turns,
    seed: int = 0,
) -> Report:
    """Args:
        hear: says again what was rendered, as the voice's codec does.
        rendered: replies whose style is known, of both splits.
        turns: to be answered.

    Raises: DataError where the probe cannot be taught, or there is nothing to try it on.
    """
    probe = Probe([clip for clip in rendered if clip.split == "train"], hear, seed)
    dev = [clip for clip in rendered if clip.split == "dev"]
    if not dev:
        raise DataError("no rendered reply of split dev has a style", "render some, with --split dev")
    heard_dev = probe([hear(clip) for clip in steps(dev, "rendered replies")])
    rows = trusted("rendered dev replies", [str(clip.style) for clip in dev], heard_dev, seed)
    for name, clips in turns.items():
        rows += answered(model, voice, probe, name, clips, seed)
    method = (
        f"logistic regression on loudness and pitch of {probe.learned} rendered train replies, through the "
        "codec; styles answer emotions as `reply_style` has it; 95 % by bootstrap over replies. Where the "
        f"probe is no better than chance ({1 / len(STYLES):g}) on the own voice, what it hears there says "
        "nothing"
    )
    about = {"data": {name: f"{len(clips)} turns" for name, clips in turns.items()}, "method": method}
    return Report("manner", about, tuple(rows))


def said_again(
    encoder: HarkenUnitEncoder, decoder: HarkenUnitDecoder, speaker: str, clip: Clip
) -> NDArray[np.float32]:
    """A rendered reply through the codec, in its own voice or else in the speaker's: (N,) at 16 kHz."""
    units = torch.from_numpy(spoken_reply(clip, encoder).unit_array())
    (wave,) = decoder.decode([units], [clip.voice if clip.voice in decoder.voices else speaker])
    return at_16_khz(Sound(wave.numpy(), decoder.sample_rate, ended=True))


def answered(
    model: SpokenLM, voice: OwnVoice, probe: Probe, name: str, clips: Sequence[Clip], seed: int
) -> Iterator[Row]:
    """The figures of one set of turns."""
    writer = Replies(model)
    asked_for = [reply_style(to_emotion(clip.emotion))[0] for clip in clips]
    heard = [model.hear(clip.samples()) for clip in steps(clips, "listening")]
    replies = [writer.written(turn) for turn in steps(heard, "writing")]
    told = [STYLES[n % len(STYLES)] for n in range(len(replies))]
    said = spoken(voice, replies, [voice.in_style(style) for style in told])
    yield from trusted(f"own voice, {name}", told, probe([at_16_khz(sound) for sound in said]), seed)
    order = np.random.default_rng(seed).permutation(len(heard))
    dealt = [with_affect_of(turn, heard[other], model) for turn, other in zip(heard, order, strict=True)]
    answers = [writer.written(turn) for turn in steps(dealt, "writing")]
    for system, given in (("as heard", replies), ("affect vectors shuffled", answers)):
        in_voice = probe([at_16_khz(sound) for sound in spoken(voice, given)])
        meant = [STYLES[int(voice.styles(reply.affect).argmax())] for reply in given]
        yield from agreement(name, system, meant, in_voice, asked_for, seed)


def trusted(data: str, truth: Sequence[str], heard: Sequence[str], seed: int) -> list[Row]:
    """How well the probe hears styles that are known."""
    right = np.array(truth) == np.array(heard)
    measures = {
        "the probe is right": bootstrap(per_item(right), seed=seed),
        "the same, mean of styles": bootstrap(recall_ratios(truth, heard), seed=seed),
    }
    return [figure(data, "probe", name, value, len(right)) for name, value in measures.items()]


def agreement(
    data: str, system: str, meant: Sequence[str], heard: Sequence[str], asked_for: Sequence[str], seed: int
) -> list[Row]:
    """Of replies: the style that was meant, that is heard, and that answers the annotated emotion."""
    intent, sound, emotion = np.array(meant), np.array(heard), np.array(asked_for)
    measures = {
        "voice has the style that was meant": sound == intent,
        "voice has the style that answers the annotated emotion": sound == emotion,
        "style that was meant answers the annotated emotion": intent == emotion,
    }
    return [
        figure(data, system, name, bootstrap(per_item(agree), seed=seed), len(agree))
        for name, agree in measures.items()
    ]
