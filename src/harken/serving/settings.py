"""How a session goes: what a client may choose, what it is when nobody chooses, and what is refused because
it is not done here. What is accepted and makes no difference is shown as not there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from openai.types.realtime import RealtimeSessionCreateRequest
from pydantic import BaseModel, ConfigDict

from harken.dialogue.reply import Think
from harken.serving.sound import Format, Kind
from harken.serving.wire import Event, Refused, read_part, text_in

THEIR_VOICES = frozenset(
    ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")
)
"""OpenAI's: a client that asks for one gets the server's voice, so that it need not be rewritten."""
LONGEST_TEXT = 8_000
"""Characters of instructions, or of a text in the conversation."""
SILENCE_BY_EAGERNESS_MS = {"low": 1200, "medium": 700, "auto": 700, "high": 400}
"""What `semantic_vad` means here: there is no model of what was meant, only how long it may be quiet."""
LONGEST_PAUSE_MS, LONGEST_IDLE_MS = 10_000, 600_000


class Options(BaseModel):
    """`session.harken`: what only Harken does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    heard: bool = True
    """Whether to tell what was heard."""
    think: Think = "after"
    """When to state how the user feels and why."""
    trace: bool = False
    """Whether to tell what it thinks on the way to that."""
    reflect: bool = False
    """Whether to reflect while speaking; only a model that was taught to can (docs/reflection.md)."""
    reflections: bool = False
    """Whether to tell what it reflects on."""


@dataclass(frozen=True)
class TurnDetection:
    """When the user's turn begins and ends, and what follows."""

    kind: Literal["server_vad", "semantic_vad"] = "server_vad"
    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    create_response: bool = True
    interrupt_response: bool = True
    idle_timeout_ms: int | None = None
    eagerness: str | None = None

    @classmethod
    def chosen(cls, given: Any) -> TurnDetection:
        """What a client chose. Raises Refused."""
        names = type(given).model_fields.keys() & given.model_fields_set & cls.__dataclass_fields__.keys()
        known = {name: value for name in names if (value := getattr(given, name)) is not None}
        if given.type == "semantic_vad":
            eagerness = known.setdefault("eagerness", "auto")
            known["silence_duration_ms"] = SILENCE_BY_EAGERNESS_MS[eagerness]
        found = cls(kind=given.type, **known)
        where = "session.audio.input.turn_detection"
        _within(found.threshold, 0, 1, f"{where}.threshold")
        _within(found.prefix_padding_ms, 0, LONGEST_PAUSE_MS, f"{where}.prefix_padding_ms")
        _within(found.silence_duration_ms, 0, LONGEST_PAUSE_MS, f"{where}.silence_duration_ms")
        _within(found.idle_timeout_ms or 1, 1, LONGEST_IDLE_MS, f"{where}.idle_timeout_ms")
        return found

    def as_event(self) -> Event:
        shared = {"create_response": self.create_response, "interrupt_response": self.interrupt_response}
        if self.kind == "semantic_vad":
            return {"type": self.kind, "eagerness": self.eagerness, **shared}
        return {
            "type": self.kind,
            "threshold": self.threshold,
            "prefix_padding_ms": self.prefix_padding_ms,
            "silence_duration_ms": self.silence_duration_ms,
            "idle_timeout_ms": self.idle_timeout_ms,
            **shared,
        }


