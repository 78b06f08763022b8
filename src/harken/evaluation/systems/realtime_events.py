"""The events of OpenAI's Realtime protocol that a client needs: those it sends, and what it reads of others.

Servers speak one of two forms: the released one (GA), or the one of the beta before it, which names events,
settings and the content of replies otherwise. What a session says of itself at its start tells which.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from harken.audio import pcm
from harken.audio.io import Samples

TEXTS = (
    "response.output_text.delta",
    "response.text.delta",
    "response.output_audio_transcript.delta",
    "response.audio_transcript.delta",
)
"""What an answer's words come in; of several the first is taken."""
SOUNDS = ("response.output_audio.delta", "response.audio.delta")
"""What its sound comes in."""

Sent = dict[str, Any]


class Event(BaseModel):
    """Any event of a server."""

    type: str


class Session(Event):
    """A session begins."""

    session: dict[str, Any]

    @property
    def is_beta(self) -> bool:
        return "modalities" in self.session


class Delta(Event):
    """The next piece of an answer: text, or sound in base64."""

    delta: str


class Fault(BaseModel):
    """What went wrong."""

    message: str | None = None
    code: str | None = None

    def __str__(self) -> str:
        return self.message or self.code or "it does not say why"


class Failed(Event):
    """Something that was sent was refused, or the server failed."""

    error: Fault


class Details(BaseModel):
    """Why a response ended as it did."""

    reason: str | None = None
    error: Fault | None = None


class Response(BaseModel):
    """How a response ended: completed, incomplete, cancelled or failed."""

    status: str = "completed"
    status_details: Details | None = None

    @property
    def fault(self) -> str | None:
        """Why it is no answer; None where it is one."""
        if self.status == "completed":
            return None
        details = self.status_details or Details()
        why = details.error or details.reason
        return f"{self.status}: {why}" if why else self.status


class Done(Event):
    """A response is over."""

    response: Response


_EVENTS: dict[str, type[Event]] = {
    "session.created": Session,
    "error": Failed,
    "response.done": Done,
    **dict.fromkeys((*TEXTS, *SOUNDS), Delta),
}


def read_event(message: str | bytes) -> Event:
    """The event in a message; an `Event` where nothing more of it matters. Raises ValueError."""
    try:
        event = Event.model_validate_json(message)
        form = _EVENTS.get(event.type)
        return form.model_validate_json(message) if form else event
    except ValidationError as error:
        raise ValueError("an event of the server cannot be read") from error


def settings(spoken: bool, voice: str | None, beta: bool) -> Sent:
    """No turn detection, 24 kHz PCM both ways, and sound where it is wanted.

    Args: voice: who speaks; None leaves that to the server.
    """
    chosen = {"voice": voice} if voice and spoken else {}
    if beta:
        formats = dict.fromkeys(("input_audio_format", "output_audio_format"), "pcm16")
        modalities = ["text", "audio"] if spoken else ["text"]
        session: Sent = {"modalities": modalities, **formats, "turn_detection": None, **chosen}
        return {"type": "session.update", "session": session}
    sound = {"type": "audio/pcm", "rate": pcm.SAMPLE_RATE_HZ}
    session = {
        "type": "realtime",
        "output_modalities": ["audio" if spoken else "text"],  # one of both; audio brings its transcript
        "audio": {
            "input": {"format": sound, "turn_detection": None},
            "output": {"format": sound, **chosen},
        },
    }
    return {"type": "session.update", "session": session}


def said(samples: Samples) -> Sent:
    """An earlier turn of the user's; samples (N,) at 24 kHz."""
    return _item("user", {"type": "input_audio", "audio": pcm.encoded(samples)})


def written(text: str) -> Sent:
    """What the user adds in writing."""
    return _item("user", {"type": "input_text", "text": text})


def replied(text: str, beta: bool) -> Sent:
    """An earlier reply of the system's."""
    return _item("assistant", {"type": "text" if beta else "output_text", "text": text})


def appended(samples: Samples) -> Iterator[Sent]:
    """The turn that is to be answered, second by second; samples (N,) at 24 kHz."""
    for start in range(0, len(samples), pcm.SAMPLE_RATE_HZ):
        second = samples[start : start + pcm.SAMPLE_RATE_HZ]
        yield {"type": "input_audio_buffer.append", "audio": pcm.encoded(second)}


COMMIT: Sent = {"type": "input_audio_buffer.commit"}
ANSWER: Sent = {"type": "response.create"}


def _item(role: str, content: Sent) -> Sent:
    message = {"type": "message", "role": role, "content": [content]}
    return {"type": "conversation.item.create", "item": message}
