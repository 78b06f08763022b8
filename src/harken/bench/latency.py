"""Warm speed of a spoken reply, beside the cascades that a user would otherwise build, in one run.

All systems hear the same recordings, in turns, each in a process of its own. Times run from the last input
sample. How well those very replies are understood stands beside: what comes soon and is not understood is no
reply.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import soxr

from harken.api import Harken
from harken.bench.apart import Apart, System
from harken.bench.moments import Moments, moments
from harken.bench.recording import recording
from harken.bench.result import ratio, spread
from harken.dialogue.decoding import read
from harken.dialogue.events import Event
from harken.dialogue.render import UserTurn
from harken.dialogue.reply import ReplySettings, reply
from harken.errors import HarkenError
from harken.evaluation.cascade import Samples
from harken.evaluation.report import hardware
from harken.model.own_voice import OwnVoice
from harken.recipes import Recipe
from harken.voices.base import Voice

SECONDS = 5.0
BETWEEN_S = (3.0, 8.0)
"""How long recordings are."""
RUNS = 30
WARM_UP = 2
DECODED = 32
"""Tokens over which the speed of decoding is measured."""
_LISTEN_HZ = 16_000

Timed = Callable[[Samples], Moments]
"""A recording (N,) at 16 kHz -> when what happened in its reply."""


def bench_latency(
    recipe: Recipe,
    checkpoint: Path | None = None,
    runs: int | None = None,
    data: Sequence[Path] = (),
    voice: str = "recipe",
    alone: bool = False,
) -> dict[str, Any]:
    """Measure `runs` replies of each system; see `compare` for what comes out.

    Args:
        data: folders of dev users' turns, of which `runs` of 3 to 8 s are answered; without any, the example
            recording is, over and over.
        voice: of Harken; see `harken.api.load`.
        alone: measure nothing beside Harken.
    """
    from harken.checkpoint import load_model
    from harken.evaluation.progress import quiet_libraries

    quiet_libraries()
    recordings, source = recordings_of(data, runs or RUNS)
    harken = Harken(load_model(recipe, checkpoint))
    try:
        speaking, silent_because = harken.voice(voice), None
    except HarkenError as error:
        speaking, silent_because = None, error.message
    others = {} if alone else alternatives(recipe, checkpoint, voice)
    result = compare(harken, speaking, recordings, others)
    setting = {
        "bench": "latency", "recipe": recipe.name, "checkpoint": str(checkpoint or "shipped"),
        "think": "after", "recordings": f"{len(recordings)}: {source}",
        "voice": silent_because or _name(speaking), "hardware": hardware(),
    }  # fmt: skip
    return setting | result


def alternatives(recipe: Recipe, checkpoint: Path | None, voice: str) -> dict[str, Callable[[], Timed]]:
    """What Harken is measured against, by name; each is loaded when its turn comes."""
    from harken.bench import cascade

    systems: dict[str, Callable[[], System]] = {
        "the same core reading Whisper's transcript": partial(same_core, recipe, checkpoint, voice),
        "faster-whisper, llama.cpp, Kokoro by sentences": partial(cascade.usual, recipe),
        "Moonshine, llama.cpp, Piper by clauses": partial(cascade.fastest, recipe),
    }
    return {name: partial(Apart, open_system) for name, open_system in systems.items()}


def same_core(recipe: Recipe, checkpoint: Path | None, voice_name: str) -> System:
    """Harken itself, told what was said in writing. Raises HarkenError."""
    from harken.checkpoint import load_model
    from harken.evaluation.cascade import WhisperDecoder
    from harken.weights.store import ensure

    harken = Harken(load_model(recipe, checkpoint))
    voice, transcribe = harken.voice(voice_name), WhisperDecoder(ensure(recipe.listen.encoder))

    def answer(samples: Samples) -> Iterator[Event]:
        heard = transcribe([samples])[0]
        yield from reply(harken.conversation().conversation, heard, ReplySettings(), voice)

    return answer


def compare(
    harken: Harken,
    voice: Voice | OwnVoice | None,
    recordings: Sequence[Samples],
    others: Mapping[str, Callable[[], Timed]],
) -> dict[str, Any]:
    """All systems in turns, recording by recording.

    Returns: "harken" and each other's name, with {p50, p95} of its figures (None where there is no voice);
        "audible_ratio" and "first_text_ratio", ours over each other's; "not_measured", and why.
    """

    def ours(samples: Samples) -> Moments:
        settings = ReplySettings(least_confidence=0.0)
        return moments(reply(harken.conversation().conversation, samples, settings, voice))

    for _ in range(WARM_UP):
        ours(recordings[0])
    peak_gb = _peak_gb()
    systems: dict[str, Timed] = {"harken": ours}
    missing: dict[str, str] = {}
    for name, load in others.items():
        try:
            system = load()
            system(recordings[0])
            systems[name] = system
        except HarkenError as error:
            missing[name] = f"{error.message}: {error.hint}"
    found: dict[str, list[Moments]] = {name: [] for name in systems}
    for samples in recordings:
        for name, system in systems.items():
            found[name].append(system(samples))
    for system in systems.values():
        if isinstance(system, Apart):
            system.close()
    figures = {name: times(each) | understood(each) for name, each in found.items()}
    figures["harken"] |= _parts(harken, recordings) | {"peak_rss_gb": peak_gb}
    return {"runs": len(recordings), **_ratios(figures), "not_measured": missing, **figures}


def _ratios(figures: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """How soon Harken is heard and read, over each other's."""
    return {
        f"{moment}_ratio": {
            name: ratio(figures["harken"][f"{moment}_ms"], theirs[f"{moment}_ms"])
            for name, theirs in figures.items()
            if name != "harken"
        }
        for moment in ("audible", "first_text")
    }


