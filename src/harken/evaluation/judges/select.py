"""Which judge: what the options of `harken evaluate` name, opened with its answers kept on disk.

Answers lie under the weights' home in `judges/`, one file a judge, and all runs share them: a judge is asked
the same only once, on whatever it is used. A judge is known by its name and revision, wherever it is served.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from harken.errors import InputError
from harken.evaluation.judges.hearing import HearingJudge
from harken.evaluation.judges.judging import Judge
from harken.llm.base import LLM
from harken.llm.cache import CachedLLM
from harken.llm.hearing import HearingLLM, Sounds
from harken.llm.select import LLMConfig, open_llm

LOCAL = "local"
SCORER = "scorer"
CONTEXT = 4096
"""Tokens of a local judge: a rubric, five turns with replies, and a verdict."""


def open_judge(named: str, model: str | None, api_key_env: str | None) -> LLM:
    """The judge, a text model.

    Args:
        named: the URL of an OpenAI-compatible server, or `LOCAL` for a model in this process.
        model: its name at the server, or in the catalogue of weights, where None is the smallest teacher.
        api_key_env: the environment variable that holds a server's key.

    Raises: InputError for another name or a server without a model, and what `open_llm` raises.
    """
    if named == LOCAL:
        llm = open_llm(LLMConfig(weights=model, context=CONTEXT))
    elif not named.startswith(("http://", "https://")):
        raise InputError(f"{named} is no judge", "name a server (http://…/v1), local, or none")
    elif model is None:
        raise InputError(f"the judge at {named} has no model", "name it with --judge-model")
    else:
        llm = open_llm(LLMConfig(kind="server", url=named, model=model, api_key_env=api_key_env))
    return CachedLLM(llm, answers_of(llm))


def names_scorer(named: str) -> bool:
    """Is it the trained scorer of empathy, `SCORER`, or one in a folder, `SCORER:FOLDER`?"""
    return named.partition(":")[0] == SCORER


def open_judge_or_scorer(named: str, model: str | None, api_key_env: str | None) -> Judge:
    """As `open_judge`, and the trained scorer of empathy: the one that ships, or that in the folder named.

    Raises: as `open_judge` and `harken.evaluation.empathy_scorer.scorer.open_scorer`.
    """
    from harken.checkpoint import shipped
    from harken.evaluation.empathy_scorer.scorer import open_scorer

    if not names_scorer(named):
        return open_judge(named, model, api_key_env)
    folder = named.removeprefix(SCORER).removeprefix(":")
    return open_scorer(Path(folder) if folder else shipped("mini"))


def open_hearing_judge(url: str, model: str | None, api_key_env: str | None) -> HearingJudge:
    """The judge of sound: a model that hears.

    Args:
        url: a server of OpenAI's chat completions that takes recordings.
        model: its name there.
        api_key_env: the environment variable that holds the server's key.

    Raises: InputError for another address or no model, HarkenError where no server answers.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url} is no judge that hears", "name a server: --ears http://…/v1")
    if model is None:
        raise InputError(f"the judge that hears at {url} has no model", "name it with --ears-model")
    sounds = Sounds()
    llm = HearingLLM(url, model, sounds, api_key_env=api_key_env)
    llm.start()
    return HearingJudge(CachedLLM(llm, answers_of(llm)), sounds)


def answers_of(llm: LLM) -> Path:
    """The file that keeps a judge's answers."""
    from harken.weights.store import home

    readable = re.sub(r"[^\w.-]+", "-", llm.name)[-80:].strip(".-")
    telling = hashlib.sha256(f"{llm.name}@{llm.revision}".encode()).hexdigest()[:12]
    return home() / "judges" / f"{readable}-{telling}.sqlite"
