"""Several speakers at once, and speakers who interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from harken.audio.io import Samples
from harken.bench.moments import Moments
from harken.bench.result import spread
from harken.bench.serving_process import Running
from harken.bench.speaker import Reply, Speaker, at_24_khz, speaker

PAUSE_S = 0.5
"""Between the end of a reply and the next turn."""


@dataclass
class Heard:
    """What speakers were answered."""

    replies: list[Moments] = field(default_factory=list)
    unanswered: int = 0
    """Speakers who gave up waiting."""
    most_mb: float = 0.0

    def figures(self) -> dict[str, Any]:
        firsts = [r.first_chunk_s for r in self.replies if r.first_chunk_s is not None]
        factors = [r.real_time_factor for r in self.replies if r.real_time_factor is not None]
        return {
            "first_audio_s": spread(firsts),
            "real_time_factor": spread(factors),
            "replies": len(self.replies),
            "gave_up_waiting": self.unanswered,
            "underruns": sum(reply.underruns for reply in self.replies),
            "replies_with_underruns": sum(reply.underruns > 0 for reply in self.replies),
            "held_mb": round(self.most_mb, 1),
        }


async def speakers(server: Running, count: int, seconds: float, sounds: list[Samples]) -> dict[str, Any]:
    """So many speak and listen for so long, each from another recording on."""
    heard, until_s = Heard(), perf_counter() + seconds

    def over() -> bool:
        return perf_counter() > until_s

    await asyncio.gather(
        *(talk(server, sounds[n % len(sounds) :] + sounds, heard, over) for n in range(count))
    )
    return heard.figures()


async def talk(server: Running, sounds: list[Samples], heard: Heard, over: Callable[[], bool]) -> None:
    """Turn after turn, one at least, until it is over or there is no answer."""
    number = 0
    try:
        async with speaker(server.url) as one:
            while number == 0 or not over():
                heard.replies.append(await one_turn(one, sounds[number % len(sounds)]))
                heard.most_mb = max(heard.most_mb, server.held_mb())
                number += 1
    except TimeoutError:
        heard.unanswered += 1


async def one_turn(one: Speaker, samples: Samples) -> Moments:
    """Say something, and listen to all of the reply; its times run from the detected end of the turn."""
    sent, _ = at_24_khz(samples)
    stopped, done = one.expect("input_audio_buffer.speech_stopped"), one.expect("response.done")
    collected: list[tuple[dict[str, Any], float]] = []
    one.told = lambda event, at_s: collected.append((event, at_s))
    await one.speak(sent)
    await one.quiet(stopped)
    await one.quiet(done)
    reply = Reply(stopped.result()[1])
    for event, at_s in collected:
        reply.take(event, at_s)
    starts = reply.moments.starts_s
    if starts:
        over_s = stopped.result()[1] + starts[-1] + len(reply.moments.chunks[-1].samples) / 24_000
        silence = np.zeros(round(24_000 * max(0.0, over_s + PAUSE_S - perf_counter())), np.float32)
        await one.speak(silence)
    return reply.moments


async def barge_in(server: Running, count: int, sounds: list[Samples]) -> dict[str, Any]:
    """Interrupt replies in the middle: from the first sample of speech to the end of the response."""
    found, missed = [], 0
    async with speaker(server.url, harken={"think": "off"}) as one:
        for number in range(count):
            sent, onset_s = at_24_khz(sounds[number % len(sounds)])
            stopped = one.expect("input_audio_buffer.speech_stopped")
            sound, done = one.expect("response.output_audio.delta"), one.expect("response.done")
            await one.speak(sent)
            await one.quiet(stopped)
            await one.quiet(sound)
            started = one.expect("input_audio_buffer.speech_started")
            begun_s = await one.speak(sent, until=started)
            if not started.done():
                missed += 1
                continue
            found.append(started.result()[1] - begun_s - onset_s)
            await one.quiet(done)
            await one.quiet(one.expect("response.done"))  # of what interrupted it
    return {"silent_after_s": spread(found), "interruptions": len(found), "not_heard": missed}
