"""The description of a language model: what it refuses, that it survives a file, and what it opens."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from harken.errors import HarkenError, InputError, WeightsError
from harken.llm.cache import CachedLLM
from harken.llm.embedded import EmbeddedLLM
from harken.llm.select import WEIGHTS, LLMConfig, open_llm
from harken.llm.server import ServedLLM

HERE = {"kind": "server", "url": "http://127.0.0.1:9/v1", "model": "Qwen/Qwen3-8B"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "server"}, "needs a url and a model"),
        ({**HERE, "slots": 2}, "slots: not for a language model of kind server"),
        ({"url": "http://127.0.0.1:9/v1"}, "url: not for a language model of kind embedded"),
        ({"weights": "a", "path": "b"}, "exclude each other"),
        ({"temperature": 1.0}, "temperature"),
        ({"template": "alpaca"}, "template"),
        ({"slots": 0}, "slots"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        LLMConfig(**fields)


@pytest.mark.parametrize("config", [LLMConfig(), LLMConfig(path=Path("a.gguf")), LLMConfig(**HERE)])
def test_a_description_survives_being_written_down(config):
    assert LLMConfig.model_validate_json(config.model_dump_json()) == config


def test_the_default_is_the_small_teacher_in_this_process(tmp_path):
    llm = open_llm(LLMConfig())
    assert isinstance(llm, EmbeddedLLM)
    assert (llm.name, llm.template, llm.thinks) == (WEIGHTS, "chatml", False)
    cached = open_llm(LLMConfig(), tmp_path / "llm.sqlite")
    assert isinstance(cached, CachedLLM)
    assert (cached.name, cached.revision, cached.template) == (llm.name, llm.revision, "chatml")


def test_thinking_follows_the_template_unless_said():
    pytest.importorskip("openai")
    qwen3 = LLMConfig(**HERE, template="qwen3", revision="1")
    assert open_llm(qwen3).thinks
    assert not open_llm(qwen3.model_copy(update={"thinks": False})).thinks


def test_a_server_with_a_stated_revision_is_not_asked_until_it_is_needed():
    pytest.importorskip("openai")
    llm = open_llm(LLMConfig(**HERE, revision="of August"))
    assert isinstance(llm, ServedLLM)
    assert llm.revision == "of August"
    with pytest.raises(HarkenError, match=re.escape(HERE["url"])):
        open_llm(LLMConfig(**HERE))


def test_what_is_not_there_is_said_when_opening(tmp_path):
    with pytest.raises(InputError, match=r"gone\.gguf is not there"):
        open_llm(LLMConfig(path=tmp_path / "gone.gguf"))
    with pytest.raises(WeightsError, match="no-such"):
        open_llm(LLMConfig(weights="no-such"))
