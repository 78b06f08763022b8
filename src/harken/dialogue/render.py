"""How a conversation looks to the core: token ids with heard turns in between.

Training and inference render by this one file, so that the core never meets a form that it was not trained
on. The form is ChatML, which SmolLM2, Qwen2.5 and Qwen3 share. Traces of earlier turns are never rendered.
Marks in what is said are defused, so that no text can end its own turn or begin another's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harken.llm.templates import defused

THINK_OPEN, THINK_CLOSE = "<think>\n", "\n</think>\n\n"
REPEAT = "Repeat exactly what you hear."
"""The instruction by which words survive self-distillation."""


@dataclass(frozen=True)
class UserTurn:
    """What the user said: heard vectors (N, D), or text."""

    content: Tensor | str
    instruction: str | None = None


@dataclass(frozen=True)
class AssistantTurn:
    """What was answered, as far as the user heard it."""

    text: str


Turn = UserTurn | AssistantTurn
Segment = list[int] | Tensor
"""Token ids, or vectors (N, D) that stand in their place."""


def render(turns: Sequence[Turn], tokenizer: Any, system: str, prompt: bool = True) -> list[Segment]:
    """A conversation as segments; with `prompt` it ends where the assistant's answer begins."""
    segments: list[Segment] = [_encode(tokenizer, f"<|im_start|>system\n{defused(system)}<|im_end|>\n")]
    for turn in turns:
        segments += render_turn(turn, tokenizer)
    if prompt:
        segments.append(_encode(tokenizer, "<|im_start|>assistant\n"))
    return segments


def render_turn(turn: Turn, tokenizer: Any) -> list[Segment]:
    """One turn as segments. An instruction stands before what was said."""
    if isinstance(turn, AssistantTurn):
        return [_encode(tokenizer, f"<|im_start|>assistant\n{defused(turn.text)}<|im_end|>\n")]
    opening = "<|im_start|>user\n" + (f"{defused(turn.instruction)}\n" if turn.instruction else "")
    if isinstance(turn.content, str):
        return [_encode(tokenizer, f"{opening}{defused(turn.content)}<|im_end|>\n")]
    return [_encode(tokenizer, opening), turn.content, _encode(tokenizer, "<|im_end|>\n")]


def cause_opening(emotion: str) -> str:
    """The beginning of a trace, up to where the cause is named: what the IEAT step injects."""
    return f'The speaker feels {emotion} because: "'


def trace(emotion: str, cause: str | None) -> str:
    """The attribution in the words that Harken is trained to think: the emotion, and what it rests on.

    What is neutral rests on nothing, whatever the cause.
    """
    if cause and emotion != "neutral":
        return f'{cause_opening(emotion)}{cause}"'
    return f"The speaker feels {emotion}."


def parse_trace(text: str) -> tuple[str | None, str | None]:
    """A trace -> the emotion and the cause that it states, None for what it does not."""
    found = re.search(r"The speaker feels (\w+)(?: because: \"([^\"\n]*)\"?)?", text)
    if not found:
        return None, None
    return found[1], (found[2] or "").strip() or None


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids
