"""Warm speed of a spoken reply, beside the cascade: Whisper's decoder writes a transcript, the same core
answers that.

Both hear the same 5 s, run in turns with the same voice, and think after the reply. Times run from the
last input sample. Memory is the peak of the process before the cascade is loaded.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harken.api import Harken
from harken.bench.recording import recording
from harken.bench.result import ratio, spread
from harken.dialogue.decoding import read
from harken.dialogue.events import Done, Event
from harken.dialogue.render import UserTurn
from harken.dialogue.reply import ReplySettings, reply
from harken.errors import HarkenError
from harken.evaluation.cascade import Transcribe
from harken.evaluation.report import hardware
from harken.model.own_voice import OwnVoice
from harken.recipes import Recipe
from harken.voices.base import Voice

SECONDS = 5.0
RUNS = 10
WARM_UP = 2
DECODED = 32
"""Tokens over which the speed of decoding is measured."""
MOMENTS = ("first_text", "first_audio", "total")

Samples = NDArray[np.float32]
Moments = dict[str, list[float]]


def bench_latency(recipe: Recipe, checkpoint: Path | None = None, runs: int | None = None) -> dict[str, Any]:
    """Measure `runs` replies of each system; see `compare` for what comes out."""
    from harken.checkpoint import load_model
    from harken.evaluation.cascade import WhisperDecoder
    from harken.evaluation.progress import quiet_libraries
    from harken.weights.store import ensure

    quiet_libraries()
    harken = Harken(load_model(recipe, checkpoint))
    try:
        voice, silent_because = harken.voice("kokoro"), None
    except HarkenError as error:
        voice, silent_because = None, error.message
    samples, source = recording(SECONDS)
    result = compare(
        harken, voice, samples, lambda: WhisperDecoder(ensure(recipe.listen.encoder)), runs or RUNS
    )
    setting = {
        "bench": "latency", "recipe": recipe.name, "checkpoint": str(checkpoint or "shipped"),
        "think": "after", "recording": f"{SECONDS:g} s of {source}",
        "voice": getattr(voice, "name", None) or silent_because, "hardware": hardware(),
    }  # fmt: skip
    return setting | result


def compare(
    harken: Harken,
    voice: Voice | OwnVoice | None,
    samples: Samples,
    load_cascade: Callable[[], Transcribe],
    runs: int,
) -> dict[str, Any]:
    """Both systems in turns.

    Returns: `harken` and `cascade`, each with {p50, p95} of its figures (None where there is no voice), and
        `first_text_ratio` and `first_audio_ratio`, ours over the cascade's.
    """
    seconds = len(samples) / 16_000

    def ours() -> Iterator[Event]:
        return reply(harken.conversation().conversation, samples, ReplySettings(least_confidence=0.0), voice)

    for _ in range(WARM_UP):
        _moments(ours)
    peak_gb = _peak_gb()
    transcribe = load_cascade()

    def cascade() -> Iterator[Event]:
        yield from reply(harken.conversation().conversation, transcribe([samples])[0], ReplySettings(), voice)

    _moments(cascade)
    own: Moments = {name: [] for name in (*MOMENTS, "listen", "decode")}
    other: Moments = {name: [] for name in (*MOMENTS, "transcribe")}
    for _ in range(runs):
        _add(own, _moments(ours))
        _add(other, _moments(cascade))
        own["listen"].append(_seconds(lambda: harken.model.hear(samples)) / seconds)
        own["decode"].append(_tokens_per_s(harken))
        other["transcribe"].append(_seconds(lambda: transcribe([samples])) / seconds)
    mine, theirs = ({f"{name}_ms": spread(times[name]) for name in MOMENTS} for times in (own, other))
    return {
        "runs": runs,
        "first_text_ratio": ratio(mine["first_text_ms"], theirs["first_text_ms"]),
        "first_audio_ratio": ratio(mine["first_audio_ms"], theirs["first_audio_ms"]),
        "harken": {
            "listen_real_time_factor": spread(own["listen"]), **mine,
            "decode_tokens_per_s": spread(own["decode"]), "peak_rss_gb": peak_gb,
        },
        "alternative": "cascade: Whisper's own decoder, and the same core reading the transcript",
        "cascade": {"listen_real_time_factor": spread(other["transcribe"]), **theirs},
    }  # fmt: skip


def _moments(system: Callable[[], Iterator[Event]]) -> dict[str, float]:
    """Milliseconds from the start until the first text, the first sound and the end of a reply."""
    from harken.dialogue.events import AudioChunk, TextDelta

    begun, found = perf_counter(), dict[str, float]()
    for event in system():
        name = {TextDelta: "first_text", AudioChunk: "first_audio", Done: "total"}.get(type(event))
        if name:
            found.setdefault(name, 1000 * (perf_counter() - begun))
    return found


def _add(times: Moments, one: dict[str, float]) -> None:
    for name, ms in one.items():
        times[name].append(ms)


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
