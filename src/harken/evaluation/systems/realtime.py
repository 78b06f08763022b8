"""A system behind a server of OpenAI's Realtime protocol, over WebSocket: a hosted one, or one of your own.

Every question has a connection of its own: the earlier turns are put into its conversation, the last one is
said, and the answer is read as it streams in. What is sent and read is in `realtime_events`.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from harken.audio import pcm
from harken.audio.io import Samples, read
from harken.errors import HarkenError, InputError, MissingExtra
from harken.evaluation.systems import realtime_events as events
from harken.evaluation.systems.base import Answer, Question, Unanswered
from harken.llm.server import key_in, one_line

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

TIMEOUT_S = 300.0
OPEN_S, CLOSE_S = 10.0, 2.0
"""How long opening and closing a connection may take."""
MESSAGE_BYTES = 16 << 20
"""The longest message that is read."""
PASSING = (408, 425, 429)
"""Refusals of a connection that are over soon, as are those of a server that fails (5xx)."""


class RealtimeSystem:
    """A model of the server at `url`; it speaks in `voice` where sound is wanted."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key_env: str | None = None,
        voice: str | None = None,
        concurrency: int = 4,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Describe the server; nothing is asked yet.

        Args:
            url: mostly `wss://HOST/v1/realtime`.
            model: its name at that server; None leaves the choice to it.
            api_key_env: the environment variable that holds the key; None for a server without keys.
            voice: one of the server's; None leaves the choice to it.
            concurrency: questions out at once.
            timeout_s: for a question, from its connection to its whole answer.

        Raises: InputError for an empty key, MissingExtra without the `websockets` package.
        """
        try:
            import websockets.sync.client  # noqa: F401
        except ImportError as error:
            raise MissingExtra("a Realtime server", "eval") from error
        self.name = model or url
        self.concurrency = concurrency
        self._key = key_in(api_key_env)
        self._url = url
        chosen = urlencode({"model": model}) if model else ""
        self._address = f"{url}{'&' if '?' in url else '?'}{chosen}" if chosen else url
        self.voice = voice
        self._timeout_s = timeout_s

    def answer(self, question: Question) -> Answer:
        """As of every `System`."""
        from websockets.exceptions import ConnectionClosed

        try:
            recordings = [read(path, sample_rate=pcm.SAMPLE_RATE_HZ).samples for path in question.recordings]
        except InputError as error:
            raise Unanswered(error.message, error.hint) from error
        try:
            with self._connect() as connection:
                talk = _Talk(connection, time.monotonic() + self._timeout_s)
                beta = self._begin(talk, question.spoken)
                return self._hold(talk, question, recordings, beta)
        except TimeoutError as error:
            raise Unanswered(f"{self.name}: no answer within {self._timeout_s:g} s") from error
        except ConnectionClosed as error:
            raise Unanswered(f"{self.name}: the server closed the connection: {self._said(error)}") from error
        except ValueError as error:
            raise Unanswered(f"{self.name}: {self._said(error)}") from error

    def _connect(self) -> ClientConnection:
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import connect

        try:
            return connect(
                self._address,
                additional_headers={"Authorization": f"Bearer {self._key}"} if self._key else None,
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                ping_timeout=self._timeout_s,  # a server may answer no ping while it computes
                max_size=MESSAGE_BYTES,
                max_queue=None,  # a server that waits for its events to be read would not read ours
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if status in PASSING or status >= 500:
                raise Unanswered(f"{self.name}: {self._said(error)}") from error
            raise self._refusal(self._said(error)) from error
        except (OSError, WebSocketException) as error:
            raise HarkenError(
                f"no Realtime server answers at {self._url}: {self._said(error)}",
                "is it running? the run goes on where it stopped",
            ) from error

    def _begin(self, talk: _Talk, spoken: bool) -> bool:
        """Settle how the session goes; gives whether it has the form of the beta.

        Raises: HarkenError where the server refuses: it would for every question.
        """
        try:
            created = talk.wait("session.created")
            assert isinstance(created, events.Session)
            talk.send(events.settings(spoken, self.voice, created.is_beta))
            talk.wait("session.updated")
        except _Refused as error:
            raise self._refusal(self._said(error)) from error
        return created.is_beta

    def _hold(self, talk: _Talk, question: Question, recordings: list[Samples], beta: bool) -> Answer:
        """The conversation up to its answer."""
        for samples, (_, reply) in zip(recordings[:-1], question.turns[:-1], strict=True):
            talk.send(events.said(samples))
            if reply is not None:
                talk.send(events.replied(reply, beta))
        for second in events.appended(recordings[-1]):
            talk.send(second)
        committed_s = time.monotonic()
        talk.send(events.COMMIT)
        if question.instruction is not None:
            talk.send(events.written(question.instruction))
        talk.send(events.ANSWER)
        return talk.answer(committed_s)

    def _refusal(self, why: str) -> HarkenError:
        return HarkenError(
            f"{self._url} refuses the session: {why}",
            "check --model and --voice, and name the key's variable in --api-key-env",
        )

    def _said(self, error: Exception) -> str:
        return one_line(error, self._key)


class _Refused(ValueError):
    """An error event of the server."""


class _Talk:
    """One connection, up to a deadline. Its methods raise TimeoutError, ConnectionClosed and ValueError."""

    def __init__(self, connection: ClientConnection, deadline_s: float) -> None:
        self._connection, self._deadline_s = connection, deadline_s

    def send(self, event: events.Sent) -> None:
        self._connection.send(json.dumps(event))

    def wait(self, kind: str) -> events.Event:
        """The next event of a kind. Raises _Refused for an error before it."""
        while (event := self._receive()).type != kind:
            pass
        return event

    def answer(self, committed_s: float) -> Answer:
        """All of the response; the time to its sound counts from `committed_s` of the monotonic clock."""
        pieces: dict[str, list[str]] = defaultdict(list)
        first_audio_s: float | None = None
        while not isinstance(event := self._receive(), events.Done):
            if isinstance(event, events.Delta):
                pieces[event.type].append(event.delta)
                if event.type in events.SOUNDS and event.delta and first_audio_s is None:
                    first_audio_s = time.monotonic() - committed_s
        if fault := event.response.fault:
            raise ValueError(f"its response is {fault}")
        text = "".join(_first(pieces, events.TEXTS))
        if not text.strip():
            raise ValueError("the server's answer holds no text")
        samples = pcm.decoded(_first(pieces, events.SOUNDS))
        if not samples.size:
            return Answer(text)
        return Answer(text, samples, pcm.SAMPLE_RATE_HZ, first_audio_s)

    def _receive(self) -> events.Event:
        message = self._connection.recv(timeout=max(0.0, self._deadline_s - time.monotonic()))
        event = events.read_event(message)
        if isinstance(event, events.Failed):
            raise _Refused(str(event.error))
        return event


def _first(pieces: dict[str, list[str]], kinds: tuple[str, ...]) -> list[str]:
    """The pieces of the first kind that has any: a server may say the same under two names."""
    return next((pieces[kind] for kind in kinds if any(pieces.get(kind, ()))), [])
