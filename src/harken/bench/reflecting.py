"""What reflecting while speaking costs: the same recordings answered plainly and reflecting, in turns, in one
process. Reflections have the time that playing hides, and no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harken.api import Harken
from harken.bench.latency import RUNS, WARM_UP, recordings_of, times, understood
from harken.bench.moments import Moments, moments
from harken.bench.result import ratio
from harken.dialogue.events import Event, Reflected
from harken.dialogue.reflection import check_reflects
from harken.dialogue.reply import ReplySettings, reply
from harken.errors import InputError
from harken.evaluation.cascade import Samples
from harken.evaluation.progress import steps
from harken.evaluation.report import hardware
from harken.model.own_voice import OwnVoice
from harken.recipes import Recipe
from harken.voices.base import Voice

PLAIN, REFLECTING = "plain", "reflecting"


def bench_reflecting(
    recipe: Recipe,
    checkpoint: Path | None = None,
    runs: int | None = None,
    data: Sequence[Path] = (),
    voice: str = "recipe",
) -> dict[str, Any]:
    """Measure `runs` replies of either kind; see `compare` for what comes out.

    Args: data, voice: as of `harken.bench.latency.bench_latency`.
    Raises: RecipeError where the model cannot reflect, InputError where nobody speaks.
    """
    from harken.checkpoint import load_model
    from harken.evaluation.progress import quiet_libraries

    quiet_libraries()
    recordings, source = recordings_of(data, runs or RUNS)
    harken = Harken(load_model(recipe, checkpoint))
    check_reflects(harken.model)
    speaking = harken.voice(voice)
    if speaking is None:
        raise InputError("without a voice there is nothing to hide a reflection behind", "name one: --voice")
    setting = {
        "bench": "reflect", "recipe": recipe.name, "checkpoint": str(checkpoint or "shipped"),
        "recordings": f"{len(recordings)}: {source}", "hardware": hardware(),
    }  # fmt: skip
    return setting | compare(harken, speaking, recordings)


def compare(harken: Harken, voice: Voice | OwnVoice, recordings: Sequence[Samples]) -> dict[str, Any]:
    """Both kinds in turns, recording by recording, either first as often as second.

    Returns: "plain" and "reflecting", with {p50, p95} of their figures; "audible_ratio", reflecting over
        plain; "reflections": how many, of how many tokens, how many closed by themselves, how many tokens a
        second of sound hid, and what set how long they might be.
    """
    found: dict[str, list[Moments]] = {PLAIN: [], REFLECTING: []}
    thought: list[Reflected] = []

    def answer(kind: str, samples: Samples) -> Moments:
        how = harken.recipe.reflect if kind == REFLECTING else None
        settings = ReplySettings(think="off", least_confidence=0.0, reflect=how)
        conversation = harken.conversation().conversation
        return moments(_noting(reply(conversation, samples, settings, voice), thought))

    for _ in range(WARM_UP):
        answer(REFLECTING, recordings[0])
    thought.clear()
    for number, samples in enumerate(steps(list(recordings), "replies")):
        for kind in (PLAIN, REFLECTING) if number % 2 == 0 else (REFLECTING, PLAIN):
            found[kind].append(answer(kind, samples))
    figures = {kind: times(replies) | understood(replies) for kind, replies in found.items()}
    return {
        "runs": len(recordings),
        "audible_ratio": ratio(figures[REFLECTING]["audible_ms"], figures[PLAIN]["audible_ms"]),
        **figures,
        "reflections": _reflections(thought, sum(each.seconds for each in found[REFLECTING])),
    }


def _noting(events: Iterator[Event], thought: list[Reflected]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, Reflected):
            thought.append(event)
        yield event


def _reflections(thought: Sequence[Reflected], sound_s: float) -> dict[str, Any]:
    there = [each for each in thought if each.tokens]
    tokens = sum(each.tokens for each in there)
    limits = Counter(each.limit for each in thought)
    return {
        "places": len(thought),
        "made": len(there),
        "tokens": tokens,
        "closed by themselves": sum(each.closed for each in there),
        "tokens hidden by a second of sound": round(tokens / sound_s, 2) if sound_s else None,
        **{f"places limited by {limit}": count for limit, count in sorted(limits.items())},
    }
