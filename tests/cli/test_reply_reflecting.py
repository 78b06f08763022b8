"""`harken reply --reflect`: what is shown of what the model thinks while it speaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from harken import api
from harken.cli import main
from harken.recipes import ReflectConfig
from harken.testing import FakeVoice, ScriptedLM, heard_turn

ANSWER = "Yes, go on then."
THOUGHT = "Sad?"
HOW = ReflectConfig(response_tokens=6, reflection_tokens=8, real_time=False)


@pytest.fixture(autouse=True)
def recording(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", (0.3 * np.sin(np.arange(16_000) / 20)).astype(np.float32), 16_000)


def model(reflection: str = THOUGHT, reflect: ReflectConfig | None = HOW) -> ScriptedLM:
    return ScriptedLM(
        lambda _: ANSWER, lambda _: heard_turn(width=1), reflect=reflect, reflection=lambda _: reflection
    )


def run(monkeypatch: pytest.MonkeyPatch, answering: ScriptedLM, *arguments: str) -> int:
    monkeypatch.setattr(api, "load", lambda *_, **__: api.Harken(answering, FakeVoice()))
    monkeypatch.setattr(api, "_open_voice", lambda *_: FakeVoice())
    return main(["reply", "a.wav", "--think", "off", *arguments])


def test_reflections_are_shown_between_the_chunks_of_the_reply(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run(monkeypatch, model(), "--reflect", "--show", "reflections") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = [line for line in lines if line[:1] in (["reply"], ["thinking"], ["thought"])]
    assert shown == [
        ["reply", "Yes,", "g"], ["thinking", THOUGHT], ["reply", "o", "on", "t"], ["thinking", THOUGHT],
        ["reply", "hen."], ["thought", "2", "times,", "8", "tokens"],
    ]  # fmt: skip


def test_what_is_cut_is_shown_and_counted(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, model("abcdefghijklm"), "--reflect", "--show", "reflections") == 0
    out = capsys.readouterr().out
    assert out.count("abcdefgh …") == 2 and "ijk" not in out and "2 times, 16 tokens, 2 cut" in out


def test_they_are_not_shown_unasked_and_what_there_was_no_time_for_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    hurried = HOW.model_copy(update={"real_time": True})  # it is one sentence: no sound before its end
    assert run(monkeypatch, model(reflect=hurried), "--reflect") == 0
    out = capsys.readouterr().out
    assert ANSWER in out and THOUGHT not in out
    assert "0 times, 0 tokens, 2 left out for want of time" in out


def test_json_has_them_where_they_were_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, model(), "--json") == run(monkeypatch, model(), "--json", "--reflect") == 0
    plain, reflecting = map(json.loads, capsys.readouterr().out.splitlines())
    assert "reflections" not in plain and plain["reply"] == reflecting["reply"] == ANSWER
    assert [(each["text"], each["closed"], each["limit"]) for each in reflecting["reflections"]] == [
        (THOUGHT, True, "length")
    ] * 2


def test_a_model_that_was_not_taught_to_reflect_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert run(monkeypatch, model(reflect=None), "--reflect") == 1
    told = capsys.readouterr()
    assert told.out == "" and "tiny has no tokens for reflections" in told.err and "`reflect`" in told.err


def test_nothing_can_be_shown_of_what_is_not_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, model(), "--show", "reflections") == 2
    assert "add --reflect" in capsys.readouterr().err
