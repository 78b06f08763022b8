"""The bench of the server, small and on fakes: what it counts, and that it comes to an end."""

from __future__ import annotations

import asyncio
import importlib
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Served, a_host, heard, served

from harken.bench import serving, serving_hardship, serving_many, serving_steps
from harken.bench.hostile import mutated
from harken.bench.speaker import Speaker
from harken.errors import MissingExtra
from harken.serving.limits import Limits
from harken.testing import FakeVoice, ScriptedLM, tiny_model

SAID = [(0.3 * np.sin(np.arange(8000) / 10)).astype(np.float32)]
"""Half a second."""


@dataclass
class Watched:
    """What the bench sees of a server's process."""

    running: Served
    log: Path
    alive: bool = True

    @property
    def url(self) -> str:
        return f"{self.running.url.replace('http', 'ws')}/realtime"

    def held_mb(self) -> float:
        return 100.0


def measured(measure: Any, tmp_path: Path, sessions: int = 20) -> dict[str, Any]:
    (tmp_path / "log").write_text("")
    model = ScriptedLM(lambda read: "Hm.</think>" if read.endswith("<think>\n") else "Go on.", heard)
    with served(a_host(Limits(sessions=sessions), model=model, voice=FakeVoice())) as running:
        found: dict[str, Any] = asyncio.run(measure(Watched(running, tmp_path / "log")))
    return found


def test_speakers_are_answered_and_their_replies_counted(tmp_path: Path) -> None:
    found = measured(lambda server: serving_many.speakers(server, 2, 0.1, SAID), tmp_path)
    assert found["replies"] == 2 and found["underruns"] == 0 and found["held_mb"] == 100.0
    assert found["first_audio_s"]["p50"] > 0


def test_speakers_who_are_not_answered_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def impatient(one: Speaker, until: Any) -> None:
        raise TimeoutError

    monkeypatch.setattr(Speaker, "quiet", impatient)
    found = measured(lambda server: serving_many.speakers(server, 2, 0.1, SAID), tmp_path)
    assert found["gave_up_waiting"] == 2 and found["replies"] == 0 and found["first_audio_s"] is None


def test_an_interruption_is_timed_from_the_first_sound(tmp_path: Path) -> None:
    found = measured(lambda server: serving_many.barge_in(server, 1, SAID), tmp_path)
    assert found["interruptions"] == 1 and found["not_heard"] == 0
    assert found["silent_after_s"]["p50"] > 0


def test_broken_events_are_answered_while_another_speaks(tmp_path: Path) -> None:
    found = measured(lambda server: serving_hardship.hostile(server, 80, SAID), tmp_path)
    assert found["events"] == 80 and found["alive"] and found["other_replies"] >= 1
    assert any(kind.startswith("error ") for kind in found["answered_with"])


def test_sessions_come_and_go(tmp_path: Path) -> None:
    found = measured(lambda server: serving_hardship.soak(server, 4, SAID), tmp_path)
    ended = found["sessions"]
    assert sum(ended.values()) == 20 + 4 + 4 + 4 and ended["completed"] >= 20 and "busy" not in ended
    assert found["grown"] == 0.0 and found["log_lines"] == []


def test_the_first_sound_through_the_socket_is_timed(tmp_path: Path) -> None:
    async def first(server: Watched) -> dict[str, Any]:
        return {"s": await serving._first_sound(server.url, SAID[0])}

    assert measured(first, tmp_path)["s"] > 0


def test_the_same_seed_breaks_the_same_events() -> None:
    ours, theirs = ([mutated(random.Random(3)) for _ in range(5)] for _ in range(2))
    assert ours == theirs


def test_there_is_something_to_say() -> None:
    assert all(len(samples) > 16_000 for samples in serving.said())


def test_a_token_of_several_replies_is_timed_both_ways() -> None:
    found = serving_steps.steps(tiny_model(), 2)
    assert found["in_one_pass"] is False
    for replies in range(1, 5):
        times = found[f"replies_{replies}"]
        assert times["in_turn_ms"]["p50"] > 0 and times["together_ms"]["p50"] > 0


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets", None)
    monkeypatch.delitem(sys.modules, "harken.bench.speaker")
    with pytest.raises(MissingExtra) as raised:
        importlib.import_module("harken.bench.speaker")
    assert raised.value.hint == "pip install 'harken[serve]'"
