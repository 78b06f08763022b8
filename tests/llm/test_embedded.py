"""The embedded model: with a stand-in for llama.cpp, and on the real 0.5B where it is in the cache."""

import gc
import json
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from harken.errors import InputError, MissingExtra, WeightsError
from harken.llm import embedded
from harken.llm.base import Completion, LLMError, Sampling, schema_text
from harken.llm.embedded import EmbeddedLLM
from harken.llm.templates import Message, render
from harken.weights import store

REAL = "qwen2.5-coder-0.5b-instruct"


class FakeServer:
    """Stands in for `xllamacpp.Server`: upper case, and two kinds of faults."""

    made: list["FakeServer"]
    alive = 0
    listening_address = "http://127.0.0.1:9"  # where nobody is: no state of a slot can be kept

    def __init__(self, params: SimpleNamespace) -> None:
        if b"GGUF" not in Path(params.model.path).read_bytes():
            raise RuntimeError("Failed to init server")
        self.params = params
        self.requests: list[dict] = []
        self.made.append(self)
        type(self).alive += 1

    def __del__(self) -> None:
        type(self).alive -= 1

    def handle_completions(self, request: dict) -> dict:
        self.requests.append(request)
        prompt = request["prompt"]
        if prompt == "unreadable":
            raise RuntimeError("parse error\nat line 1")
        if prompt == "too long":
            return {"error": {"code": 400, "message": "request exceeds the available context size"}}
        finish = "length" if prompt == "long" else "stop"
        return {
            "choices": [{"text": prompt.upper(), "finish_reason": finish}],
            "usage": {"prompt_tokens": 4, "completion_tokens": 2},
        }


@pytest.fixture
def llama(monkeypatch: pytest.MonkeyPatch) -> type[FakeServer]:
    """The stand-in, as if `xllamacpp` were it."""

    class Server(FakeServer):
        """Counts for one test."""

    Server.made = []

    def params() -> SimpleNamespace:
        cpus = {name: SimpleNamespace() for name in ("cpuparams", "cpuparams_batch")}
        return SimpleNamespace(model=SimpleNamespace(), **cpus)

    module = ModuleType("xllamacpp")
    module.Server, module.CommonParams = Server, params  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xllamacpp", module)
    return Server


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF and so on")
    return path


def test_what_waits_is_not_asked_after_an_interrupt(llama, gguf, monkeypatch):
    """Many prompts wait for a slot, to be chosen from; none of them holds up the end of the process."""
    gate = threading.Event()

    def held(self, request):
        answer = FakeServer.handle_completions(self, request)
        if len(self.requests) > 1:
            gate.wait()
        return answer

    monkeypatch.setattr(llama, "handle_completions", held)
    llm = EmbeddedLLM(gguf, slots=1, context=128, threads=1)
    answers = llm.answers([f"prompt {n}" for n in range(30)], Sampling())
    next(answers)
    answers.close()  # as an interrupt does
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("harken-llm"):
            thread.join()
    assert len(llama.made[0].requests) <= 2  # the first, and one that was out already


def test_answers_come_in_order_with_faults_in_their_places(llama, gguf):
    llm = EmbeddedLLM(gguf, slots=2, context=128, threads=1)
    answers = llm.complete(["a", "unreadable", "long", "too long", "a"], Sampling(stop=("\n",), seed=3))
    assert answers[0] == answers[4] == Completion("A", "stop", 4, 2)
    assert answers[2] == Completion("LONG", "length", 4, 2)
    assert all(isinstance(answers[i], LLMError) for i in (1, 3))
    assert "context size" in answers[3].message
    [server] = llama.made
    assert len(server.requests) == 4
    assert server.params.n_ctx == 256
    assert server.requests[0]["stop"] == ["\n", "<|im_end|>"]
    assert server.requests[0]["seed"] == 3


