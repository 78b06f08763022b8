"""Whether spoken replies are understood: read back against their own text by a recogniser that is no Whisper.

The model answers dev users' turns and says the answers in its own voice; the external voice says the same
texts, in the style that answers the heard emotion, and is the alternative and the measure of how long a text
takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import soxr
from numpy.typing import NDArray

from harken.affect.labels import top_emotion
from harken.evaluation.dnsmos import dnsmos
from harken.evaluation.moonshine import Moonshine
from harken.evaluation.progress import steps
from harken.evaluation.report import Report, Row, bootstrap, figure, per_item
from harken.evaluation.speaking import Replies, Sound, WrittenReply, spoken
from harken.evaluation.words import word_errors
from harken.voices.styles import reply_style

if TYPE_CHECKING:
    from harken.data.speech import Clip
    from harken.model.own_voice import OwnVoice
    from harken.model.spoken_lm import HeardTurn, SpokenLM
    from harken.voices.base import Voice

MOST_TURNS = 100
BEARABLE = (0.5, 2.0)
"""How long a reply may be, in times of what the external voice takes."""
_LISTEN_HZ = 16_000


def evaluate_speech(
    model: SpokenLM, voice: OwnVoice, external: Voice, clips: Sequence[Clip], seed: int = 0
) -> Report:
    """Args: clips: users' turns, English. seed: draws bootstrap samples."""
    writer = Replies(model)
    heard = [model.hear(clip.samples()) for clip in steps(list(clips), "listening")]
    replies = [writer.written(turn) for turn in steps(heard, "writing")]
    own = spoken(voice, replies)
    theirs = [
        say(external, reply, turn) for reply, turn in zip(steps(replies, external.name), heard, strict=True)
    ]
    return Report(
        "speech",
        {
            "data": f"{len(clips)} dev users' turns",
            "method": f"read by Moonshine-tiny, rated by DNSMOS P.835; {voice.speak.sizes.units_per_step} "
            f"units a step, the middle of what is expected; {external.name} says the same texts; "
            "95 % by bootstrap over replies",
        },
        (
            *understood("own voice", replies, own, seed),
            *understood(external.name, replies, theirs, seed),
            *behaved("own voice", own, theirs, seed),
        ),
    )


def say(voice: Voice, reply: WrittenReply, heard: HeardTurn) -> Sound:
    """A reply in an external voice."""
    _, style = reply_style(top_emotion(heard.emotion))
    samples = np.concatenate([np.zeros(0, np.float32), *voice.speak(reply.text, style)])
    return Sound(samples, voice.sample_rate, ended=True)


def understood(system: str, replies: Sequence[WrittenReply], sounds: Sequence[Sound], seed: int) -> list[Row]:
    """Words and quality."""
    moonshine, n = Moonshine(), len(replies)
    waves = [at_16_khz(sound) for sound in sounds]
    errors = word_errors(
        [reply.text for reply in replies], [moonshine(wave) for wave in steps(waves, "reading back")]
    )
    quality = per_item([dnsmos(wave).overall if wave.size else 1.0 for wave in steps(waves, "rating")])
    return [
        figure("replies", system, "word error rate (Moonshine)", bootstrap(errors, seed=seed), n),
        figure("replies", system, "DNSMOS overall", bootstrap(quality, seed=seed), n),
    ]


def behaved(system: str, sounds: Sequence[Sound], reference: Sequence[Sound], seed: int) -> list[Row]:
    """Whether replies end, in good time, and stay below full scale. Args: reference: the same texts."""
    longer = np.array(
        [own.seconds / max(ref.seconds, 0.1) for own, ref in zip(sounds, reference, strict=True)]
    )
    in_time = (longer >= BEARABLE[0]) & (longer <= BEARABLE[1])
    ended = np.array([sound.ended for sound in sounds])
    clipped = np.array([bool(np.abs(sound.samples).max(initial=0.0) >= 1.0) for sound in sounds])
    measures = {
        "end by themselves, in 0.5 to 2 times the external voice's time": ended & in_time,
        "length, in times of the external voice's": longer,
        "reach full scale": clipped,
    }
    return [
        figure("replies", system, name, bootstrap(per_item(values.astype(float)), seed=seed), len(sounds))
        for name, values in measures.items()
    ]


def at_16_khz(sound: Sound) -> NDArray[np.float32]:
    """Its samples, (N,), as listeners take them."""
    wave: NDArray[np.float32] = soxr.resample(sound.samples, sound.sample_rate, _LISTEN_HZ)
    return wave.clip(-1, 1)
