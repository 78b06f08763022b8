"""How a reply is shown: as one JSON object a line for programs, or as it comes for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from harken.cli.command import say
from harken.dialogue.events import (
    Attribution,
    AudioChunk,
    Done,
    Event,
    Heard,
    Notice,
    Reflected,
    ReflectionDelta,
    TextDelta,
)
from harken.dialogue.record import turn_record

BAR_WIDTH = 24
LEAST_SHOWN = 0.05


@dataclass
class Turn:
    """All that came of one input."""

    input: str
    think: str
    reflects: bool = False
    heard: Heard | None = None
    done: Done | None = None
    chunks: list[AudioChunk] = field(default_factory=list)
    reflected: list[Reflected] = field(default_factory=list)
    speech: Path | None = None

    def take(self, event: Event) -> None:
        if isinstance(event, Heard):
            self.heard = event
        elif isinstance(event, AudioChunk):
            self.chunks.append(event)
        elif isinstance(event, Reflected):
            self.reflected.append(event)
        elif isinstance(event, Notice):
            say(f"{self.input}: {event.text}")
        elif isinstance(event, Done):
            self.done = event

    def samples(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The reply's sound, (N,); there is some."""
        return np.concatenate([chunk.samples for chunk in self.chunks])

    def as_json(self) -> str:
        """The object that `--json` prints; the turn is done."""
        heard, done = self.heard, self.done
        assert heard is not None and done is not None
        speech = str(self.speech) if self.speech else None
        row = turn_record(self.input, heard, done, self.think, speech, done.timings_ms)
        if self.reflects:
            row["reflections"] = [asdict(each) for each in self.reflected]
        return json.dumps(row, ensure_ascii=False)


class People:
    """Shows a turn to people, while it happens."""

    def __init__(self, out: IO[str], reflections: bool = False) -> None:
        """Args: reflections: whether they are shown."""
        from rich.console import Console

        self._console = Console(file=out, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._block = "█" if "utf" in self._console.encoding.lower() else "#"
        self._in_reply = False
        self._reflections = reflections
        self._in_reflection = False

    def begin(self, turn: Turn) -> None:
        self._console.print(turn.input, style="bold")

    def event(self, event: Event) -> None:
        if isinstance(event, Heard):
            self._heard(event)
        elif isinstance(event, TextDelta):
            begins = not self._in_reply
            if begins:
                self._label("reply")
            self._in_reply = True
            self._console.print(event.text.lstrip() if begins else event.text, end="", style="bold cyan")
        elif isinstance(event, ReflectionDelta) and self._reflections:
            if not self._in_reflection:
                self._end_reply()
                self._label("thinking")
            self._in_reflection = True
            self._console.print(event.text, end="", style="italic")
        elif isinstance(event, Reflected) and self._in_reflection:
            self._in_reflection = False
            self._console.print("" if event.closed else " …")
        elif isinstance(event, Attribution):
            self._end_reply()
            if event.emotion:
                because = f', because of "{event.cause}"' if event.cause else ""
                self._line("why", f"the speaker feels {event.emotion}{because}")

    def end(self, turn: Turn) -> None:
        self._end_reply()
        if turn.reflects:
            self._line("thought", _thought(turn.reflected))
        if turn.speech:
            self._line("speech", str(turn.speech))
        assert turn.done is not None
        names = (("first_text", "first text"), ("first_audio", "first audio"), ("total", "all"))
        timings = turn.done.timings_ms
        self._line(
            "time", ", ".join(f"{label} {timings[n] / 1000:.2f} s" for n, label in names if n in timings)
        )
        self._console.print()

    def abandon(self) -> None:
        """A turn that failed half-way."""
        if self._in_reflection:
            self._console.print()
        self._in_reflection = False
        self._end_reply()

    def _heard(self, heard: Heard) -> None:
        self._line("heard", f'"{heard.transcript}"' if heard.transcript else "no words")
        ranked = sorted(heard.scores.items(), key=lambda item: -item[1])
        for place, (label, p) in enumerate(ranked):
            if place == 0 or p >= LEAST_SHOWN:
                bar = self._block * max(1, round(p * BAR_WIDTH))
                self._line("emotion" if place == 0 else "", f"{label:9}{bar:{BAR_WIDTH}} {p:.2f}")
        if heard.gender:
            self._line("speaker", heard.gender)

    def _end_reply(self) -> None:
        if self._in_reply:
            self._console.print()
        self._in_reply = False

    def _label(self, name: str) -> None:
        self._console.print(f"  {name:8} ", end="", style="dim")

    def _line(self, name: str, text: str) -> None:
        self._label(name)
        self._console.print(text)


def _thought(reflected: list[Reflected]) -> str:
    """How often and how much the model reflected, and where it could not."""
    made = [each for each in reflected if each.allowed]
    tokens, cut = sum(each.tokens for each in made), sum(not each.closed for each in made)
    for_want_of = {"playback": "time", "context": "room"}
    left_out = [for_want_of[each.limit] for each in reflected if not each.allowed]
    parts = [f"{len(made)} times, {tokens} tokens"]
    parts += [f"{cut} cut"] if cut else []
    parts += [f"{left_out.count(want)} left out for want of {want}" for want in sorted({*left_out})]
    return ", ".join(parts)
