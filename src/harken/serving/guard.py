"""The place of a guard: it sees a turn before its reply is spoken, and may have something else said.

A guard is asked before the model writes anything, again with every piece of the reply before that piece is
shown or spoken, and when the model has stated how the user feels and why.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from harken.dialogue.events import Attribution, AudioChunk, Event, TextDelta


@dataclass(frozen=True)
class Turn:
    """What a guard sees."""

    transcript: str | None
    """What the user said or wrote; None where the words were not understood."""
    attribution: Attribution | None = None
    """How the user feels and why; None where it is not stated yet."""
    reply: str = ""
    """What the model has written so far."""


Guard = Callable[[Turn], str | None]
"""Gives what is said instead; None lets the reply go on."""


def guarded(
    events: Generator[Event, None, None],
    guard: Guard,
    transcript: str | None,
    say: Callable[[str], Iterator[Event]],
) -> Iterator[Event]:
    """The events of a reply, up to where the guard has something else said, and those of that.

    Args: say: a text -> the events of saying it.
    """
    turn, sound_ms = Turn(transcript), 0.0
    instead = guard(turn)
    if instead is not None:
        yield from say(instead)
        return
    for event in events:
        instead = None
        if isinstance(event, TextDelta):
            turn = replace(turn, reply=turn.reply + event.text)
            instead = guard(turn)
        elif isinstance(event, Attribution):
            turn = replace(turn, attribution=event)
            yield event
            if (instead := guard(turn)) is None:
                continue
        elif isinstance(event, AudioChunk):
            sound_ms = event.end_ms
        if instead is None:
            yield event
            continue
        events.close()
        shown = turn.reply[: -len(event.text)] if isinstance(event, TextDelta) else ""
        yield from _going_on(say(instead), shown, sound_ms if shown else 0.0)
        return


def _going_on(events: Iterator[Event], shown: str, sound_ms: float) -> Iterator[Event]:
    """What is said instead, after what was shown and spoken already."""
    space = " " if shown else ""
    for event in events:
        if isinstance(event, TextDelta):
            yield TextDelta(space + event.text)
            space = ""
        elif isinstance(event, AudioChunk):
            start, end = event.start_ms + sound_ms, event.end_ms + sound_ms
            text_end = event.text_end + len(shown) + bool(shown)
            yield replace(event, start_ms=start, end_ms=end, text_end=text_end)
        else:
            yield event
