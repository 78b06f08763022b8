"""What a client sends that means harm, or is broken: events of the Realtime protocol, changed at random.

Whatever it is, the server has to answer it by an event of the protocol, and live.
"""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Iterator
from typing import Any

Event = dict[str, Any]
JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, 2**80, "", "\ud800", "\u0000", "x" * 5_000, [], [[[[]]]], {},
    {"type": "nothing"}, "item_of_nobody", {"a": {"b": {"c": [1, None]}}}, "=" * 7, "AAA", "no base64!",
)  # fmt: skip
"""Values that stand where others should."""
MOST_AUDIO = 15 << 20
"""The most that an append may carry, in base64."""


def whole_events() -> list[Event]:
    """Events as they should be, one of each kind and more."""
    audio = base64.b64encode(bytes(4800)).decode()
    text = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello."}]}
    sound = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}
    vad = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 500, "prefix_padding_ms": 300}
    pcm = {"type": "audio/pcm", "rate": 24_000}
    session = {
        "type": "realtime",
        "instructions": "Be brief.",
        "output_modalities": ["audio"],
        "max_output_tokens": 20,
        "audio": {
            "input": {"format": pcm, "turn_detection": vad},
            "output": {"format": pcm, "voice": "alloy"},
        },
        "harken": {"heard": True, "think": "off", "trace": False},
    }
    quiet = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    return [
        {"type": "session.update", "session": session},
        {"type": "session.update", "session": quiet},
        {"type": "input_audio_buffer.append", "audio": audio},
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear"},
        {"type": "output_audio_buffer.clear"},
        {"type": "conversation.item.create", "item": text, "previous_item_id": "root"},
        {"type": "conversation.item.create", "item": sound},
        {"type": "conversation.item.create", "item": said | {"id": "mine"}},
        {"type": "conversation.item.retrieve", "item_id": "mine"},
        {"type": "conversation.item.delete", "item_id": "mine"},
        {"type": "conversation.item.truncate", "item_id": "mine", "content_index": 0, "audio_end_ms": 10},
        {"type": "response.create", "response": {"instructions": "Say yes.", "metadata": {"a": "b"}}},
        {"type": "response.cancel", "response_id": "resp"},
    ]


def mutated(draw: random.Random) -> str | bytes:
    """A message that is mostly wrong somewhere."""
    event = json.loads(json.dumps(draw.choice(whole_events())))
    for _ in range(draw.randint(0, 3)):
        _change(event, draw)
    message = json.dumps(event)
    match draw.randint(0, 11):
        case 0:
            return message[: draw.randint(0, len(message))]
        case 1:
            return message.encode()
        case 2:
            return draw.randbytes(draw.randint(0, 300))
        case 3:
            return draw.choice(["", "null", "[]", "3", "NaN", "[" * 50_000, '{"type": NaN}', "{" * 9])
    return message


def huge(draw: random.Random) -> str:
    """An append that is as long as may be, of silence, of noise, or of no base64."""
    size = MOST_AUDIO // 4 * 4
    audio = draw.choice(["A" * size, base64.b64encode(draw.randbytes(size * 3 // 4)).decode(), "!" * size])
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio})


def _change(event: Event, draw: random.Random) -> None:
    """Take away, put in, or put something else in one place."""
    places = list(_places(event))
    holder, key = draw.choice(places)
    junk = copy.deepcopy(draw.choice(JUNK))
    match draw.randint(0, 3):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[f"{key}x"] = junk
        case _:
            holder[key] = junk
    if not event:
        event["type"] = junk


def _places(part: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in an event: what holds it, and by which key."""
    for key, value in list(part.items() if isinstance(part, dict) else enumerate(part)):
        yield part, key
        if isinstance(value, dict | list):
            yield from _places(value)
