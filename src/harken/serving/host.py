"""What all sessions share: the model, the thread that runs it, voices, limits, and who is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from harken.api import Harken
from harken.dialogue.guard import Guard
from harken.dialogue.together import Together
from harken.serving.head_start import HeadStart
from harken.serving.limits import Limits
from harken.serving.memory import give_back
from harken.serving.metrics import Metrics
from harken.serving.settings import Settings
from harken.serving.turns import Probability
from harken.serving.wire import Refused
from harken.serving.worker import Worker

if TYPE_CHECKING:
    from harken.model.own_voice import OwnVoice
    from harken.voices.base import Voice

DEFAULT_VOICE = "recipe"


class Host:
    """One server's."""

    def __init__(
        self,
        harken: Harken,
        open_vad: Callable[[], Probability],
        limits: Limits | None = None,
        *,
        voice: str | Voice = DEFAULT_VOICE,
        guard: Guard | None = None,
        beta: bool = False,
        worker: Worker | None = None,
    ) -> None:
        """Args:
        open_vad: gives a judge of what is speech for each new stream.
        voice: who speaks where a client chooses nobody, as in `harken.load`.
        guard: sees every turn before its reply is spoken, see `harken.dialogue.guard`.
        beta: whether clients speak the protocol's beta.
        worker: the thread that loaded the model and calls this; None takes a new one.

        Raises: what `Harken.voice` raises.
        """
        self.harken, self.open_vad, self.guard, self.beta = harken, open_vad, guard, beta
        self.limits = limits or Limits()
        self.voices = _voices(harken, voice)
        self.together = Together(harken.model)
        self.worker = worker or Worker()
        self.metrics, self.head_start = Metrics(), HeadStart(self.limits.head_start_s)
        self.metrics.queue.set_function(lambda: self.worker.jobs)
        self.left = asyncio.Event()
        """Set when the server is to end: nothing new is begun."""
        self._leaving = False
        self._sessions = self._most_at_once = 0

    @property
    def leaving(self) -> bool:
        return self._leaving

    @property
    def empty(self) -> bool:
        """Whether nobody is there."""
        return self._sessions == 0

    def leave(self) -> None:
        """Begin nothing new; may be called from any thread."""
        self._leaving = True
        self.worker.tell(self.left.set)

    @property
    def free(self) -> int:
        """Sessions that may still begin."""
        return 0 if self._leaving else self.limits.sessions - self._sessions

    @contextmanager
    def session(self) -> Iterator[None]:
        """One more. Raises Refused where there is no room."""
        if self.free < 1:
            why = "leaving" if self._leaving else "busy"
            self.metrics.refused.labels(why).inc()
            full = f"the server is busy: it speaks to {self.limits.sessions} at once; try again later"
            message = "the server is about to end" if self._leaving else full
            raise Refused(message, f"server_{why}", kind="server_error")
        self._sessions += 1
        self._most_at_once = max(self._most_at_once, self._sessions)
        self.metrics.sessions.set(self._sessions)
        try:
            yield
        finally:
            self._sessions -= 1
            self.metrics.sessions.set(self._sessions)
            if self.empty:
                self._tidy()

    def _tidy(self) -> None:
        """Everybody has left. What one took is kept for the next, who would wait for it otherwise."""
        if self._most_at_once > 1:
            give_back()
        self._most_at_once = 0

    def settings(self) -> Settings:
        """Those of a session where a client chooses nothing."""
        recipe, names = self.harken.recipe, tuple(self.voices)
        voice = names[0] if names else None
        reflects = recipe.reflect is not None and self.harken.model.marks is not None
        return Settings(
            f"harken-{recipe.name}", recipe.system, names, voice, spoken=bool(names), reflects=reflects
        )

    async def warm_up(self) -> None:
        """Hear and answer once, so that the first user need not wait for what is done only once."""
        noise = np.random.default_rng(0).normal(0, 0.01, 16_000).astype(np.float32)
        await self.worker.call(lambda: self.harken.model.hear(noise))
        said = self.harken.reply("Hello.", think="off", voice=next(iter(self.voices.values()), "none"))
        await self.worker.call(lambda: sum(1 for _ in said))


def _voices(harken: Harken, chosen: str | Voice) -> dict[str, Voice | OwnVoice]:
    """The voices that clients may ask for, by name, the chosen one first."""
    from harken.model.own_voice import OwnVoice

    voice = harken.voice(chosen)
    if voice is None:
        return {}
    named = {chosen if isinstance(chosen, str) else chosen.name: voice}
    others = voice.decoder.voices if isinstance(voice, OwnVoice) else ()
    return named | {name: other for name in others if (other := harken.voice(name)) is not None}
