"""Replies that are made by turns and read together: each as it would be alone, none held up by another."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from itertools import zip_longest
from typing import Any, cast

import pytest
import torch

import harken
from harken.bench.recording import EXAMPLES
from harken.dialogue.conversation import Conversation
from harken.dialogue.events import Event, TextDelta, TraceDelta
from harken.dialogue.reply import ReplySettings, reply
from harken.dialogue.together import Together
from harken.model import quick_layer
from harken.model.quick_layer import quicken
from harken.model.spoken_lm import SpokenLM
from harken.recipes import ReflectConfig
from harken.testing import ScriptedLM, tiny_model

ANSWER = "That hurts a lot. I can see why."  # no four bytes twice: here the guard against loops counts bytes
TURNS = ("Hi.", "I lost my job.", "Nobody called me back, and I have waited for a whole week.")


class Counted(ScriptedLM):
    """`read_at_once`: of how many replies a token each was read together."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.read_at_once: list[int] = []

    def read_each(self, inputs: Any, states: Any) -> Any:
        self.read_at_once.append(len(states))
        return super().read_each(inputs, states)


def texts(events: Sequence[Event]) -> tuple[str, str]:
    """The reply, and the trace."""
    return tuple("".join(e.text for e in events if isinstance(e, kind)) for kind in (TextDelta, TraceDelta))  # type: ignore[return-value]


def begun(
    model: SpokenLM, turns: Sequence[str], together: Together | None, settings: ReplySettings | None = None
) -> list[Iterator[Event]]:
    settings = settings or ReplySettings()
    return [reply(Conversation(model), turn, settings, together=together) for turn in turns]


def by_turns(replies: Sequence[Iterator[Event]]) -> list[tuple[str, str]]:
    """An event of each in turn, until all have ended."""
    told = list(zip_longest(*replies))
    return [texts([event for event in events if event]) for events in zip(*told, strict=True)]


@pytest.fixture
def quick_model(monkeypatch: pytest.MonkeyPatch) -> SpokenLM:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(quick_layer, "MULTIPLE", 8)
    model = tiny_model()
    quicken(model.core)
    assert model.core.reads_each
    return model


def test_each_is_to_the_token_what_it_is_alone(
    quick_model: SpokenLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [texts(list(events)) for (events,) in (begun(quick_model, [turn], None) for turn in TURNS)]
    assert len(set(alone)) == len(TURNS) and all(reply and trace for reply, trace in alone)
    passes: list[int] = []
    each = quick_model.core.each
    monkeypatch.setattr(
        quick_model.core, "each", lambda rows, states: passes.append(len(rows)) or each(rows, states)
    )
    assert by_turns(begun(quick_model, TURNS, Together(quick_model))) == alone
    assert passes.count(3) > 20, "tokens of all three were read in one pass"


@pytest.mark.parametrize("family", ("llama", "qwen2", "qwen3"))
def test_layers_that_are_not_quick_read_one_after_the_other(family: Any) -> None:
    model = tiny_model(family)
    alone = [texts(list(events)) for (events,) in (begun(model, [turn], None) for turn in TURNS)]
    assert by_turns(begun(model, TURNS, Together(model))) == alone


def test_no_more_than_may_be_are_read_at_once_and_all_get_their_turn() -> None:
    model = Counted(lambda _: ANSWER)
    settings = ReplySettings(think="off")
    told = by_turns(begun(model, ["Hi."] * 6, Together(model, most=4), settings))
    assert told == [(ANSWER, "")] * 6
    assert max(model.read_at_once) == 4 and sum(model.read_at_once) == 6 * len(ANSWER)


def test_one_that_is_left_is_read_no_more_and_the_others_go_on() -> None:
    model = Counted(lambda _: ANSWER)
    together = Together(model)
    left, *others = begun(model, ["Hi."] * 3, together, ReplySettings(think="off"))
    for events in (left, *others, left, *others):
        next(events)
    cast(Generator[Event, None, None], left).close()
    model.read_at_once.clear()
    for events in others:
        list(events)
    assert max(model.read_at_once) == 2
    reading = begun(model, ["Hi."], together, ReplySettings(think="off"))
    model.read_at_once.clear()
    assert by_turns(reading) == [(ANSWER, "")] and set(model.read_at_once) == {1}


def test_one_that_cannot_be_read_on_fails_and_the_rest_end_well() -> None:
    class Breaks(ScriptedLM):
        def read(self, inputs: Any, state: Any = None, key_bias: Any = None) -> Any:
            if len(inputs[0]) == 1 and "Break." in self._text(state.ids):
                raise MemoryError("all of it")
            return super().read(inputs, state, key_bias)

    model = Breaks(lambda _: ANSWER)
    first, broken, last = begun(
        model, ["Hi.", "Break.", "Hello."], Together(model, most=1), ReplySettings(think="off")
    )
    next(first), next(broken), next(last)
    with pytest.raises(MemoryError):
        next(broken)
    assert texts(list(first))[0] == ANSWER[1:] and texts(list(last))[0] == ANSWER[1:]


def test_one_that_reflects_goes_alone() -> None:
    how = ReflectConfig(response_tokens=10, reflection_tokens=8, real_time=False)
    model = Counted(lambda _: ANSWER, reflect=how, reflection=lambda _: "Sad?")
    settings = ReplySettings(think="off", reflect=how)
    assert by_turns(begun(model, ["Hi."] * 2, Together(model), settings)) == [(ANSWER, "")] * 2
    assert model.read_at_once == []


@pytest.mark.weights
def test_mini_answers_two_at_once_as_it_answers_each() -> None:
    model = harken.load("mini", voice=None).model
    settings = ReplySettings(think="off", max_reply_tokens=16)
    said = [model.hear(harken.api.read_audio(EXAMPLES / f"{name}.wav").samples) for name in ("sad", "angry")]

    def replies(together: Together | None) -> list[Iterator[Event]]:
        return [reply(Conversation(model), turn, settings, together=together) for turn in said]

    alone = [texts(list(events)) for events in replies(None)]
    assert alone[0] != alone[1] and by_turns(replies(Together(model))) == alone
