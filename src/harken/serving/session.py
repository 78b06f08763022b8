"""One session of the Realtime protocol: what a client's events do, and what the server says unasked.

It knows nothing of sockets: it is given messages and a place to send events to. Whatever a client sends is
answered by its event or by `error`, and the session goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from harken.audio.io import Samples
from harken.dialogue.reply import heard_event, is_understood
from harken.serving import beta, wire
from harken.serving.host import Host
from harken.serving.items import Item, Items, created
from harken.serving.listening import SHORTEST_S, Listening, milliseconds
from harken.serving.replying import Replying
from harken.serving.settings import LONGEST_TEXT
from harken.serving.sound import Ears
from harken.serving.turns import Started
from harken.serving.wire import Event, Refused, made, new_id

if TYPE_CHECKING:
    from harken.model.spoken_lm import HeardTurn

STILL_HERE = "I am still here. Take your time."
"""What is said when the user has said nothing for the idle timeout."""
LONGEST_METADATA = 8_000
TROUBLE_FROM, TROUBLE = 20, 0.25
"""Of so many messages and more, the share that are no events of the protocol."""
_log = logging.getLogger(__name__)


class Session:
    """From `begin` to `close`; `receive` is called with one message at a time."""

    def __init__(self, host: Host, send: Callable[[Event], None]) -> None:
        self.id = new_id("sess")
        self._host, self._tell = host, send
        self._settings = host.settings()
        self._items = Items()
        self._listening = Listening(self._settings, host.open_vad, host.limits.buffered_s)
        self._replying = Replying(host, self._items, self._send, self._await_user, lambda: self.troublesome)
        self._speech: tuple[str, int] | None = None  # the item's id, and where the turn begins
        self._hearing: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._reminded = False  # since the user last did something
        self._received = self._broken = 0  # messages

    @property
    def troublesome(self) -> bool:
        """Whether much of what the client sends is no event: its replies are made after the others'."""
        return self._received >= TROUBLE_FROM and self._broken > TROUBLE * self._received

    @property
    def replying(self) -> bool:
        """Whether there is a response that is not over."""
        return self._replying.active

    def begin(self) -> None:
        self._send(made("session.created", session=self._as_event()))

    async def receive(self, message: str | bytes) -> bool:
        """A message; whether it is an event of the protocol. Never raises for what is in it."""
        event: Event = {}
        is_one = False
        try:
            if isinstance(message, bytes):
                raise Refused("a message is text: JSON, with sound in base64", "invalid_message")
            event = wire.parsed(message)
            read = wire.read(beta.from_client(event) if self._host.beta else event)
            is_one = True
            await _DO[read.type](self, read)
        except Refused as refused:
            self.refuse(refused, event.get("event_id"))
        except Exception:
            _log.exception("an event failed")
            failed = Refused("the server failed at this", "server_failed", kind="server_error")
            self.refuse(failed, event.get("event_id"))
        self._received, self._broken = self._received + 1, self._broken + (not is_one)
        return is_one

    def refuse(self, refused: Refused, event_id: object = None) -> None:
        """Tell the client what cannot be done. Args: event_id: what it called its event."""
        self._host.metrics.errors.labels(refused.code).inc()
        self._send(wire.fault(refused, event_id))

    def close(self) -> None:
        """The client has gone."""
        self._stay_awake()
        self._replying.close()
        if self._hearing is not None:
            self._hearing.cancel()

    def _send(self, event: Event) -> None:
        wire.checked(event)
        for told in beta.to_client(event) if self._host.beta else (event,):
            self._tell(told)

    def _as_event(self) -> Event:
        turn_s = self._host.limits.buffered_s
        return {"id": self.id, **self._settings.as_event(), "harken_turn_seconds": turn_s}

    async def _update(self, event: Any) -> None:
        self._settings = self._settings.updated(event.session)
        self._listening.set(self._settings)
        self._send(made("session.updated", session=self._as_event()))
        self._await_user()

    async def _append(self, event: Any) -> None:
        async for turn in self._listening.append(event.audio):
            if isinstance(turn, Started):
                self._speech_started(turn.at)
            else:
                await self._speech_stopped(turn.at)

    def _speech_started(self, at: int) -> None:
        self._user_acts()
        begin = self._listening.padded(at)
        self._speech = new_id("item"), begin
        self._send(
            made(
                "input_audio_buffer.speech_started",
                audio_start_ms=milliseconds(begin),
                item_id=self._speech[0],
            )
        )
        self._interrupt()

    def _interrupt(self) -> None:
        """The user speaks."""
        if self._settings.turns is not None and self._settings.turns.interrupt_response:
            self._replying.interrupt("turn_detected")
            self._cut_playing()

    async def _speech_stopped(self, at: int) -> None:
        if self._speech is None:  # it was committed by hand
            return
        (item_id, begin), self._speech = self._speech, None
        stopped_s = monotonic()
        self._send(made("input_audio_buffer.speech_stopped", audio_end_ms=milliseconds(at), item_id=item_id))
        turns = self._settings.turns
        answers = turns is not None and turns.create_response
        if answers:
            self._interrupt()  # what a guard has had said since the turn began
        await self._commit_samples(self._listening.take(begin, at), item_id)
        if answers and not self._replying.active:
            self._replying.answer(self._settings, stopped_s)

    async def _commit(self, event: Any) -> None:
        samples = self._listening.commit()
        item_id = self._speech[0] if self._speech else new_id("item")
        self._speech = None
        self._user_acts()
        await self._commit_samples(samples, item_id)

    async def _commit_samples(self, samples: Samples, item_id: str) -> None:
        item = Item("user", spoken=True, id=item_id)
        before = self._items.add(item)
        self._send(made("input_audio_buffer.committed", item_id=item.id, previous_item_id=before))
        self._added(item, before)
        await self._hear(item, samples)

    async def _clear(self, event: Any) -> None:
        self._listening.clear()
        self._speech = None
        self._send(made("input_audio_buffer.cleared"))

    async def _clear_output(self, event: Any) -> None:
        response = self._replying.response
        if response is None:
            raise Refused("there is no sound to stop", "nothing_to_clear")
        self._replying.interrupt("client_cancelled")
        self._cut_playing()
        self._send(made("output_audio_buffer.cleared", response_id=response.id))

    async def _create(self, event: Any) -> None:
        item, audio = created(event.item)
        samples = await self._decoded(audio) if audio else None
        before = self._items.add(item, event.previous_item_id)
        self._user_acts()
        self._added(item, before)
        if samples is not None:
            await self._hear(item, samples)

    async def _decoded(self, audio: str) -> Samples:
        """The sound of an item that a client has written: 16 kHz, (N,)."""
        form, most_s = self._settings.hears, self._host.limits.buffered_s
        if len(audio) * 3 // 4 > form.bytes_hz * most_s:
            raise Refused(f"a recording is {most_s:g} s long at most", param="item.content")
        samples = await asyncio.to_thread(Ears(form).whole, audio)
        if len(samples) < SHORTEST_S * 16_000:
            raise Refused(f"a recording is {SHORTEST_S} s long at least", param="item.content")
        return samples

    async def _retrieve(self, event: Any) -> None:
        item = self._items.find(event.item_id)
        self._send(made("conversation.item.retrieved", item=item.as_event()))

    async def _delete(self, event: Any) -> None:
        item = self._items.find(event.item_id)
        self._stop_making(item)
        self._items.remove(item)
        self._send(made("conversation.item.deleted", item_id=item.id))

    async def _truncate(self, event: Any) -> None:
        item = self._items.find(event.item_id)
        if item.role != "assistant" or not item.spoken or event.content_index != 0:
            raise Refused("only the sound of the server's, content 0, can be cut short", param="item_id")
        if not 0 <= event.audio_end_ms <= item.duration_ms:
            raise Refused(
                f"the item is {item.duration_ms:.0f} ms long, it cannot end at {event.audio_end_ms}",
                param="audio_end_ms",
            )
        self._stop_making(item)
        self._cut(item, event.audio_end_ms)

    async def _respond(self, event: Any) -> None:
        asked_s, given, settings = monotonic(), event.response, self._settings
        instruction, metadata = None, None
        if given is not None:
            if (
                given.tools
                or given.prompt
                or given.input is not None
                or given.conversation not in (None, "auto")
            ):
                raise Refused("a response is of the conversation here, and calls no tools", "unsupported")
            if given.instructions is not None:
                instruction = wire.text_in(given.instructions, "response.instructions", LONGEST_TEXT)
            metadata = given.metadata
            if metadata and len(json.dumps(metadata)) > LONGEST_METADATA:
                raise Refused("the metadata are too long", param="response.metadata")
            settings = settings.with_output(given, "response")
        self._user_acts()
        self._replying.answer(settings, asked_s, instruction, metadata)

    async def _cancel(self, event: Any) -> None:
        response = self._replying.response
        if response is None or response.over or event.response_id not in (None, response.id):
            raise Refused("there is no such response that is not over", "response_cancel_not_active")
        self._replying.interrupt("client_cancelled")

    def _added(self, item: Item, before: str | None) -> None:
        for kind in ("added", "done"):
            self._send(made(f"conversation.item.{kind}", item=item.as_event(), previous_item_id=before))

    async def _hear(self, item: Item, samples: Samples) -> None:
        """Have the model hear a turn; one of a session at a time, the next waits."""
        if self._hearing is not None and not self._hearing.done():
            await asyncio.wait([self._hearing])
        item.hearing = self._hearing = asyncio.create_task(self._heard(item, samples))

    async def _heard(self, item: Item, samples: Samples) -> None:
        """What the model heard, into its item and to the client."""
        place = {"item_id": item.id, "content_index": 0}
        model = self._host.harken.model
        try:
            heard = await self._host.worker.call(lambda: model.hear(samples))
        except Exception:
            _log.exception("a turn could not be heard")
            fault = {"type": "server_error", "code": "not_heard", "message": "the turn could not be heard"}
            self._send(made("conversation.item.input_audio_transcription.failed", **place, error=fault))
            return
        item.hear(heard)
        if self._settings.transcription is not None:
            kind = "conversation.item.input_audio_transcription.completed"
            usage = {"type": "duration", "seconds": heard.seconds}
            self._send(made(kind, **place, transcript=item.words, usage=usage))
        if self._settings.options.heard:
            self._send(_told(item.id, heard))

    def _stop_making(self, item: Item) -> None:
        """The item is not to grow any more."""
        response = self._replying.response
        if response is not None and response.item is item:
            self._replying.interrupt("client_cancelled")

    def _cut_playing(self) -> None:
        """Cut the last reply to what can have been heard of it by now, if it is still being played."""
        response = self._replying.response
        if response is None or response.item not in self._items or not response.item.spoken:
            return
        played_ms = response.playback.played_ms(monotonic())
        already = response.item.duration_ms if response.item.cut_ms is None else response.item.cut_ms
        if played_ms < already:
            self._cut(response.item, int(played_ms))

    def _cut(self, item: Item, end_ms: int) -> None:
        item.cut_ms = end_ms
        item.status = "incomplete"
        self._send(made("conversation.item.truncated", item_id=item.id, content_index=0, audio_end_ms=end_ms))

    def _await_user(self) -> None:
        """Count the idle timeout from when the last reply has been played."""
        self._stay_awake()
        turns, response = self._settings.turns, self._replying.response
        if turns is None or turns.idle_timeout_ms is None or self._reminded or self._speech is not None:
            return
        if response is None or not response.over:
            return
        now_s = monotonic()
        quiet_s = max(0.0, (response.playback.ends_s or now_s) - now_s)
        quiet_from = self._listening.position + int(16_000 * quiet_s)
        self._idle = asyncio.get_running_loop().call_later(
            quiet_s + turns.idle_timeout_ms / 1000, self._idle_for_long, quiet_from
        )

    def _user_acts(self) -> None:
        self._reminded = False
        self._stay_awake()

    def _stay_awake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _idle_for_long(self, quiet_from: int) -> None:
        """The user has said nothing: that is an item of its own, and answered once."""
        self._idle, self._reminded = None, True
        if self._replying.active or self._host.leaving or not self._items.has_room(2):
            return
        item, end = Item("user", spoken=True, kept=False), self._listening.position
        times = {"audio_start_ms": milliseconds(min(quiet_from, end)), "audio_end_ms": milliseconds(end)}
        self._send(made("input_audio_buffer.timeout_triggered", **times, item_id=item.id))
        before = self._items.add(item)
        self._send(made("input_audio_buffer.committed", item_id=item.id, previous_item_id=before))
        self._added(item, before)
        self._replying.say(self._settings, STILL_HERE)


def _told(item_id: str, heard: HeardTurn) -> Event:
    """`harken.heard`."""
    told = heard_event(heard, is_understood(heard))
    return made(
        "harken.heard",
        item_id=item_id,
        emotion=told.emotion,
        scores=told.scores,
        speaker={"gender": told.gender},
        transcript=told.transcript,
        confidence=told.confidence,
        seconds=told.seconds,
    )


_DO = {
    "session.update": Session._update,
    "input_audio_buffer.append": Session._append,
    "input_audio_buffer.commit": Session._commit,
    "input_audio_buffer.clear": Session._clear,
    "output_audio_buffer.clear": Session._clear_output,
    "conversation.item.create": Session._create,
    "conversation.item.retrieve": Session._retrieve,
    "conversation.item.delete": Session._delete,
    "conversation.item.truncate": Session._truncate,
    "response.create": Session._respond,
    "response.cancel": Session._cancel,
}
