"""Reflecting while speaking: what comes by turns, what can never come, and when there is no time or room."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.dialogue import reply as reply_loop
from harken.dialogue.conversation import Conversation
from harken.dialogue.decoding import stop_ids
from harken.dialogue.events import AudioChunk, Event, Reflected, ReflectionDelta, TextDelta
from harken.dialogue.own_speech import OwnSpeech
from harken.dialogue.pace import MARGIN, Pace
from harken.dialogue.reflection import MARKS
from harken.dialogue.render import AssistantTurn, UserTurn
from harken.dialogue.reply import ReplySettings, reply
from harken.dialogue.sampling import Sampling
from harken.errors import RecipeError
from harken.model.spoken_lm import Read, SpokenLM
from harken.recipes import ReflectConfig
from harken.testing import (
    REFLECT,
    REFLECTED,
    FakeVoice,
    ScriptedLM,
    spelled_words,
    tiny_model,
    tiny_own_voice,
)
from harken.voices.phonemes import SpokenWord

ANSWER = "That hurts a lot. I can see why."
THOUGHT = "A plan?"
CONFIG = ReflectConfig(response_tokens=12, reflection_tokens=10)
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def scripted(reflection: str = THOUGHT, answer: str = ANSWER) -> ScriptedLM:
    return ScriptedLM(lambda _: answer, reflect=CONFIG, reflection=lambda _: reflection)


def settings(seed: int | None = None, **changes: Any) -> ReplySettings:
    reflect = ReflectConfig(**CONFIG.model_dump() | changes)
    return ReplySettings(think="off", sampling=Sampling(seed), reflect=reflect)


def text_of(events: list[Event], kind: Any) -> str:
    return "".join(event.text for event in events if isinstance(event, kind))


def cycles(events: list[Event]) -> list[Reflected]:
    return [event for event in events if isinstance(event, Reflected)]


def kinds(events: list[Event]) -> list[str]:
    return [kind for kind, _ in itertools.groupby(type(event).__name__ for event in events)]


def listen_in(model: SpokenLM, on_read: Any) -> None:
    """Have `on_read(found, inputs, state, key_bias)` told all that a model reads."""
    plain = model.read

    def read(*given: Any) -> Read:
        found = plain(*given)
        on_read(found, *given, *[None] * (3 - len(given)))
        return found

    model.read = read  # type: ignore[method-assign]


def test_chunks_of_the_reply_and_reflections_come_by_turns_in_one_state() -> None:
    model = scripted()
    events = list(reply(Conversation(model), "Hi.", settings()))
    assert kinds(events) == [*["TextDelta", "ReflectionDelta", "Reflected"] * 2, "TextDelta", "Done"]
    chunks = [ANSWER[:12], ANSWER[12:24], ANSWER[24:-1]]  # the last token need not be read
    assert "".join(model.read_texts).endswith(f"{REFLECT}{THOUGHT}{REFLECTED}".join(chunks) + ".")
    assert text_of(events, TextDelta) == ANSWER == events[-1].reply
    told = [(c.text, c.tokens, c.allowed, c.limit, c.closed, c.ahead_ms) for c in cycles(events)]
    assert told == [(THOUGHT, len(THOUGHT), 10, "length", True, None)] * 2
    assert text_of(events, ReflectionDelta) == 2 * THOUGHT


def test_a_reflection_may_come_first_though_sound_waits_for_it() -> None:
    events = list(reply(Conversation(scripted()), "Hi.", settings(first="reflection"), FakeVoice()))
    assert kinds(events)[:3] == ["ReflectionDelta", "Reflected", "TextDelta"]
    assert (cycles(events)[0].limit, cycles(events)[0].allowed) == ("length", 10)
    assert events[-1].reply == ANSWER


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_what_is_said_after_a_reflection_follows_from_it_and_nothing_before_does(family: Any) -> None:
    model = tiny_model(family, reflect=CONFIG)
    plain = list(reply(Conversation(model), "Hi.", ReplySettings(think="off")))[-1].reply
    reflecting = list(reply(Conversation(model), "Hi.", settings(reflection_tokens=30)))
    before = text_of(reflecting[: reflecting.index(cycles(reflecting)[0])], TextDelta)
    assert plain.startswith(before) and len(before) >= 4
    assert reflecting[-1].reply != plain


class Anything(ScriptedLM):
    """Expects anything at all, and marks as much as is wished for; `ids` has all that was read last."""

    def __init__(self, seed: int, marks: float) -> None:
        super().__init__(lambda _: "", reflect=CONFIG)
        self._random, self._wish = torch.Generator().manual_seed(seed), marks
        self.ids: tuple[int, ...] = ()

    def read(self, *given: Any) -> Read:
        found = super().read(*given)
        logits = 3 * torch.randn(found.logits.shape, generator=self._random)
        logits[:, -2:] += self._wish
        self.ids = found.state.ids  # type: ignore[attr-defined]
        return found._replace(logits=logits)


@given(
    st.integers(0, 10_000), st.floats(-5, 30), st.integers(1, 20), st.integers(1, 12),
    st.sampled_from(["response", "reflection"]), st.booleans(),
)  # fmt: skip
def test_whatever_the_model_expects_reflections_are_never_reply_and_the_reply_never_holds_marks(
    seed: int, marks: float, response: int, reflection: int, first: str, drawn: bool
) -> None:
    model, voice = Anything(seed, marks), FakeVoice()
    how = settings(
        seed if drawn else None, response_tokens=response, reflection_tokens=reflection, first=first
    )
    conversation = Conversation(model)
    events = list(reply(conversation, "Hi.", how, voice))
    written = model.ids[len(model.tokenizer.encode("".join(model.read_texts[:2]))) :]
    said, reflected = [], list[list[int]]()
    inside = False
    for token in written:
        if token == model.marks.opening:
            assert not inside
            inside = True
            reflected.append([])
        elif token == model.marks.closing:
            assert inside
            inside = False
        else:
            assert token not in stop_ids(model.tokenizer)
            (reflected[-1] if inside else said).append(token)
    assert not inside and all(len(ids) <= reflection for ids in reflected)
    text = events[-1].reply
    assert text_of(events, TextDelta) == text
    assert text.startswith(model.tokenizer.decode(said).strip().rstrip("\ufffd").rstrip())
    assert REFLECT not in text and REFLECTED not in text
    assert [cycle.tokens for cycle in cycles(events) if cycle.allowed] == list(map(len, reflected))
    assert all(piece in text for piece, _ in voice.spoken)
    assert conversation.turns[1:] == ([AssistantTurn(text)] if text else [])


def test_a_model_that_can_reflect_and_is_not_told_to_writes_no_marks() -> None:
    model = Anything(0, marks=50.0)
    events = list(reply(Conversation(model), "Hi.", ReplySettings()))
    assert kinds(events)[-1] == "Done" and not {model.marks.opening, model.marks.closing} & set(model.ids)


def test_it_speaks_the_reply_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    heard_of: list[int] = []
    plain = OwnSpeech.read

    def pronounce(text: str) -> list[SpokenWord]:
        return [SpokenWord(word.start, word.end, "a" * len(word.symbols)) for word in spelled_words(text)]

    monkeypatch.setattr(reply_loop, "words", pronounce)
    monkeypatch.setattr(
        OwnSpeech, "read", lambda self, token, *more: (heard_of.append(token), plain(self, token, *more))
    )
    model = tiny_model(reflect=CONFIG)
    voice = tiny_own_voice(model.core)
    done = list(reply(Conversation(model), "Hi.", settings(real_time=False), voice))[-1]
    assert done.reply.startswith(model.tokenizer.decode(heard_of).strip().rstrip("\ufffd"))
    assert not {model.marks.opening, model.marks.closing} & set(heard_of) and len(heard_of) > 12


def all_logits(model: SpokenLM, how: ReplySettings) -> list[torch.Tensor]:
    logits: list[torch.Tensor] = []
    listen_in(model, lambda found, *_: logits.append(found.logits[0]))
    list(reply(Conversation(model), "Hi.", how))
    return logits


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_a_weight_of_1_changes_nothing_to_the_bit_and_another_does_from_the_first_reflection_on(
    family: Any,
) -> None:
    model, read = tiny_model(family, reflect=CONFIG), list[tuple[torch.Tensor, torch.Tensor, Any]]()
    listen_in(model, lambda found, inputs, state, _: read.append((inputs, found.logits, state)))
    list(reply(Conversation(model), "Hi.", settings(weight=1.0)))
    again = tiny_model(family, reflect=CONFIG)
    for inputs, logits, state in read:
        with torch.no_grad():
            assert torch.equal(again.read(inputs, state).logits, logits)
    weighed = all_logits(tiny_model(family, reflect=CONFIG), settings(weight=1.2))
    same = [torch.equal(one, logits[0]) for one, (_, logits, _) in zip(weighed, read, strict=False)]
    assert same.index(False) == 2 + 12  # the prompt in two, a chunk, and then the mark


def test_a_weight_is_on_the_last_chunk_of_the_other_kind() -> None:
    model, seen = scripted(), list[tuple[str, str]]()

    def on_read(found: Read, inputs: Any, state: Any, key_bias: torch.Tensor | None) -> None:
        ids = found.state.ids  # type: ignore[attr-defined]
        if key_bias is not None:
            assert len(key_bias) == len(ids)
            assert sorted({*key_bias.tolist()}) == pytest.approx([0.0, math.log(1.2)])
            leant_on = tuple(token for token, bias in zip(ids, key_bias, strict=True) if bias)
            seen.append((model._text(ids[-1:]), model._text(leant_on)))

    listen_in(model, on_read)
    list(reply(Conversation(model), "Hi.", settings(weight=1.2)))
    leaning = [
        (seen_at, [text for text, _ in run]) for seen_at, run in itertools.groupby(seen, lambda s: s[1])
    ]
    thought = f"{REFLECT}{THOUGHT}{REFLECTED}"
    assert [(on, "".join(texts)) for on, texts in leaning] == [
        (ANSWER[:12], thought), (thought, ANSWER[12:24]), (ANSWER[12:24], thought), (thought, ANSWER[24:]),
    ]  # fmt: skip


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_without_reflections_it_is_the_plain_reply_to_the_bit(family: Any) -> None:
    plain = all_logits(tiny_model(family), ReplySettings(think="off"))
    for how in (ReplySettings(think="off"), settings(reflection_tokens=0)):
        masked = all_logits(tiny_model(family, reflect=CONFIG), how)
        assert len(masked) == len(plain) > 4
        assert all(torch.equal(one[:-2], other) for one, other in zip(masked, plain, strict=True))


@pytest.mark.parametrize("voice", [FakeVoice(), None])
def test_breaking_in_drops_the_open_chunk_and_the_reflection(voice: Any) -> None:
    model = scripted()
    conversation = Conversation(model)
    events = reply(conversation, "Hi.", settings(real_time=False), voice)
    shown, sound = "", list[AudioChunk]()
    for event in events:
        shown += event.text if isinstance(event, TextDelta) else ""
        sound += [event] if isinstance(event, AudioChunk) else []
        if isinstance(event, ReflectionDelta) and len(shown) > 20:
            break
    steps = model.steps
    events.close()  # type: ignore[attr-defined]
    assert model.steps == steps
    kept = "That hurts a lot." if voice else ANSWER[:23]
    assert conversation.turns[1:] == [AssistantTurn(kept)]
    conversation.ask(UserTurn("Go on."))
    assert model.read_texts[-1].startswith(f"<|im_start|>assistant\n{kept}<|im_end|>\n<|im_start|>user\n")


def test_history_holds_the_reply_and_no_reflection() -> None:
    model = scripted()
    conversation = Conversation(model)
    list(reply(conversation, "Hi.", settings()))
    opening, _ = conversation.ask(UserTurn("And now?"))
    text = model._text(opening.state.ids)  # type: ignore[attr-defined]
    assert conversation.turns[1] == AssistantTurn(ANSWER) and ANSWER in text and REFLECT not in text


def test_a_reflection_that_does_not_close_is_cut_and_told_so() -> None:
    model = scripted(reflection=ALPHABET)
    events = list(reply(Conversation(model), "Hi.", settings()))
    assert [(c.text, c.tokens, c.closed) for c in cycles(events)] == [(ALPHABET[:10], 10, False)] * 2
    assert events[-1].reply == ANSWER
    assert f"{REFLECT}{ALPHABET[:10]}{REFLECTED}" in "".join(model.read_texts)


@pytest.mark.parametrize("answer", ["Yes.", ANSWER[:12]])
def test_a_reply_that_is_no_longer_than_a_chunk_is_not_reflected_on_twice(answer: str) -> None:
    events = list(reply(Conversation(scripted(answer=answer)), "Hi.", settings()))
    assert len(cycles(events)) == (len(answer) >= 12) and events[-1].reply == answer.strip()


def test_a_context_that_fills_up_cuts_reflections_short_and_never_the_reply() -> None:
    model, longest = scripted(reflection=ALPHABET), 0

    def on_read(found: Read, *_: Any) -> None:
        nonlocal longest
        longest = max(longest, found.state.length)

    asked = Conversation(model).ask(UserTurn("Hi."))[0].state.length
    conversation = Conversation(model, limit=asked + 48 + 64 + 32)  # what a reply and a trace need
    listen_in(model, on_read)
    events = list(reply(conversation, "Hi.", settings(response_tokens=2)))
    allowed = [(cycle.allowed, cycle.limit) for cycle in cycles(events)]
    assert allowed[0] == (10, "length") and allowed[-1] == (0, "context")
    assert len(allowed) == 16 and events[-1].reply == ANSWER
    assert conversation.limit - 12 < longest + 48 - len(ANSWER) <= conversation.limit


def test_a_model_without_the_tokens_says_what_is_missing() -> None:
    conversation = Conversation(tiny_model())
    with pytest.raises(RecipeError, match="tiny has no tokens for reflections: its recipe") as refused:
        list(reply(conversation, "Hi.", settings()))
    assert "`reflect`" in refused.value.hint and conversation.turns == []
    untaught = tiny_model(reflect=CONFIG)
    untaught.marks = None
    with pytest.raises(RecipeError, match="its checkpoint holds none"):
        list(reply(Conversation(untaught), "Hi.", settings()))


class Clock:
    """Stands still but for what is said to take time."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_pace_gives_what_is_ahead_without_what_has_to_stay() -> None:
    clock = Clock()
    pace = Pace(clock)
    clock.now_s += 0.4
    for _ in range(10):
        pace.read(1, 0.02)
    assert pace.hidden_tokens() == 0  # nothing can be hidden by silence
    pace.made(2.0)  # it took 0.4 s
    clock.now_s += 0.5
    assert pace.ahead_s == pytest.approx(1.5) and pace.reserve_s == pytest.approx(MARGIN * 0.4)
    assert pace.tokens_per_s == pytest.approx(50)
    assert pace.hidden_tokens() == int((1.5 - MARGIN * 0.4) * 50)
    clock.now_s += 0.8
    pace.stood_aside(0.8)
    pace.made(1.0)  # 0.5 s of work
    assert pace.reserve_s == pytest.approx(MARGIN * 0.5) and pace.ahead_s == pytest.approx(1.7)
    clock.now_s += 5.0
    assert (pace.ahead_s, pace.hidden_tokens()) == (0.0, 0)


