"""The protocol's beta, which older clients speak: its names for events and its form of a session, to and from
those of the released protocol, which is all that the rest of the server knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harken.serving.wire import Event, Refused

NAMES = {
    f"response.output_{part}.{when}": f"response.{part}.{when}"
    for part in ("audio", "audio_transcript", "text")
    for when in ("delta", "done")
} | {"conversation.item.added": "conversation.item.created"}
"""Of the server's events, by the released name."""
_WITHOUT = ("conversation.item.done",)
_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_CONTENTS = {"text": "output_text", "audio": "output_audio"}
"""Of an assistant's message."""


def from_client(event: Event) -> Event:
    """A client's event in the released form. Raises Refused where it cannot be read."""
    found = dict(event)
    if event.get("type") == "session.update" and isinstance(event.get("session"), dict):
        found["session"] = {"type": "realtime", **_released(event["session"])}
    if event.get("type") == "response.create" and isinstance(event.get("response"), dict):
        found["response"] = _released(event["response"])
    if isinstance(item := event.get("item"), dict) and isinstance(item.get("content"), list):
        found["item"] = item | {"content": [_renamed(part, _CONTENTS) for part in item["content"]]}
        if item.get("role") == "user":
            found["item"] = item
    return found


def to_client(event: Event) -> Iterable[Event]:
    """A server's event as the beta has it; none where it has none."""
    if event["type"] in _WITHOUT:
        return
    told = event | {"type": NAMES.get(event["type"], event["type"])}
    if "session" in told:
        told["session"] = _of_beta(told["session"])
    if "response" in told:
        response = told["response"]
        modalities = _modalities(response["output_modalities"])
        output = [_item(item) for item in response["output"]]
        told["response"] = response | {"modalities": modalities, "output": output}
    if "item" in told:
        told["item"] = _item(told["item"])
    yield told


def _released(given: Event) -> Event:
    """The settings of a session or a response."""
    kept = ("instructions", "tools", "metadata", "harken", "input", "conversation", "prompt")
    found: Event = {name: given[name] for name in kept if name in given}
    if "modalities" in given:
        spoken = "audio" in _listed(given["modalities"], "modalities")
        found["output_modalities"] = ["audio" if spoken else "text"]
    most = given.get("max_response_output_tokens", given.get("max_output_tokens"))
    if most is not None:
        found["max_output_tokens"] = most
    heard: Event = {}
    if "input_audio_format" in given:
        heard["format"] = _format(given["input_audio_format"])
    if "input_audio_transcription" in given:
        heard["transcription"] = given["input_audio_transcription"]
    if "turn_detection" in given:
        heard["turn_detection"] = given["turn_detection"]
    said: Event = {}
    if "output_audio_format" in given:
        said["format"] = _format(given["output_audio_format"])
    if "voice" in given:
        said["voice"] = given["voice"]
    audio = ({"input": heard} if heard else {}) | ({"output": said} if said else {})
    return found | ({"audio": audio} if audio else {})


def _of_beta(session: Event) -> Event:
    """A session as the beta shows it; its models know no model but OpenAI's, so that none is named."""
    heard, said = session["audio"]["input"], session["audio"]["output"]
    names = {kind: name for name, kind in _FORMATS.items()}
    kept = ("id", "object", "instructions", "tools", "tool_choice", "harken")
    return {
        **{name: session[name] for name in kept},
        "modalities": _modalities(session["output_modalities"]),
        "voice": said["voice"],
        "input_audio_format": names[heard["format"]["type"]],
        "output_audio_format": names[said["format"]["type"]],
        "input_audio_transcription": heard["transcription"],
        "turn_detection": heard["turn_detection"],
        "max_response_output_tokens": session["max_output_tokens"],
    }


def _modalities(released: list[str]) -> list[str]:
    return ["text", "audio"] if "audio" in released else ["text"]


def _item(item: Event) -> Event:
    names = {new: old for old, new in _CONTENTS.items()}
    return item | {"content": [_renamed(part, names) for part in item["content"]]}


def _renamed(part: Any, names: dict[str, str]) -> Any:
    """A part of a message, its type by another name."""
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return part
    return part | {"type": names.get(part["type"], part["type"])}


def _listed(given: object, param: str) -> list[object]:
    if not isinstance(given, list):
        raise Refused(f"{param} is a list", param=f"session.{param}")
    return given


def _format(given: object) -> Event:
    if not isinstance(given, str) or given not in _FORMATS:
        raise Refused(f"a format is one of: {', '.join(_FORMATS)}", param="session.audio_format")
    return {"type": _FORMATS[given]}