def test_a_beginning_that_prompts_share_is_read_once(llama, gguf, monkeypatch):
    actions: list[tuple[int, str]] = []

    def over_http(address, key):
        return lambda slot, action, name: actions.append((slot, action)) or True

    monkeypatch.setattr(embedded.beginnings, "over_http", over_http)
    llm = EmbeddedLLM(gguf, slots=2, context=128, threads=1)
    told = "You are told what somebody said. " * 10
    assert [answer.text[-1] for answer in llm.complete([f"{told}{c}" for c in "abcd"], Sampling())] == [
        *"ABCD"
    ]
    first, *others = llama.made[0].requests
    assert first["prompt"] == told and first["max_tokens"] == 0 and len(others) == 4
    llm.complete([f"{told}{c}" for c in "efgh"], Sampling())
    assert len(llama.made[0].requests) == 9
    assert actions[0][1] == "save" and {action for _, action in actions[1:]} <= {"restore"}
    llm.complete([f"{told}a little more {c}" for c in "ab"], Sampling())
    assert len(llama.made[0].requests) == 11, "most of this beginning is known"


def test_a_beginning_that_cannot_be_read_costs_its_prompts_only(llama, gguf, monkeypatch):
    def fussy(self, request):
        if "\ud800" in request["prompt"]:
            raise RuntimeError("parse error")
        return FakeServer.handle_completions(self, request)

    monkeypatch.setattr(llama, "handle_completions", fussy)
    llm = EmbeddedLLM(gguf, slots=2, context=128, threads=1)
    told = "Half a character \ud800. " * 20
    first, second, third = llm.complete([f"{told}a", f"{told}b", "c"], Sampling())
    assert isinstance(first, LLMError) and isinstance(second, LLMError)
    assert third == Completion("C", "stop", 4, 2)


def test_nothing_is_loaded_before_the_first_prompt(llama, gguf):
    llm = EmbeddedLLM(gguf)
    assert (llm.name, len(llm.revision)) == ("tiny", 64)
    assert llm.complete([], Sampling()) == []
    assert not llama.made


def test_one_process_loads_a_file_once(llama, gguf):
    """However many open it and from however many threads; with other settings it is another one."""
    models = [EmbeddedLLM(gguf, slots=2) for _ in range(4)]
    threads = [threading.Thread(target=llm.complete, args=(["a"], Sampling())) for llm in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(llama.made) == 1
    EmbeddedLLM(gguf, slots=3).start()
    assert len(llama.made) == 2


def test_a_file_is_unloaded_when_the_last_user_closes(llama, gguf):
    one, two = EmbeddedLLM(gguf), EmbeddedLLM(gguf)
    one.start()
    two.start()
    llama.made.clear()  # the list of the test holds it too
    one.close()
    gc.collect()
    assert llama.alive == 1
    two.close()
    gc.collect()
    assert llama.alive == 0
    assert one.complete(["again"], Sampling()) == [Completion("AGAIN", "stop", 4, 2)]


def test_a_file_that_is_no_model_is_named(llama, tmp_path):
    bad = tmp_path / "notes.gguf"
    bad.write_text("shopping list")
    with pytest.raises(InputError, match=r"notes\.gguf could not be loaded"):
        EmbeddedLLM(bad).complete(["a"], Sampling())


def test_a_file_that_is_not_there_is_named(llama, tmp_path):
    llm = EmbeddedLLM(tmp_path / "gone.gguf")
    with pytest.raises(InputError, match=r"gone\.gguf is not there"):
        llm.start()


def test_a_name_is_of_a_gguf_in_the_catalogue():
    assert EmbeddedLLM(REAL).revision.startswith("1d9614638d18024d")
    with pytest.raises(WeightsError, match="'no-such-model'"):
        EmbeddedLLM("no-such-model")
    for name in ("whisper-base", "Qwen/Qwen3-0.6B"):
        with pytest.raises(InputError, match=f"{name} is no GGUF"):
            EmbeddedLLM(name)


def test_the_missing_package_says_how_to_get_it(monkeypatch, gguf):
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtra) as caught:
        EmbeddedLLM(gguf).start()
    assert "harken[data]" in caught.value.hint


