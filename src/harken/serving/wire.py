"""The events of OpenAI's Realtime protocol, as the `openai` package's own models have them, and Harken's own
beside them: what a client sends is read by them, and nothing goes out that does not fit them.

What the events do is `session`'s; the beta's names for them are `beta`'s.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from harken.errors import MissingExtra

try:
    from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
except ImportError as error:
    raise MissingExtra("harken serve", "serve") from error

Event = dict[str, Any]
LONGEST_SAID = 300
"""Characters of a message about what a client sent; the rest is its own."""
MOST_PARTS = 1_000
"""Values in an event, at all depths: each may be tried against many models. A session with all its settings
has some 40; sound is one."""
MOST_COMMAS = 20_000
"""In a message, before it is read at all; the longest texts may hold 16,000."""


class Refused(Exception):
    """What a client sent cannot be done; it is told why, and goes on."""

    def __init__(
        self,
        message: str,
        code: str = "invalid_value",
        param: str | None = None,
        kind: Literal["invalid_request_error", "server_error"] = "invalid_request_error",
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.param, self.kind = message, code, param, kind


class _Own(BaseModel):
    """An event that only Harken has; clients that do not know it skip it."""

    model_config = ConfigDict(extra="forbid")

    event_id: str
    item_id: str


class Speaker(BaseModel):
    """Who was heard."""

    gender: str | None


class Heard(_Own):
    """What was heard in a turn of the user's."""

    type: Literal["harken.heard"]
    emotion: str
    scores: dict[str, float]
    speaker: Speaker
    transcript: str | None
    confidence: float
    seconds: float


class Words(BaseModel):
    """Where the words stand in the transcript: characters."""

    start: int
    end: int


class Attribution(_Own):
    """How the user feels and why, as the model states it."""

    type: Literal["harken.attribution"]
    response_id: str
    emotion: str | None
    cause: str | None
    words: Words | None
    """What the cause rests on, where it was said in these words."""


class TraceDelta(_Own):
    """The next piece of what the model thinks."""

    type: Literal["harken.trace.delta"]
    response_id: str
    delta: str


class ReflectionDelta(_Own):
    """The next piece of what the model reflects on while it speaks."""

    type: Literal["harken.reflection.delta"]
    response_id: str
    delta: str


class Notice(_Own):
    """Something that the user should know."""

    type: Literal["harken.notice"]
    text: str


def by_type(*models: Any) -> dict[str, type[BaseModel]]:
    """Models of events by the events' names."""
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in models}


CLIENT_EVENTS = by_type(*get_args(get_args(RealtimeClientEvent)[0]))
OWN_EVENTS = by_type(Heard, Attribution, TraceDelta, ReflectionDelta, Notice)
SERVER_EVENTS = by_type(*get_args(get_args(RealtimeServerEvent)[0])) | OWN_EVENTS


def new_id(kind: str) -> str:
    """An id that nobody else has."""
    return f"{kind}_{secrets.token_hex(10)}"


def parsed(message: str) -> Event:
    """A message as an object. Raises Refused."""
    if message.count(",") > MOST_COMMAS:
        raise Refused(f"a message has {MOST_COMMAS:,} commas at most")
    try:
        event = json.loads(message, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the message is no JSON: {_short(str(error))}", "invalid_json") from None
    if not isinstance(event, dict):
        raise Refused("an event is an object with a type", "missing_required_parameter", "type")
    return event


def read(event: Event) -> Any:
    """A client's event as its model. Raises Refused."""
    kind = event.get("type")
    if not isinstance(kind, str):
        raise Refused("an event has a type", "missing_required_parameter", "type")
    model = CLIENT_EVENTS.get(kind)
    if model is None:
        raise Refused(f"there is no event {_short(kind)!r} of a client's", param="type")
    if _parts(event) > MOST_PARTS:
        raise Refused(f"an event has {MOST_PARTS:,} parts at most")
    try:
        return model.model_validate(event)
    except ValidationError as error:
        raise _refusal(error) from None


def read_part(model: type[BaseModel], part: object, where: str) -> Any:
    """A part of an event that only Harken knows. Raises Refused."""
    try:
        return model.model_validate(part)
    except ValidationError as error:
        raise _refusal(error, where) from None


def made(kind: str, **fields: Any) -> Event:
    """An event of the server's."""
    return {"type": kind, "event_id": new_id("event"), **fields}


def fault(refused: Refused, event_id: object = None) -> Event:
    """The event that tells a client what went wrong. Args: event_id: what the client called its event."""
    error = {
        "type": refused.kind,
        "code": refused.code,
        "message": refused.message,
        "param": refused.param,
        "event_id": event_id if isinstance(event_id, str) else None,
    }
    return made("error", error=error)


def checked(event: Event) -> Event:
    """The event, which fits its model: what does not is a fault of ours."""
    SERVER_EVENTS[event["type"]].model_validate(event)
    return event


def text_in(text: str, param: str, longest: int) -> str:
    """A text that a client sent. Raises Refused for one that is too long, or no text."""
    if len(text) > longest:
        raise Refused(f"{param} is {len(text)} characters long, and may be {longest}", param=param)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        raise Refused(f"{param} is no text", param=param) from None
    return text


def _refusal(error: ValidationError, where: str = "") -> Refused:
    """What is wrong by the model that comes closest, where there are several."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    faults = Counter(map(_model_of, errors))
    closest = min(errors, key=lambda fault: faults[_model_of(fault)])
    places = [str(part) for part in closest["loc"] if not _is_model(part)]
    param = _short(".".join(filter(None, (where, *places))))
    missing = closest["type"] == "missing"
    code = "missing_required_parameter" if missing else "invalid_value"
    return Refused(f"{param}: {_short(closest['msg'])}", code, param)


def _model_of(fault: Mapping[str, Any]) -> object:
    """Which of several models did not fit: it stands in the place of the fault, by its name."""
    return next(filter(_is_model, fault["loc"]), None)


def _is_model(part: object) -> bool:
    return isinstance(part, str) and part[:1].isupper()


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_SAID else text[:LONGEST_SAID] + "…"


def _parts(event: Event) -> int:
    """Values that are in it, at all depths."""
    count = 0
    inside: list[Any] = [event]
    while inside:
        within = inside.pop()
        count += len(within)
        values = within.values() if isinstance(within, dict) else within
        inside += [value for value in values if isinstance(value, dict | list)]
    return count


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")
