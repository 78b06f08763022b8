"""Answers on disk: asked once over threads, processes and runs, and damage that is said plainly."""

import multiprocessing
import re
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harken.errors import HarkenError
from harken.llm.asking import Asker
from harken.llm.base import Completion, LLMError, Sampling
from harken.llm.cache import CachedLLM, Usage

PLAIN = Sampling(max_tokens=8, temperature=0.0)


class Teacher:
    """Answers from a function, and counts what it is asked."""

    def __init__(self, say: Callable[[str], str] = str.upper, **told: str) -> None:
        self.say = say
        self.name = told.get("name", "teacher")
        self.revision = told.get("revision", "1")
        self.template = told.get("template", "chatml")
        self.thinks = False
        self.asked: list[str] = []

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
        self.asked += prompts
        return [
            LLMError("refused") if prompt.startswith("bad") else Completion(self.say(prompt), "stop", 5, 2)
            for prompt in prompts
        ]


class OneByOne(Asker):
    """Answers prompt after prompt, and is interrupted at one of them."""

    revision = "1"

    def __init__(self) -> None:
        super().__init__("teacher", None, "chatml", False, concurrency=1)

    def start(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def ask(self, prompt: str, sampling: Sampling) -> Completion | LLMError:
        if prompt == "interrupt":
            raise KeyboardInterrupt
        return Completion(prompt.upper(), "stop", 5, 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers" / "llm.sqlite"


def texts(llm: CachedLLM, prompts: Sequence[str], sampling: Sampling = PLAIN) -> list[str | None]:
    return [None if isinstance(a, LLMError) else a.text for a in llm.complete(prompts, sampling)]


def test_what_was_answered_is_not_asked_again(path):
    first, second = Teacher(), Teacher(str.title)
    assert texts(CachedLLM(first, path), ["a", "b", "a"]) == ["A", "B", "A"]
    cached = CachedLLM(second, path)
    answers = cached.complete(["b", "c c", "a"], PLAIN)
    assert [a.text for a in answers] == ["B", "C C", "A"]
    assert [a.cached for a in answers] == [True, False, True]
    assert first.asked == ["a", "b"]
    assert second.asked == ["c c"]


@pytest.mark.parametrize("told", [{"name": "other"}, {"revision": "2"}, {"template": "llama3"}])
def test_another_model_is_asked_anew(path, told):
    texts(CachedLLM(Teacher(), path), ["a"])
    other = Teacher(**told)
    texts(CachedLLM(other, path), ["a"])
    assert other.asked == ["a"]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"max_tokens": 9},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"stop": ("\n",)},
        {"json_schema": '{"type":"object"}'},
    ],
)
def test_another_sampling_is_asked_anew(path, change):
    teacher = Teacher()
    cached = CachedLLM(teacher, path)
    texts(cached, ["a"])
    texts(cached, ["a"], replace(PLAIN, **change))
    assert teacher.asked == ["a", "a"]


def test_without_a_schema_answers_from_before_there_were_any_are_found():
    assert Sampling(seed=3, stop=("\n",)).canonical() == (
        '{"max_tokens":256,"seed":3,"stop":["\\n"],"temperature":0.7,"top_p":0.9}'
    )


def test_errors_are_given_back_and_not_kept(path):
    teacher = Teacher()
    cached = CachedLLM(teacher, path)
    assert texts(cached, ["bad", "good"]) == [None, "GOOD"]
    assert texts(cached, ["bad", "good"]) == [None, "GOOD"]
    assert teacher.asked == ["bad", "good", "bad"]


def test_usage_counts_only_what_the_model_did(path):
    cached = CachedLLM(Teacher(), path)
    texts(cached, ["a", "a", "bad", "b"])
    texts(cached, ["a", "b"])
    assert replace(cached.usage, seconds=0.0) == Usage(
        prompts=6, cached=3, failed=1, prompt_tokens=10, completion_tokens=4
    )
    assert re.fullmatch(
        r"teacher: 6 prompts, 3 from the cache, 1 failed; 10 tokens read, 4 written in \d+ s \(.+ a second\)",
        cached.tokens_line(),
    )


def test_all_from_the_cache_takes_no_seconds_and_starts_nothing(path):
    texts(CachedLLM(Teacher(), path), ["a"])
    cached = CachedLLM(Teacher(), path)
    texts(cached, ["a"])
    assert cached.usage == Usage(prompts=1, cached=1)
    assert cached.tokens_line().endswith("0 tokens read, 0 written in 0 s")


def test_an_interrupted_batch_keeps_the_answers_that_came(path):
    cached = CachedLLM(OneByOne(), path)
    with pytest.raises(KeyboardInterrupt):
        cached.complete(["a", "b", "interrupt", "c"], PLAIN)
    cached.close()
    later = Teacher()
    assert texts(CachedLLM(later, path), ["a", "b", "c"]) == ["A", "B", "C"]
    assert later.asked == ["c"]


def test_who_comes_second_gets_what_the_file_has(path):
    """Two builds ask the same at once of a model that never repeats itself: both go on with one text."""
    late = CachedLLM(Teacher(lambda prompt: texts(early, [prompt])[0] + ", but later"), path)
    early = CachedLLM(Teacher(), path)
    assert texts(late, ["a"]) == ["A"]


def test_threads_share_one_object(path):
    teacher = Teacher()
    cached = CachedLLM(teacher, path)
    prompts = [f"p{i}" for i in range(40)]
    got: dict[int, list] = {}

    def ask(thread: int) -> None:
        got[thread] = texts(cached, prompts[thread:] + prompts[:thread])

    threads = [threading.Thread(target=ask, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(sorted(found) == sorted(p.upper() for p in prompts) for found in got.values())
    assert cached.usage.prompts == 160


def _fill(path: Path, start: "multiprocessing.synchronize.Barrier", number: int) -> None:
    start.wait(60)
    cached = CachedLLM(Teacher(lambda prompt: f"{prompt} by {number}"), path)
    for i in range(30):
        cached.complete([f"shared {i}", f"own {number} {i}"], PLAIN)


def test_processes_share_one_file(path):
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [context.Process(target=_fill, args=(path, start, number)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT COUNT(*) FROM answers").fetchone() == (90,)
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("damage", [b"this is no database, whatever it is called" * 20, None])
def test_a_damaged_file_says_to_remove_it(path, damage):
    cached = CachedLLM(Teacher(), path)
    texts(cached, [f"p{i}" for i in range(300)])
    cached.close()
    whole = path.read_bytes()
    path.write_bytes(damage or whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(HarkenError, match="is damaged") as caught:
        texts(CachedLLM(Teacher(), path), ["p1"])
    assert str(path) in caught.value.message
    assert "remove it" in caught.value.hint


def test_a_file_of_another_version_is_refused(path):
    CachedLLM(Teacher(), path).close()
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(HarkenError, match="another version"):
        CachedLLM(Teacher(), path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(HarkenError, match="taken"):
        CachedLLM(Teacher(), tmp_path / "taken" / "llm.sqlite")
