"""Which judge: what the options of `harken evaluate` name, opened with its answers kept on disk."""

from __future__ import annotations

from pathlib import Path

from harken.errors import InputError
from harken.llm.base import LLM
from harken.llm.select import LLMConfig, open_llm

LOCAL = "local"
CONTEXT = 4096
"""Tokens of a local judge: a rubric, five turns with replies, and a verdict."""


def open_judge(named: str, model: str | None, api_key_env: str | None, answers: Path) -> LLM:
    """The judge, a text model.

    Args:
        named: the URL of an OpenAI-compatible server, or `LOCAL` for a model in this process.
        model: its name at the server, or in the catalogue of weights, where None is the smallest teacher.
        api_key_env: the environment variable that holds a server's key.
        answers: the file that keeps its answers.

    Raises: InputError for another name or a server without a model, and what `open_llm` raises.
    """
    if named == LOCAL:
        return open_llm(LLMConfig(weights=model, context=CONTEXT), answers)
    if not named.startswith(("http://", "https://")):
        raise InputError(f"{named} is no judge", "name a server (http://…/v1), local, or none")
    if model is None:
        raise InputError(f"the judge at {named} has no model", "name it with --judge-model")
    return open_llm(LLMConfig(kind="server", url=named, model=model, api_key_env=api_key_env), answers)
