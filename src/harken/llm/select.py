"""Which language model: a frozen description, part of a recipe, and what opens it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harken.errors import InputError
from harken.llm import templates
from harken.llm.asking import Asker
from harken.llm.cache import CachedLLM
from harken.llm.embedded import CONTEXT, SLOTS, EmbeddedLLM
from harken.llm.server import ServedLLM

WEIGHTS = "qwen2.5-coder-0.5b-instruct"
_SERVER = {"url", "model", "revision", "api_key_env", "concurrency", "tries", "timeout_s"}
_EMBEDDED = {"weights", "path", "slots", "context", "threads"}


class LLMConfig(BaseModel):
    """A language model on a server, or embedded in this process. Fields of the other kind are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["server", "embedded"] = "embedded"
    template: Literal["chatml", "qwen3", "llama3"] = "chatml"
    thinks: bool | None = None
    """Was it trained to think in a block of its own? None: as models of the template are."""

    url: str | None = None
    """Of a server; mostly ends in /v1."""
    model: str | None = None
    revision: str | None = None
    """What the server runs; None takes its word, and then it must run even where all is cached."""
    api_key_env: str | None = None
    """The environment variable with the key. The key itself is never part of a recipe."""
    concurrency: int = Field(default=16, ge=1)
    tries: int = Field(default=6, ge=1)
    timeout_s: float = Field(default=300.0, gt=0)

    weights: str | None = None
    """A GGUF entry of the catalogue; without it and without `path`, the 0.5B teacher."""
    path: Path | None = None
    slots: int = Field(default=SLOTS, ge=1)
    context: int = Field(default=CONTEXT, ge=64)
    threads: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        others = _EMBEDDED if self.kind == "server" else _SERVER
        fields = type(self).model_fields
        strange = {field for field in others if getattr(self, field) != fields[field].default}
        if strange:
            raise ValueError(f"{', '.join(sorted(strange))}: not for a language model of kind {self.kind}")
        if self.kind == "server" and not (self.url and self.model):
            raise ValueError("a language model of kind server needs a url and a model")
        if self.weights and self.path:
            raise ValueError("weights and path exclude each other")
        return self


def open_llm(config: LLMConfig, cache: Path | None = None) -> CachedLLM | Asker:
    """The model that `config` describes, with its answers kept in the file `cache`, where one is given.

    Nothing is loaded or asked for before the first prompt that the cache does not answer (a server without a
    stated revision is asked for it at once). Raises HarkenError for a server that does not answer, or a
    missing key, file or package.
    """
    thinks = templates.find(config.template).thinks if config.thinks is None else config.thinks
    llm: Asker
    if config.kind == "server":
        assert config.url and config.model, "checked by LLMConfig"
        llm = ServedLLM(
            config.url,
            config.model,
            revision=config.revision,
            template=config.template,
            thinks=thinks,
            api_key_env=config.api_key_env,
            concurrency=config.concurrency,
            tries=config.tries,
            timeout_s=config.timeout_s,
        )
        if config.revision is None:
            llm.start()
    else:
        llm = EmbeddedLLM(
            config.path or config.weights or WEIGHTS,
            template=config.template,
            thinks=thinks,
            slots=config.slots,
            context=config.context,
            threads=config.threads,
        )
        if config.path and not config.path.is_file():
            raise InputError(f"{config.path} is not there", "a language model's path names a GGUF file")
    return CachedLLM(llm, cache) if cache else llm
