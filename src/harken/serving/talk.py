"""Talking on the machine itself: turns are found in the microphone's stream as the server finds them, each is
answered on the model's thread, and the loudspeaker says the reply.

A machine that hears its own loudspeaker would interrupt itself. So the microphone is not heeded while a reply
is said, unless the user wears headphones: then talking stops the reply.

Shapes: N samples at 16 kHz.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, wait
from contextlib import closing
from time import perf_counter
from typing import Protocol, cast

import numpy as np

from harken.api import Session
from harken.audio.io import SAMPLE_RATE_HZ, Samples
from harken.dialogue.events import Attribution, AudioChunk, Done, Event, TraceDelta
from harken.dialogue.reply import Think
from harken.errors import HarkenError
from harken.serving.devices import Loudspeaker
from harken.serving.head_start import MOST_S, HeadStart, Start
from harken.serving.turns import WINDOW, Probability, Started, TurnDetector

THRESHOLD, SILENCE_MS, PADDING_MS = 0.5, 500, 300
"""The server's own, where a client chooses nothing."""


class Screen(Protocol):
    """Where a conversation is shown."""

    def listening(self) -> None:
        """The user may talk."""

    def begin(self) -> None:
        """A turn has ended, and is answered."""

    def event(self, event: Event) -> None:
        """What happens during the reply."""

    def end(self, interrupted: bool) -> None:
        """The reply is said, or was stopped."""

    def failed(self, error: HarkenError) -> None:
        """The turn cannot be answered."""


class Turns:
    """A stream, cut into turns."""

    def __init__(self, open_vad: Callable[[], Probability]) -> None:
        self._open_vad = open_vad
        self.clear()

    def clear(self) -> None:
        """Forget what was heard."""
        self._detector = TurnDetector(self._open_vad(), THRESHOLD, SILENCE_MS)
        self._kept = np.zeros(0, np.float32)

    def hear(self, samples: Samples) -> Iterable[Started | Samples]:
        """Where the next samples (N,) begin a turn, and turns (M,) that they end."""
        self._kept = np.concatenate([self._kept, samples])
        for told in self._detector.hear(samples):
            if isinstance(told, Started):
                yield told
                continue
            turn, self._kept = self._kept, self._kept[:0]
            yield turn
        if not self._detector.speaking:
            self._kept = self._kept[-(PADDING_MS * SAMPLE_RATE_HZ // 1000 + WINDOW) :]


class Talk:
    """One conversation."""

    def __init__(
        self,
        session: Session,
        thread: Executor,
        loudspeaker: Loudspeaker,
        open_vad: Callable[[], Probability],
        screen: Screen,
        think: Think = "after",
        interrupting: bool = False,
        reflect: bool = False,
    ) -> None:
        """Args:
        thread: the one on which the model was loaded, and runs (why: `harken.serving.worker`).
        interrupting: talking stops a reply.
        reflect: think about it while it is said.
        """
        self._session, self._thread = session, thread
        self._loudspeaker, self._screen = loudspeaker, screen
        self._think: Think = think
        self._interrupting, self._reflect = interrupting, reflect
        self._turns, self._head_start = Turns(open_vad), HeadStart(MOST_S)
        self._answering: Future[None] | None = None
        self._stop = threading.Event()

    def run(self, chunks: Iterable[Samples]) -> None:
        """Talk until there are no more chunks (N,); a reply that is being made then is left."""
        self._screen.listening()
        try:
            for samples in chunks:
                self._hear(samples)
        finally:
            self._stop.set()
        if self._answering is not None:
            self._finish(interrupted=self._busy())

    def _hear(self, samples: Samples) -> None:
        if self._answering is not None and not self._busy():
            self._finish(interrupted=False)
            self._screen.listening()
        if self._answering is not None and not self._interrupting:
            return
        for told in self._turns.hear(samples):
            if not isinstance(told, Started):
                self._answer(told)
            elif self._answering is not None:
                self._interrupt()

    def _busy(self) -> bool:
        assert self._answering is not None, "a turn is being answered"
        return not self._answering.done() or self._loudspeaker.playing

    def _answer(self, turn: Samples) -> None:
        self._screen.begin()
        self._loudspeaker.begin()
        self._stop.clear()
        self._answering = self._thread.submit(self._reply, turn)

    def _reply(self, turn: Samples) -> None:
        """On the model's thread."""
        reply = self._session.reply((turn, SAMPLE_RATE_HZ), think=self._think, reflect=self._reflect)
        play = self._loudspeaker.play
        start = Start(self._head_start, lambda chunk: play(chunk.samples, chunk.sample_rate))
        with closing(cast(Generator[Event, None, None], reply)) as events:
            for event in events:
                if self._stop.is_set():
                    return
                self._screen.event(event)
                if isinstance(event, AudioChunk):
                    start.made(event, perf_counter())
                elif isinstance(event, TraceDelta | Attribution | Done):
                    self._learn(start.over())
            self._loudspeaker.end()

    def _learn(self, pace: float | None) -> None:
        if not self._reflect:  # which uses up the time that playing hides
            self._head_start.learn(pace)

    def _interrupt(self) -> None:
        assert self._answering is not None, "a turn is being answered"
        self._stop.set()
        wait([self._answering])
        self._session.interrupted_at(self._loudspeaker.hush())
        self._finish(interrupted=True)

    def _finish(self, interrupted: bool) -> None:
        assert self._answering is not None, "a turn was answered"
        fault, self._answering = self._answering.exception(), None
        if not self._interrupting:
            self._turns.clear()
        if isinstance(fault, HarkenError):
            self._screen.failed(fault)
        elif fault is not None:
            raise fault
        else:
            self._screen.end(interrupted)
