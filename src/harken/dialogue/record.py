"""What came of one turn, as the JSON-safe object that `harken reply --json` prints and the server answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harken.dialogue.events import Done, Heard

MOMENTS = ("first_text", "first_audio", "total")


def turn_record(
    name: str, heard: Heard, done: Done, think: str, speech: str | None, timings_ms: Mapping[str, float]
) -> dict[str, Any]:
    """Args:
    name: what the recording is called.
    speech: the reply's sound, or where it is; None for none.
    timings_ms: of `MOMENTS`, those that there were.
    """
    return {
        "input": name,
        "heard": {
            "emotion": heard.emotion,
            "scores": {label: round(p, 4) for label, p in heard.scores.items()},
            "speaker": {"gender": heard.gender},
            "transcript": heard.transcript,
            "seconds": round(heard.seconds, 3),
        },
        "attribution": {"emotion": done.attribution.emotion, "cause": done.attribution.cause},
        "trace": done.trace or None,
        "reply": done.reply,
        "speech": speech,
        "think": think,
        "timings_ms": {moment: round(timings_ms[moment], 1) if moment in timings_ms else None
                       for moment in MOMENTS},
        "real_time_factor": round(timings_ms["total"] / 1000 / heard.seconds, 3),
    }  # fmt: skip
