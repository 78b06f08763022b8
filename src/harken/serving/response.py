"""One response: a reply of the model's on its way out, as the protocol's events, in the protocol's order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Literal

from harken.dialogue.events import AudioChunk, TextDelta
from harken.dialogue.playback import Playback
from harken.serving.head_start import HeadStart, Start
from harken.serving.items import Item
from harken.serving.settings import Settings
from harken.serving.sound import Mouth
from harken.serving.wire import Event, made, new_id

Status = Literal["completed", "cancelled", "failed"]
Reason = Literal["turn_detected", "client_cancelled"]


@dataclass
class Times:
    """When things happened, in seconds of the monotonic clock."""

    asked_s: float
    """When the user's turn was over."""
    first_audio_s: float | None = None
    last_audio_s: float | None = None


class Response:
    """From `begin` to `end`. `add` puts its item into the conversation, when there is something of it."""

    def __init__(
        self,
        settings: Settings,
        send: Callable[[Event], None],
        add: Callable[[Item], str | None],
        asked_s: float,
        head_start: HeadStart,
        metadata: object = None,
        after: Item | None = None,
    ) -> None:
        """Args:
        asked_s: when the turn that it answers was over.
        head_start: how much sound it begins with.
        after: what was said in the same reply before.
        """
        self.id = new_id("resp")
        self.item = Item("assistant", spoken=settings.spoken, status="in_progress")
        self.status: Status | None = None
        self.times = Times(asked_s)
        self.playback = Playback()
        self._settings, self._send, self._add, self._metadata = settings, send, add, metadata
        self._mouth = Mouth(settings.says)
        self._opened = False
        self._after = after
        self._start = Start(head_start, self._say)
        self.pace: float | None = None
        """Seconds that making a second of its sound took, when it is over."""

    @property
    def has_output(self) -> bool:
        return self._opened

    @property
    def over(self) -> bool:
        return self.status is not None

    def begin(self) -> None:
        self._send(made("response.created", response=self._as_event()))

    def take(self, event: TextDelta | AudioChunk) -> None:
        """The next piece of text or sound."""
        if not self._opened:
            self._open()
        if isinstance(event, TextDelta):
            text = event.text if self.item.text else event.text.lstrip()
            self.item.text += text
            self._part("output_audio_transcript.delta" if self.item.spoken else "output_text.delta",
                       delta=text)  # fmt: skip
            return
        self._start.made(self._in_item(event), monotonic())

    def _say(self, chunk: AudioChunk) -> None:
        now_s = monotonic()
        self.times.first_audio_s = self.times.first_audio_s or now_s
        self.times.last_audio_s = now_s
        self.item.add_chunk(chunk)
        self.playback.add((chunk.end_ms - chunk.start_ms) / 1000, now_s)
        said = self._mouth.say(chunk.samples, chunk.sample_rate)
        if said:
            self._part("output_audio.delta", delta=said)

    def _in_item(self, chunk: AudioChunk) -> AudioChunk:
        """A chunk of the whole reply, as one of this item."""
        if self._after is None:
            return chunk
        before_ms, before = self._after.duration_ms, len(self._after.text) + 1  # a space
        start_ms, end_ms = chunk.start_ms - before_ms, chunk.end_ms - before_ms
        return replace(chunk, start_ms=start_ms, end_ms=end_ms, text_end=max(0, chunk.text_end - before))

    def end(self, status: Status, reason: Reason | None = None, error: Event | None = None) -> None:
        """It is over. Args: reason: of a cancelled one. error: of a failed one."""
        assert self.status is None, "a response ends once"
        if status != "cancelled":
            self.pace = self._start.over()
        self.status = status
        self.item.status = "completed" if status == "completed" else "incomplete"
        if status != "completed" and self.item.spoken:
            self.item.cut_ms = self.item.duration_ms  # what was not sent cannot be heard
        if self._opened:
            self._close()
        details = {"type": status, "reason": reason, "error": error} if status != "completed" else None
        self._send(made("response.done", response=self._as_event(details)))

    def _open(self) -> None:
        self._opened = True
        before = self._add(self.item)
        self._at("output_item.added", item=self.item.as_event())
        self._send(made("conversation.item.added", item=self.item.as_event(), previous_item_id=before))
        part = {"type": "audio", "transcript": ""} if self.item.spoken else {"type": "text", "text": ""}
        self._part("content_part.added", part=part)
        self._before = before

    def _close(self) -> None:
        text = self.item.text
        if self.item.spoken:
            rest = self._mouth.end() if self.status == "completed" else ""
            if rest:
                self._part("output_audio.delta", delta=rest)
            self._part("output_audio.done")
            self._part("output_audio_transcript.done", transcript=text)
            self._part("content_part.done", part={"type": "audio", "transcript": text})
        else:
            self._part("output_text.done", text=text)
            self._part("content_part.done", part={"type": "text", "text": text})
        item = self.item.as_event()
        self._send(made("conversation.item.done", item=item, previous_item_id=self._before))
        self._at("output_item.done", item=item)

    def _part(self, kind: str, **fields: object) -> None:
        self._at(kind, item_id=self.item.id, content_index=0, **fields)

    def _at(self, kind: str, **fields: object) -> None:
        self._send(made(f"response.{kind}", response_id=self.id, output_index=0, **fields))

    def _as_event(self, details: Event | None = None) -> Event:
        settings = self._settings
        return {
            "id": self.id,
            "object": "realtime.response",
            "status": self.status or "in_progress",
            "status_details": details,
            "output": [self.item.as_event()] if self._opened and self.over else [],
            "output_modalities": ["audio" if settings.spoken else "text"],
            "max_output_tokens": settings.most_tokens or "inf",
            "audio": {"output": {"format": settings.says.as_event(), "voice": settings.voice}},
            "metadata": self._metadata,
            "usage": None,
        }