def test_real_xllamacpp_refuses_what_is_no_gguf(tmp_path, capfd):
    pytest.importorskip("xllamacpp")
    bad = tmp_path / "notes.gguf"
    bad.write_text("shopping list")
    with pytest.raises(InputError, match="could not be loaded"):
        EmbeddedLLM(bad, context=64, slots=1).start()
    assert capfd.readouterr() == ("", "")


def test_a_schema_goes_to_llama_in_its_order_and_only_where_there_is_one(llama, gguf):
    llm = EmbeddedLLM(gguf, slots=1, context=128, threads=1)
    schema = {"type": "object", "properties": {"b": {"enum": [1, 2]}, "a": {"type": "string"}}}
    llm.complete(["a"], Sampling(json_schema=schema_text(schema)))
    llm.complete(["b"], Sampling())
    formed, plain = llama.made[0].requests
    assert formed["json_schema"] == schema and [*formed["json_schema"]["properties"]] == ["b", "a"]
    assert "json_schema" not in plain


@pytest.mark.weights
def test_the_real_model_keeps_to_the_form_of_a_verdict_whatever_it_is_asked():
    pytest.importorskip("xllamacpp")
    if not any(status.name == REAL and status.folder for status in store.status()):
        pytest.skip(f"needs {REAL}: harken weights pull {REAL}")
    llm = EmbeddedLLM(REAL, slots=1, context=512)
    short = {"type": "string", "maxLength": 20}
    properties = {"why": short, "scores": {"type": "object", "properties": {"x": {"enum": [1, 3, 5]}}}}
    properties["scores"] |= {"required": ["x"], "additionalProperties": False}
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    schema["additionalProperties"] = False
    ask = [render("chatml", [Message("user", "Write a poem about the sea, in verse, and no JSON.")])]
    drawn = Sampling(max_tokens=120, temperature=1.0, seed=1, json_schema=schema_text(schema))
    (answer,) = llm.complete(ask, drawn)
    llm.close()
    found = json.loads(answer.text)
    assert [*found] == ["why", "scores"] and found["scores"]["x"] in (1, 3, 5)


@pytest.mark.weights
def test_the_real_model_answers_quietly_and_the_same_again(capfd):
    pytest.importorskip("xllamacpp")
    if not any(status.name == REAL and status.folder for status in store.status()):
        pytest.skip(f"needs {REAL}: harken weights pull {REAL}")
    llm = EmbeddedLLM(REAL, slots=1, context=256)
    prompts = [
        render("chatml", [Message("user", "What is the capital of France? One word.")]),
        render("chatml", [Message("user", "法国的首都是哪里？只用一个词回答。")]),
        "far too long " * 300,
        "half a character \ud800",
    ]
    greedy = Sampling(max_tokens=12, temperature=0.0)
    first = llm.complete(prompts, greedy)
    assert "Paris" in first[0].text
    assert "巴黎" in first[1].text
    assert first[0].finish == "stop"
    assert isinstance(first[2], LLMError)
    assert isinstance(first[3], LLMError)
    again = llm.complete(prompts[:2], greedy)
    assert [answer.text for answer in again] == [answer.text for answer in first[:2]]
    drawn = Sampling(max_tokens=12, temperature=1.0, top_p=1.0, seed=7)
    ask = [render("chatml", [Message("user", "Tell me anything.")])]
    assert llm.complete(ask, drawn)[0].text == llm.complete(ask, drawn)[0].text
    llm.close()
    told = "You are a kind friend who answers in one word. " * 10
    alike = [render("chatml", [Message("system", told), Message("user", text)]) for text in ("Hi.", "Yes?")]
    whole = [llm.complete([prompt], greedy)[0].text for prompt in alike]
    assert [answer.text for answer in llm.complete(alike, greedy)] == whole  # from a state that was kept
    llm.close()
    assert capfd.readouterr() == ("", "")
