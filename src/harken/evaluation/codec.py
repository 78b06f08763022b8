"""What speech keeps when it goes through units: words, pitch, how good it sounds, and how long it takes.

Each dev clip is written as units and spoken again, in its own voice where the codec has it and in the
reply's otherwise. The original stands beside, judged by the same listeners, none of which is Whisper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from harken.audio.pitch import FRAMES_PER_S, VOICED, prosody
from harken.evaluation.dnsmos import dnsmos
from harken.evaluation.moonshine import Moonshine
from harken.evaluation.progress import steps
from harken.evaluation.report import Report, bootstrap, figure, per_item
from harken.evaluation.words import word_errors

if TYPE_CHECKING:
    from harken.data.speech import Clip
    from harken.model.units.decoder import HarkenUnitDecoder
    from harken.model.units.encoder import HarkenUnitEncoder

_LISTEN_HZ = 16_000


class Heard(NamedTuple):
    """One clip as listeners hear it."""

    text: str
    quality: float


class Passed(NamedTuple):
    """A clip before and after."""

    original: Heard
    again: Heard
    pitch: float | None
    """Correlation of log pitch over frames that are voiced in both; None where they are too few."""
    seconds: float
    decoding_s: float
    clipped: bool


def evaluate_codec(
    encoder: HarkenUnitEncoder,
    decoder: HarkenUnitDecoder,
    sets: Mapping[str, Sequence[Clip]],
    voice: str,
    seed: int = 0,
) -> Report:
    """Args: sets: name -> clips. voice: speaks what comes from a voice that the codec does not have."""
    moonshine, rows = Moonshine(), []
    for name, clips in sets.items():
        passed = [pass_through(encoder, decoder, clip, voice, moonshine) for clip in steps(list(clips), name)]
        texts = [clip.text for clip in clips]
        for system, heard in (
            ("original", [p.original for p in passed]),
            ("through units", [p.again for p in passed]),
        ):
            if all(clip.lang == "en" for clip in clips):  # Moonshine reads nothing else
                errors = word_errors(texts, [h.text for h in heard])
                rows.append(
                    figure(
                        name, system, "word error rate (Moonshine)", bootstrap(errors, seed=seed), len(clips)
                    )
                )
            quality = per_item([h.quality for h in heard], [1] * len(heard))
            rows.append(figure(name, system, "DNSMOS overall", bootstrap(quality, seed=seed), len(clips)))
        known = [p.pitch for p in passed if p.pitch is not None]
        if known:
            value = bootstrap(per_item(known), seed=seed)
            rows.append(figure(name, "through units", "pitch correlation", value, len(known)))
        speed = per_item([p.decoding_s for p in passed], [p.seconds for p in passed])
        rows.append(
            figure(
                name, "through units", "decoder's real-time factor", bootstrap(speed, seed=seed), len(clips)
            )
        )
        clipped = sum(p.clipped for p in passed)
        rows.append(
            figure(name, "through units", "clips that reach full scale", clipped / len(clips), len(clips))
        )
    method = (
        f"read by Moonshine-tiny, rated by DNSMOS P.835; {decoder.units_hz:.2f} units a second of "
        f"{decoder.vocabulary[0]}; decoded whole; unknown voices are spoken by {voice}; "
        "95 % by bootstrap over clips"
    )
    return Report("codec", {"method": method, "codec_sha256": decoder.codec_sha256}, tuple(rows))


def pass_through(
    encoder: HarkenUnitEncoder, decoder: HarkenUnitDecoder, clip: Clip, voice: str, moonshine: Moonshine
) -> Passed:
    """One clip to units and back, heard before and after."""
    samples = clip.samples()
    units = torch.from_numpy(encoder.encode(samples, _LISTEN_HZ, clip.voice)[:, 0])
    speaker = clip.voice if clip.voice in decoder.voices else voice
    begun = perf_counter()
    wave = decoder.decode([units], [speaker])[0].numpy()
    took = perf_counter() - begun
    again = soxr.resample(wave, decoder.sample_rate, _LISTEN_HZ)[: samples.size]
    return Passed(
        Heard(moonshine(samples), dnsmos(samples).overall),
        Heard(moonshine(again), dnsmos(again.clip(-1, 1)).overall),
        pitch_correlation(samples, again),
        samples.size / _LISTEN_HZ,
        took,
        bool(np.abs(wave).max() >= 1.0),
    )


def pitch_correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Of log pitch, where both (N,) at 16 kHz are voiced; None below ten frames or where one is flat."""
    frames = min(one.size, other.size) * FRAMES_PER_S // _LISTEN_HZ
    a, b = prosody(one, frames), prosody(other, frames)
    both = (a.voicing >= VOICED) & (b.voicing >= VOICED)
    if both.sum() < 10 or a.log_pitch[both].std() < 1e-3 or b.log_pitch[both].std() < 1e-3:
        return None
    return float(np.corrcoef(a.log_pitch[both], b.log_pitch[both])[0, 1])