def times(replies: Sequence[Moments]) -> dict[str, Any]:
    """How soon and how fast."""
    found: dict[str, list[float | None]] = {
        "first_text_ms": [r.first_text_s for r in replies],
        "first_audio_ms": [r.first_chunk_s for r in replies],
        "audible_ms": [r.audible_s for r in replies],
        "total_ms": [r.total_s for r in replies],
    }
    factors = [r.real_time_factor for r in replies]
    return {name: spread([1000 * s for s in each if s is not None]) for name, each in found.items()} | {
        "real_time_factor": spread([factor for factor in factors if factor is not None]),
        "seconds_of_sound": spread([r.seconds for r in replies if r.seconds]),
        "underruns": sum(r.underruns for r in replies),
    }


def understood(replies: Sequence[Moments]) -> dict[str, Any]:
    """Word error rate of the sound against the reply's text, and how good it sounds."""
    from harken.evaluation.dnsmos import dnsmos
    from harken.evaluation.moonshine import Moonshine
    from harken.evaluation.words import word_error_rate

    spoken = [r for r in replies if r.seconds]
    if not spoken:
        return {}
    try:
        moonshine = Moonshine()
        waves = [soxr.resample(r.samples(), r.chunks[0].sample_rate, _LISTEN_HZ).clip(-1, 1) for r in spoken]
        errors = word_error_rate([r.text for r in spoken], [moonshine(wave) for wave in waves])
        return {
            "word_error_rate": round(errors, 4),
            "dnsmos_overall": round(float(np.mean([dnsmos(wave).overall for wave in waves])), 3),
        }
    except HarkenError as error:
        return {"understood": f"not measured: {error.message}"}


def _parts(harken: Harken, recordings: Sequence[Samples]) -> dict[str, Any]:
    """How fast it listens and writes."""
    listen = [
        _seconds(partial(harken.model.hear, samples)) / (len(samples) / _LISTEN_HZ) for samples in recordings
    ]
    decode = [_tokens_per_s(harken) for _ in recordings]
    return {"listen_real_time_factor": spread(listen), "decode_tokens_per_s": spread(decode)}


def recordings_of(data: Sequence[Path], runs: int) -> tuple[list[Samples], str]:
    """Recordings (N,) at 16 kHz, and where they are from. Raises DataError where none is long enough."""
    from harken.errors import DataError
    from harken.evaluation.clips import drawn, evaluation_clips

    if not data:
        samples, name = recording(SECONDS)
        return [samples] * runs, f"{SECONDS:g} s of {name}"
    low, high = BETWEEN_S
    clips = [c for found in evaluation_clips(list(data)).values() for c in found if low <= c.seconds <= high]
    if not clips:
        raise DataError(f"no dev recordings of {low:g} to {high:g} s", "name more folders after --data")
    chosen = drawn(clips, runs, 0)
    return [clip.samples() for clip in chosen], f"dev users' turns of {low:g} to {high:g} s"


def _name(voice: Voice | OwnVoice | None) -> str:
    if isinstance(voice, OwnVoice):
        units = voice.speak.sizes.units_per_step
        steps = f"{voice.decoder.units_hz / units:.1f} steps a second of speech"
        return f"its own, {voice.speaker}, {units} units a step, {steps}"
    return voice.name if voice else "none"


def _tokens_per_s(harken: Harken) -> float:
    """How fast the core goes on from a short prompt, one token at a time."""
    opening, _ = harken.conversation().conversation.ask(UserTurn("How are you today?"))

    def decode() -> None:
        at = opening
        for _ in range(DECODED):
            at = read(harken.model, [int(at.logits.argmax())], at.state)

    return DECODED / _seconds(decode)


def _seconds(do: Callable[[], object]) -> float:
    begun = perf_counter()
    do()
    return perf_counter() - begun


def _peak_gb() -> float:
    """The most memory that this process has held, in 10^9 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e9, 3)
