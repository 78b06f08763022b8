"""The client of OpenAI-compatible servers, over real sockets: a small server that misbehaves on demand."""

import logging
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from fake_servers import QUICK, FakeServer, JsonHandler, serving

from harken.errors import HarkenError, InputError
from harken.llm.base import Completion, LLMError, Sampling, schema_text
from harken.llm.server import ServedLLM

pytest.importorskip("openai")
MODELS = {"object": "list", "data": [{"id": "teacher", "object": "model", "created": 1, "owned_by": "vllm"}]}
SECRET = "sk-very-secret-0123456789"


class Server(FakeServer):
    """What a prompt says decides what happens to it."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.seen: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.keys: set[str] = set()
        self.models: object = MODELS
        self.takes_formats = True
        self.out = self.most_out = 0
        self.lock = threading.Lock()
        self.gate = threading.Barrier(3)
        self.released = threading.Event()


class Handler(JsonHandler):
    """`/v1/models` and `/v1/completions`."""

    server: Server

    def do_GET(self) -> None:
        self.server.keys.add(self.headers["Authorization"])
        if self.server.models is None:
            self.answer(404, {"error": "no such route"})
        else:
            self.answer(200, self.server.models)

    def do_POST(self) -> None:
        body = self.body()
        prompt = body["prompt"]
        with self.server.lock:
            self.server.seen[prompt] += 1
            self.server.bodies.append(body)
            tries = self.server.seen[prompt]
        if "response_format" in body and not self.server.takes_formats:
            self.answer(400, {"error": {"message": "unknown field response_format"}})
        else:
            self.behave(prompt, tries)

    def behave(self, prompt: str, tries: int) -> None:
        if prompt == "busy" and tries == 1:
            self.answer(429, {"error": {"message": "slow down"}}, QUICK)
        elif prompt == "broken":
            self.answer(500, {"error": {"message": f"out of memory, {self.headers['Authorization']}"}}, QUICK)
        elif prompt == "refused":
            self.answer(400, {"error": {"message": "prompt too long"}})
        elif prompt == "garbage":
            self.answer(200, b'{"choices": [{"te')
        elif prompt == "other":
            self.answer(200, {"message": "hello"})
        elif prompt == "filtered":
            self.answer(200, completion("…", "content_filter"))
        elif prompt == "hangs":
            self.server.released.wait(30)
            self.close_connection = True
        elif prompt == "drops" and tries == 1:
            self.close_connection = True
        else:
            if prompt.startswith("together"):
                self.meet()
            self.answer(200, completion(f"to {prompt}", "length" if prompt == "long" else "stop"))

    def meet(self) -> None:
        """Wait until three requests are here."""
        with self.server.lock:
            self.server.out += 1
            self.server.most_out = max(self.server.most_out, self.server.out)
        self.server.gate.wait(60)
        with self.server.lock:
            self.server.out -= 1


def completion(text: str, finish: str) -> dict:
    return {
        "id": "1",
        "object": "text_completion",
        "created": 1,
        "model": "teacher",
        "choices": [{"index": 0, "text": text, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server
        server.released.set()


def served(server: Server, **settings) -> ServedLLM:
    return ServedLLM(server.url, "teacher", **{"tries": 2, "timeout_s": 60.0, **settings})


def test_answers_come_in_order_and_equal_prompts_are_asked_once(server):
    answers = served(server).complete(["a", "long", "a", "b"], Sampling(max_tokens=9, seed=5, stop=("\n",)))
    assert answers == [
        Completion("to a", "stop", 7, 3),
        Completion("to long", "length", 7, 3),
        Completion("to a", "stop", 7, 3),
        Completion("to b", "stop", 7, 3),
    ]
    assert server.seen == {"a": 1, "long": 1, "b": 1}
    assert server.bodies[0] | {"prompt": ""} == {
        "model": "teacher",
        "prompt": "",
        "max_tokens": 9,
        "temperature": 0.7,
        "top_p": 0.9,
        "stop": ["\n", "<|im_end|>"],
        "seed": 5,
    }


SCHEMA = {"type": "object", "properties": {"b": {"enum": [1, 2]}, "a": {"type": "string"}}}
FORMED = Sampling(json_schema=schema_text(SCHEMA))


def test_an_answer_is_held_to_a_schema_whose_order_stays(server):
    assert served(server).complete(["a"], FORMED)[0].text == "to a"
    sent = server.bodies[0]["response_format"]
    assert sent["type"] == "json_schema" and sent["json_schema"]["schema"] == SCHEMA
    assert [*sent["json_schema"]["schema"]["properties"]] == ["b", "a"]
    served(server).complete(["b"], Sampling())
    assert "response_format" not in server.bodies[1]


def test_a_server_that_refuses_schemas_is_asked_without_and_that_is_said_once(server, caplog):
    server.takes_formats = False
    llm = served(server, concurrency=1)
    assert [a.text for a in llm.complete(["a", "b", "c"], FORMED)] == ["to a", "to b", "to c"]
    assert server.seen == {"a": 2, "b": 1, "c": 1}
    assert [record.message for record in caplog.records if "refuses schemas" in record.message] == [
        f"teacher at {server.url} refuses schemas: its answers are held to none"
    ]


def test_a_prompt_that_is_refused_for_itself_says_nothing_of_schemas(server, caplog):
    llm = served(server, concurrency=1)
    bad, good = llm.complete(["refused", "good"], FORMED)
    assert isinstance(bad, LLMError) and "prompt too long" in bad.message
    assert good.text == "to good" and "response_format" in server.bodies[-1]
    assert "refuses schemas" not in caplog.text


@pytest.mark.parametrize("prompt", ["busy", "drops"])
def test_a_passing_fault_is_tried_again(server, prompt):
    assert served(server).complete([prompt], Sampling()) == [Completion(f"to {prompt}", "stop", 7, 3)]
    assert server.seen[prompt] == 2


@pytest.mark.parametrize(
    ("prompt", "tries", "said"),
    [
        ("broken", 3, "out of memory"),
        ("refused", 1, "prompt too long"),
        ("garbage", 1, "teacher: "),
        ("other", 1, "not a completion"),
        ("filtered", 1, "not a completion"),
    ],
)
def test_a_lasting_fault_is_in_its_prompts_place(server, prompt, tries, said):
    good, bad, last = served(server, tries=3).complete(["first", prompt, "last"], Sampling())
    assert (good.text, last.text) == ("to first", "to last")
    assert isinstance(bad, LLMError)
    assert said in bad.message
    assert "\n" not in bad.message
    assert server.seen[prompt] == tries


def test_a_server_that_hangs_is_given_up(server):
    [answer] = served(server, timeout_s=0.3, tries=1).complete(["hangs"], Sampling())
    assert isinstance(answer, LLMError)
    assert "timed out" in answer.message


def test_a_text_that_cannot_be_sent_is_an_error_in_its_place(server):
    bad, good = served(server).complete(["half \ud800", "good"], Sampling())
    assert isinstance(bad, LLMError)
    assert good.text == "to good"


def test_prompts_are_out_together_but_no_more_than_allowed(server):
    """Three answers wait for each other, so three are out at once; never a fourth, though two threads ask."""
    llm = served(server, concurrency=3, tries=1)
    results: list = []
    threads = [
        threading.Thread(
            target=lambda t=t: results.extend(
                llm.complete([f"together {t} {i}" for i in range(6)], Sampling())
            )
        )
        for t in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 12
    assert not any(isinstance(answer, LLMError) for answer in results)
    assert server.most_out == 3


def test_a_server_that_is_not_there_is_one_clear_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        llm = ServedLLM(url, "teacher", revision="1")
        with pytest.raises(HarkenError) as caught:
            llm.complete(["a"], Sampling())
    assert url in caught.value.message


def test_the_revision_is_the_servers_word_and_outlives_a_restart(server):
    first = served(server).revision
    restarted = {"object": "list", "data": [MODELS["data"][0] | {"created": 2}]}
    server.models = restarted
    assert served(server).revision == first
    server.models = {"object": "list", "data": [MODELS["data"][0] | {"root": "other/weights"}]}
    assert served(server).revision != first
    assert served(server, revision="v1").revision == "v1"


def test_a_model_that_the_server_has_not_is_refused_with_those_it_has(server):
    with pytest.raises(InputError, match="'judge'") as caught:
        ServedLLM(server.url, "judge").start()
    assert "teacher" in caught.value.hint


@pytest.mark.parametrize("models", [None, {"models": []}, []])
def test_without_a_list_of_models_a_revision_has_to_be_given(server, models):
    server.models = models
    with pytest.raises(HarkenError, match=server.url):
        served(server, tries=1).start()
    assert served(server, revision="v1").complete(["a"], Sampling())[0].text == "to a"


def test_the_key_goes_to_the_server_and_nowhere_else(server, monkeypatch, caplog):
    monkeypatch.setenv("TEACHER_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    caplog.set_level(logging.DEBUG)
    keyless, keyed = served(server), served(server, api_key_env="TEACHER_KEY")
    keyless.start()
    assert server.keys == {"Bearer none"}
    [answer] = keyed.complete(["broken"], Sampling())
    assert f"Bearer {SECRET}" in server.keys
    assert SECRET not in answer.message
    assert SECRET not in caplog.text


def test_an_empty_key_is_an_error_before_anything_is_sent(server, monkeypatch):
    monkeypatch.delenv("TEACHER_KEY", raising=False)
    with pytest.raises(InputError, match="TEACHER_KEY"):
        served(server, api_key_env="TEACHER_KEY")


def test_a_closed_model_starts_again(server):
    llm = served(server)
    assert llm.complete(["a"], Sampling())[0].text == "to a"
    llm.close()
    assert llm.complete(["b"], Sampling())[0].text == "to b"
