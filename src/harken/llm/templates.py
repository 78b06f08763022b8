"""Chat templates as plain text: messages in, the raw prompt of a completion route out, and think blocks.

Only what is written is rendered: no default system message, and no beginning-of-text mark, which the runtimes
add themselves. Marks of a template that occur in a message's content are defused, so that no text from a data
set can end its own turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harken.errors import InputError

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
_NO_THOUGHT = f"{THINK_OPEN}\n\n{THINK_CLOSE}\n\n"
_CLOSE = re.compile(r"<\s*[/\\]\s*think\s*>", re.IGNORECASE)  # also as the IEAT paper prints it: <\think>
_OPEN = re.compile(r"\s*<\s*think\s*>", re.IGNORECASE)


@dataclass(frozen=True)
class Message:
    """One turn of a chat; roles are system, user and assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Template:
    """How a family of models marks a turn: `{head}role{neck}content{end}{after}`."""

    name: str
    head: str
    neck: str
    end: str  # also what ends a completion
    after: str = ""
    thinks: bool = False  # a plain answer then needs an empty think block before it


TEMPLATES = (
    Template("chatml", "<|im_start|>", "\n", "<|im_end|>", "\n"),  # Qwen2, Qwen2.5, SmolLM2
    Template("qwen3", "<|im_start|>", "\n", "<|im_end|>", "\n", thinks=True),
    Template("llama3", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"),
)


def find(name: str) -> Template:
    """The template of that name. Raises InputError naming those there are."""
    for template in TEMPLATES:
        if template.name == name:
            return template
    raise InputError(
        f"no chat template is named {name!r}", "templates: " + ", ".join(t.name for t in TEMPLATES)
    )


def render(template: str, messages: Sequence[Message]) -> str:
    """The prompt after which the assistant's next turn is to be written, as a plain answer.

    For a template whose models think it ends with an empty think block, which `opened_thought` replaces.
    Raises InputError for an unknown template.
    """
    t = find(template)
    turns = [f"{t.head}{m.role}{t.neck}{defused(m.content)}{t.end}{t.after}" for m in messages]
    return "".join(turns) + f"{t.head}assistant{t.neck}" + (_NO_THOUGHT if t.thinks else "")


def defused(content: str) -> str:
    """`<|` of a mark becomes `< |`: readable as before, but no special token."""
    return content.replace("<|", "< |")


def opened_thought(prompt: str, injection: str) -> str:
    """The prompt with a think block opened, and begun with `injection`, for the model to go on with."""
    return f"{prompt.removesuffix(_NO_THOUGHT)}{THINK_OPEN}\n{injection}"


def split_thought(text: str) -> tuple[str, str] | None:
    """The think block and the reply after it, stripped: split where the block first closes, None if nowhere.

    `text` may begin with the block's opening or inside it. The reply is empty where the model stopped there.
    """
    close = _CLOSE.search(text)
    if close is None:
        return None
    thought = text[: close.start()]
    opening = _OPEN.match(thought)
    return thought[opening.end() if opening else 0 :].strip(), text[close.end() :].strip()