@dataclass(frozen=True)
class Settings:
    """All that a client may choose."""

    model: str
    instructions: str
    voices: tuple[str, ...]
    """Those of the server's that may be asked for; the first speaks where none was. None where it is mute."""
    voice: str | None
    spoken: bool = True
    hears: Format = field(default_factory=Format)
    says: Format = field(default_factory=Format)
    transcription: Any = None
    turns: TurnDetection | None = field(default_factory=TurnDetection)
    most_tokens: int | None = None
    """Of a reply; None leaves that to the recipe."""
    options: Options = field(default_factory=Options)
    reflects: bool = False
    """Whether the model can reflect while it speaks."""

    def updated(self, given: Any) -> Settings:
        """These, with what a `session.update` changes. Raises Refused, and then nothing is changed."""
        if not isinstance(given, RealtimeSessionCreateRequest):
            raise Refused("a session is of type realtime here", param="session.type")
        if given.tools:
            raise Refused("tools are not called here", "unsupported", "session.tools")
        if given.prompt:
            raise Refused("there are no stored prompts here", "unsupported", "session.prompt")
        changes: dict[str, Any] = {}
        if given.instructions is not None:
            changes["instructions"] = text_in(given.instructions, "session.instructions", LONGEST_TEXT)
        own = (given.model_extra or {}).get("harken")
        if own is not None:
            options = changes["options"] = read_part(Options, own, "session.harken")
            if options.reflect and not self.reflects:
                raise Refused("this model cannot reflect", "unsupported", "session.harken.reflect")
        if given.audio is not None and given.audio.input is not None:
            changes |= self._input(given.audio.input)
        return replace(self, **changes).with_output(given, "session")

    def with_output(self, given: Any, where: str) -> Settings:
        """These, with what a session or a response chooses of how it is answered. Raises Refused."""
        changes: dict[str, Any] = {}
        if given.output_modalities is not None:
            changes["spoken"] = self._spoken(given.output_modalities, f"{where}.output_modalities")
        if given.max_output_tokens is not None:
            changes["most_tokens"] = _most_tokens(given.max_output_tokens, f"{where}.max_output_tokens")
        output = given.audio.output if given.audio is not None else None
        if output is not None:
            where = f"{where}.audio.output"
            if getattr(output, "speed", None) not in (None, 1.0):
                raise Refused("the speed is 1 here", "unsupported", f"{where}.speed")
            if output.voice is not None:
                changes["voice"] = self._voice(output.voice, f"{where}.voice")
            if output.format is not None:
                changes["says"] = _format(output.format)
        return replace(self, **changes)

    def _input(self, given: Any) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if given.format is not None:
            changes["hears"] = _format(given.format)
        if "transcription" in given.model_fields_set:
            changes["transcription"] = given.transcription
        if "turn_detection" in given.model_fields_set:
            chosen = given.turn_detection
            changes["turns"] = None if chosen is None else TurnDetection.chosen(chosen)
        return changes

    def _spoken(self, modalities: list[str], where: str) -> bool:
        if len(modalities) != 1:
            raise Refused('the reply is ["audio"], which brings its transcript, or ["text"]', param=where)
        if modalities[0] == "audio" and not self.voices:
            raise Refused("this server does not speak", "unsupported", where)
        return modalities[0] == "audio"

    def _voice(self, given: Any, where: str) -> str:
        if isinstance(given, str) and self.voices and (given in self.voices or given in THEIR_VOICES):
            return given
        raise Refused(f"there is no such voice; choose one of: {', '.join(self.voices)}", param=where)

    @property
    def speaker(self) -> str:
        """The server's voice that speaks a reply."""
        return self.voice if self.voice in self.voices else self.voices[0]

    def as_event(self) -> Event:
        """As `session.created` and `session.updated` show it."""
        transcription = self.transcription
        return {
            "type": "realtime",
            "object": "realtime.session",
            "model": self.model,
            "instructions": self.instructions,
            "output_modalities": ["audio" if self.spoken else "text"],
            "max_output_tokens": self.most_tokens or "inf",
            "tools": [],
            "tool_choice": "auto",
            "tracing": None,
            "audio": {
                "input": {
                    "format": self.hears.as_event(),
                    "noise_reduction": None,
                    "transcription": transcription and transcription.model_dump(exclude_unset=True),
                    "turn_detection": self.turns and self.turns.as_event(),
                },
                "output": {"format": self.says.as_event(), "voice": self.voice, "speed": 1.0},
            },
            "harken": self.options.model_dump(),
            "harken_reflects": self.reflects,
        }


def _format(given: Any) -> Format:
    return Format(cast(Kind, given.type or "audio/pcm"))


def _most_tokens(given: int | str, where: str) -> int | None:
    if given == "inf":
        return None
    _within(cast(int, given), 1, 4096, where)
    return cast(int, given)


def _within(value: float, least: float, most: float, param: str) -> None:
    if not least <= value <= most:
        raise Refused(f"{param} is {value}, and may be {least:g} to {most:g}", param=param)