@pytest.mark.parametrize(("token_ms", "least", "most"), [(1, 10, 10), (26, 6, 9), (60, 0, 0)])
def test_sound_hides_reflections_of_a_length_that_the_machine_is_fast_enough_for(
    token_ms: float, least: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(reply_loop, "Pace", functools.partial(Pace, clock))
    model = scripted(reflection=ALPHABET)

    def on_read(*_: Any) -> None:
        clock.now_s += token_ms / 1000

    listen_in(model, on_read)
    events = list(reply(Conversation(model), "Hi.", settings(), FakeVoice()))
    before, after = cycles(events)  # the first sound comes between them
    assert (before.allowed, before.limit, before.ahead_ms) == (0, "playback", 0.0)
    assert least <= after.allowed <= most and after.tokens == after.allowed
    assert after.ahead_ms is not None and after.reserve_ms is not None
    hidden = int((after.ahead_ms - after.reserve_ms) / 1000 * after.tokens_per_s) - MARKS
    assert after.allowed == (min(hidden, 10) if hidden >= 6 else 0)
    assert after.limit == ("length" if hidden >= 10 else "playback")
    assert events[-1].reply == ANSWER


def test_where_time_does_not_matter_reflections_have_their_length() -> None:
    for how, voice in ((settings(real_time=False), FakeVoice()), (settings(), None)):
        events = list(reply(Conversation(scripted(reflection=ALPHABET)), "Hi.", how, voice))
        assert [(c.allowed, c.ahead_ms) for c in cycles(events)] == [(10, None)] * 2
