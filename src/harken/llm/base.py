"""What a text language model is to Harken: raw prompts in, completions out, many at a time.

Prompts are raw, with the chat template's marks in them (`harken.llm.templates`), because the IEAT step
continues a think block that it opened itself, which chat routes do not allow. Where completions come from is
in the modules beside this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from harken.errors import HarkenError


class LLMError(HarkenError):
    """A completion that did not come: refused, timed out, or unreadable. Given back, not raised."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. The seed of a prompt is `seed`; servers without seeds ignore it."""

    max_tokens: int = 256
    temperature: float = 0.7
    top_p: float = 0.9
    stop: tuple[str, ...] = ()
    seed: int = 0
    json_schema: str | None = None
    """A JSON schema that the answer is held to, as `schema_text` writes it; None leaves the form open. Some
    servers cannot hold a model to one and answer all the same: read answers with care.
    """

    def canonical(self) -> str:
        """The same text for the same sampling, and as before there were schemas where it has none."""
        fields = asdict(self)
        if self.json_schema is None:
            del fields["json_schema"]
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def schema_text(schema: Mapping[str, Any]) -> str:
    """A JSON schema as a `Sampling` has it. Properties keep their order, which is that of the answer."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def whole_characters(text: str) -> str:
    """A text with ? for each half of a character, as escapes in JSON can leave one: no file can hold it."""
    return text.encode(errors="replace").decode()


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt."""

    text: str
    finish: Literal["stop", "length"]
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False


class LLM(Protocol):
    """A language model, wherever it runs."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str:
        """What tells two models of one name apart: a file's hash, a server's model revision."""
        ...

    @property
    def template(self) -> str:
        """The name of its chat template (`harken.llm.templates.render`)."""
        ...

    @property
    def thinks(self) -> bool:
        """Was it trained to think in a block of its own?"""
        ...

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
        """One answer a prompt, in order; a prompt that failed has its error in its place."""
        ...
