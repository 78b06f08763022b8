"""Beginnings that prompts share: which there are, and how slots start from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.llm import beginnings
from harken.llm.beginnings import Beginnings, over_http, shared

ENGLISH, CHINESE = "You are a kind friend. " * 20, "你是一位善良的朋友。" * 30


class Slots:
    """Keeps files as llama.cpp does, and tells what was done."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.done = folder, list[tuple[int, str, str]]()

    def act(self, slot: int, action: str, name: str) -> bool:
        self.done.append((slot, action, name))
        if action == "save":
            (self.folder / name).write_text(f"state of {slot}")
        return (self.folder / name).is_file()


def test_what_prompts_share_is_told_once_a_kind() -> None:
    prompts = [f"{ENGLISH}{n}" for n in "abc"] + [f"{CHINESE}{n}" for n in "abc"] + ["alone " * 100, "short"]
    assert sorted(shared(prompts)) == sorted([ENGLISH, CHINESE])
    assert shared(["a", "b"]) == shared([]) == shared([ENGLISH]) == []


@given(st.lists(st.tuples(st.sampled_from([ENGLISH, CHINESE, ""]), st.text("ab", max_size=3))))
def test_every_beginning_is_long_and_begins_two_prompts(parts: list[tuple[str, str]]) -> None:
    prompts = {beginning + end for beginning, end in parts}
    for beginning in shared(prompts):
        assert len(beginning) >= beginnings.LEAST
        assert sum(prompt.startswith(beginning) for prompt in prompts) > 1


def test_a_slot_starts_behind_the_longest_beginning_unless_it_has_read_more(tmp_path: Path) -> None:
    slots = Slots(tmp_path)
    kept = Beginnings(tmp_path, slots.act)
    kept.start(0, ENGLISH + "a", 0)
    assert not slots.done
    kept.keep(1, ENGLISH)
    kept.keep(2, ENGLISH + ENGLISH)
    kept.start(0, ENGLISH + "a", len(ENGLISH))
    kept.start(3, ENGLISH + "a", len(ENGLISH) - 1)
    kept.start(4, ENGLISH + ENGLISH + "a", len(ENGLISH))
    assert [(slot, action) for slot, action, _ in slots.done[2:]] == [(3, "restore"), (4, "restore")]
    assert slots.done[2][2] == slots.done[0][2] and slots.done[3][2] == slots.done[1][2]


def test_the_oldest_goes_when_there_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings, "KEPT", 2)
    kept = Beginnings(tmp_path, Slots(tmp_path).act)
    for name in "abc":
        kept.keep(0, name * 300)
    assert [kept.longest(name * 301) for name in "abc"] == ["", "b" * 300, "c" * 300]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_could_not_be_kept_is_not_known(tmp_path: Path) -> None:
    kept = Beginnings(tmp_path, lambda slot, action, name: False)
    kept.keep(0, ENGLISH)
    assert kept.longest(ENGLISH) == ""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.asked.append((self.path, body, self.headers["Authorization"]))  # type: ignore[attr-defined]
            self.send_response(200 if body["filename"] == "known" else 400)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_actions_are_asked_for_over_http(server: HTTPServer) -> None:
    act = over_http(f"http://127.0.0.1:{server.server_port}", "secret")
    assert act(3, "save", "known") and not act(0, "restore", "unknown")
    assert server.asked[0] == ("/slots/3?action=save", {"filename": "known"}, "Bearer secret")  # type: ignore[attr-defined]
    assert not over_http("http://127.0.0.1:9", "secret")(0, "save", "known")
