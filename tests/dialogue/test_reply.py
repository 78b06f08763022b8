"""The stream of events of one reply: their order, their times, and what stays of a reply that is cut off."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from harken.dialogue.conversation import Conversation
from harken.dialogue.events import Attribution, AudioChunk, Done, Heard, Notice, TextDelta, TraceDelta
from harken.dialogue.guard import Care
from harken.dialogue.render import THINK_CLOSE, THINK_OPEN, AssistantTurn, UserTurn
from harken.dialogue.reply import ReplySettings, reply, say
from harken.dialogue.sampling import Sampling
from harken.testing import FakeVoice, ScriptedLM, heard_turn, tiny_model

SAMPLES = np.zeros(16000, np.float32)
ANSWER = "That hurts a lot. I can see why."  # no four bytes twice: here the guard against loops counts bytes
TRACE = 'The speaker feels sad because: "I lost"'


def script(text):
    return TRACE + THINK_CLOSE if text.endswith("<think>\n") else ANSWER


def model(**heard):
    return ScriptedLM(script, lambda samples: heard_turn(width=1, **heard))


def kinds(events):
    """Event names, each run of one kind once."""
    names = [type(event).__name__ for event in events]
    return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]


def text_of(events, kind):
    return "".join(event.text for event in events if isinstance(event, kind))


def test_after_the_answer_is_out_before_the_trace_is_begun():
    conversation = Conversation(model())
    events = list(reply(conversation, SAMPLES, voice=FakeVoice()))
    assert kinds(events) == [
        "Heard", "TextDelta", "AudioChunk", "TextDelta", "AudioChunk", "TraceDelta", "Attribution", "Done",
    ]  # fmt: skip
    done = events[-1]
    assert (
        (text_of(events, TextDelta), text_of(events, TraceDelta))
        == (ANSWER, TRACE)
        == (done.reply, done.trace)
    )
    assert done.attribution == Attribution("sad", "I lost") == events[-2]
    assert 0 < done.timings_ms["first_text"] < done.timings_ms["first_audio"] < done.timings_ms["total"]
    opened = next(i for i, text in enumerate(conversation.model.read_texts) if THINK_OPEN in text)
    assert "".join(conversation.model.read_texts[2:opened]) == ANSWER


def test_before_thinks_first_and_answers_after_the_closed_block():
    conversation = Conversation(model())
    events = list(reply(conversation, SAMPLES, ReplySettings(think="before"), FakeVoice()))
    assert kinds(events)[:4] == ["Heard", "TraceDelta", "Attribution", "TextDelta"]
    assert f"{THINK_OPEN}{TRACE}{THINK_CLOSE}" in conversation.model.read_texts
    assert events[-1].reply == ANSWER and events[-1].attribution.cause == "I lost"


def test_off_does_not_think():
    conversation = Conversation(model())
    events = list(reply(conversation, SAMPLES, ReplySettings(think="off")))
    assert kinds(events) == ["Heard", "TextDelta", "Done"]
    assert (events[-1].trace, events[-1].attribution) == ("", Attribution(None, None))
    assert not any("<think>" in text for text in conversation.model.read_texts)
    assert "first_audio" not in events[-1].timings_ms


@pytest.mark.parametrize("think", ("after", "before", "off"))
def test_history_holds_no_trace_whatever_the_mode(think):
    conversation = Conversation(model())
    list(reply(conversation, SAMPLES, ReplySettings(think=think)))
    assert [type(turn) for turn in conversation.turns] == [UserTurn, AssistantTurn]
    assert conversation.turns[1].text == ANSWER
    conversation.ask(UserTurn("And now?"))
    assert conversation.model.read_texts[-1].startswith(
        f"<|im_start|>assistant\n{ANSWER}<|im_end|>\n<|im_start|>user\n"
    )


def test_text_is_answered_without_hearing_and_an_instruction_stands_before_it():
    conversation = Conversation(model())
    events = list(reply(conversation, "I lost.", ReplySettings(think="off", instruction="Answer warmly.")))
    assert kinds(events) == ["TextDelta", "Done"]
    assert "<|im_start|>user\nAnswer warmly.\nI lost.<|im_end|>\n" in conversation.model.read_texts[1]


def test_sentences_are_spoken_whole_and_gently_to_the_sad():
    voice, plain = FakeVoice(), FakeVoice()
    events = list(reply(Conversation(model()), SAMPLES, voice=voice))
    list(reply(Conversation(model(emotion="neutral")), SAMPLES, voice=plain))
    assert [text for text, _ in voice.spoken] == ["That hurts a lot.", "I can see why."]
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    assert chunks[-1].text_end == len(ANSWER)
    assert all(a.end_ms == b.start_ms and a.text_end < b.text_end for a, b in pairwise(chunks))
    assert chunks[-1].end_ms == pytest.approx(sum(len(c.samples) for c in chunks) / 8)
    assert voice.spoken[0][1].speed < plain.spoken[0][1].speed


def test_chunks_within_a_sentence_cover_its_text_bit_by_bit():
    events = list(reply(Conversation(model()), SAMPLES, voice=FakeVoice(chunk_s=0.2)))
    ends = [event.text_end for event in events if isinstance(event, AudioChunk)]
    assert len(ends) > 4 and ends == sorted(ends) and ends[-1] == len(ANSWER)


@pytest.mark.parametrize("heard", ({"confidence": 0.2}, {"transcript": " "}))
def test_words_that_were_not_caught_get_one_clear_line_and_no_answer(heard):
    conversation = Conversation(model(**heard))
    voice = FakeVoice()
    events = list(reply(conversation, SAMPLES, voice=voice))
    assert kinds(events) == ["Heard", "Notice", "TextDelta", "AudioChunk", "Done"]
    assert events[0].emotion == "sad" and events[0].transcript is None
    assert events[-1].reply == (
        "I can hear that you may feel sad, but I did not catch the words. Could you say it again in English?"
    )
    assert "".join(text + " " for text, _ in voice.spoken).strip() == events[-1].reply
    assert conversation.turns == []
    assert len(conversation.model.read_texts) == 1  # nothing but the system prompt


def stopping_at(words):
    """A guard that says Stop. once these words are in the reply, and what it was asked."""
    asked = []

    def guard(exchange):
        asked.append(exchange)
        return "Stop. Talk to people." if words in exchange.reply else None

    return guard, asked


@pytest.mark.parametrize("confidence", (0.9, 0.2))
def test_a_turn_about_danger_gets_the_fixed_answer_and_the_model_writes_none(confidence):
    conversation = Conversation(model(transcript="I want to die.", confidence=confidence))
    voice = FakeVoice()
    events = list(reply(conversation, SAMPLES, voice=voice, guard=Care()))
    told = events[-1].reply
    assert "emergency number" in told and text_of(events, TextDelta) == told
    assert " ".join(text for text, _ in voice.spoken) == told
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    assert chunks[-1].text_end == len(told) and all(a.end_ms == b.start_ms for a, b in pairwise(chunks))
    assert ANSWER not in "".join(conversation.model.read_texts)
    assert conversation.turns[1:] == ([AssistantTurn(told)] if confidence > 0.5 else [])
    understood = [event for event in events if isinstance(event, Attribution)]
    assert understood == ([Attribution("sad", "I lost")] if confidence > 0.5 else [])


def test_a_written_turn_about_danger_gets_the_fixed_answer():
    events = list(reply(Conversation(model()), "I want to die.", ReplySettings(think="off"), guard=Care()))
    assert kinds(events) == ["Notice", "TextDelta", "Done"] and "emergency number" in events[-1].reply


def test_a_guard_sees_the_turn_then_the_attribution_and_the_reply_as_it_grows():
    guard, asked = stopping_at("never")
    events = list(reply(Conversation(model()), SAMPLES, ReplySettings(think="before"), guard=guard))
    assert events[-1].reply == ANSWER
    first = asked[0]
    assert (first.said, first.heard, first.attribution) == (
        "I lost my job.", events[0], Attribution("sad", "I lost")
    )  # fmt: skip
    replies = [exchange.reply for exchange in asked]
    assert replies[0] == "" and replies[-1] == ANSWER and replies == sorted(replies, key=len)


def test_words_that_the_guard_objects_to_are_neither_shown_nor_spoken():
    guard, _ = stopping_at("see")
    conversation, voice = Conversation(model()), FakeVoice()
    events = list(reply(conversation, SAMPLES, voice=voice, guard=guard))
    told = "That hurts a lot. I can se … Stop. Talk to people."
    assert events[-1].reply == told == text_of(events, TextDelta)
    assert [text for text, _ in voice.spoken] == ["That hurts a lot.", "… Stop. Talk to people."]
    assert conversation.turns[1] == AssistantTurn(told)
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    assert chunks[-1].text_end == len(told) and chunks[0].end_ms == chunks[1].start_ms > 0
    assert conversation.interrupted_at(chunks[0].end_ms) == "That hurts a lot."


def misheard():
    """A model whose thoughts alone speak of danger."""
    thoughts = 'The speaker feels sad because: "I want to die"'
    return ScriptedLM(
        lambda text: thoughts + THINK_CLOSE if text.endswith("<think>\n") else ANSWER,
        lambda samples: heard_turn("I wan to dye.", width=1),
    )


def test_a_cause_that_speaks_of_danger_brings_the_fixed_answer_after_the_reply():
    conversation, voice = Conversation(misheard()), FakeVoice()
    done = list(reply(conversation, SAMPLES, voice=voice, guard=Care()))[-1]
    assert done.reply.startswith(f"{ANSWER} I am really glad") and "emergency number" in done.reply
    assert voice.spoken[2][0].startswith("I am really glad")
    assert conversation.turns[1] == AssistantTurn(done.reply)


@pytest.mark.parametrize("chunks", (0, 2))
def test_closing_while_the_fixed_answer_comes_late_keeps_the_reply_and_what_was_spoken_of_it(chunks):
    conversation = Conversation(misheard())
    events = reply(conversation, SAMPLES, voice=FakeVoice(), guard=Care())
    while not (isinstance(event := next(events), TextDelta) and "glad" in event.text):
        pass
    spoken = [next(events) for _ in range(chunks)]
    events.close()
    whole = ANSWER + event.text
    assert conversation.turns[1] == AssistantTurn(whole[: spoken[-1].text_end] if spoken else ANSWER)


def test_unsure_gender_is_not_guessed_and_long_recordings_are_announced():
    heard = heard_turn(width=1, seconds=3600.0, words_from_s=3300.0)
    heard.gender = {"female": 0.55, "male": 0.45}
    events = list(reply(Conversation(model()), heard))
    assert isinstance(events[0], Heard) and events[0].gender is None
    assert isinstance(events[1], Notice) and "60 minutes" in events[1].text and "55.0 min" in events[1].text


def test_forgotten_turns_are_announced():
    conversation = Conversation(model(), limit=300)
    notices = []
    for _ in range(4):
        events = list(reply(conversation, "I lost my job and my house.", ReplySettings(think="off")))
        notices += [event for event in events if isinstance(event, Notice)]
    assert notices and "oldest turns" in notices[0].text


def test_closing_stops_within_a_step_and_keeps_what_was_shown():
    conversation = Conversation(model())
    events = reply(conversation, SAMPLES)
    shown = ""
    for event in events:
        shown += event.text if isinstance(event, TextDelta) else ""
        if len(shown) >= 6:
            break
    steps = conversation.model.steps
    events.close()
    assert conversation.model.steps == steps
    assert conversation.turns[-1] == AssistantTurn(shown)


def test_closing_a_spoken_reply_keeps_what_was_spoken():
    conversation = Conversation(model())
    events = reply(conversation, SAMPLES, voice=FakeVoice())
    chunk = next(event for event in events if isinstance(event, AudioChunk))
    events.close()
    kept = conversation.turns[-1].text
    assert kept == ANSWER[: chunk.text_end]
    assert conversation.interrupted_at(chunk.end_ms / 2) == "That"
    list(reply(conversation, "Go on.", ReplySettings(think="off")))  # and the conversation goes on
    assert conversation.turns[-1].text == ANSWER


@pytest.mark.parametrize(
    "second",
    (
        lambda conversation, unsure: list(reply(conversation, unsure, voice=FakeVoice())),  # not understood
        lambda conversation, unsure: next(reply(conversation, unsure)),  # stopped before anything was said
        lambda conversation, unsure: list(say(conversation, "I am here. Go on.", FakeVoice())),
    ),
)
def test_interrupting_what_is_not_kept_leaves_the_reply_before_it_alone(second):
    conversation = Conversation(model())
    list(reply(conversation, SAMPLES, voice=FakeVoice()))
    before = conversation.turns
    second(conversation, heard_turn(width=1, confidence=0.2))
    assert conversation.interrupted_at(300) == ""
    assert conversation.turns == before and before[-1] == AssistantTurn(ANSWER)


def test_closing_before_anything_was_said_keeps_the_users_turn_alone():
    conversation = Conversation(model())
    events = reply(conversation, SAMPLES, voice=FakeVoice())
    while not isinstance(next(events), TextDelta):
        pass
    events.close()
    assert [type(turn) for turn in conversation.turns] == [UserTurn]


def test_closing_during_the_trace_keeps_the_whole_answer():
    conversation = Conversation(model())
    events = reply(conversation, SAMPLES, voice=FakeVoice())
    while not isinstance(next(events), TraceDelta):
        pass
    events.close()
    assert conversation.turns[-1] == AssistantTurn(ANSWER)


def test_a_voice_that_fails_leaves_a_conversation_that_goes_on():
    class Mute(FakeVoice):
        def speak(self, text, style=None):
            raise OSError("no sound card")
            yield

    conversation = Conversation(model())
    with pytest.raises(OSError, match="sound card"):
        list(reply(conversation, SAMPLES, voice=Mute()))
    assert [type(turn) for turn in conversation.turns] == [UserTurn]
    assert list(reply(conversation, SAMPLES))[-1].reply == ANSWER


def test_a_trace_that_states_nothing_attributes_nothing():
    quiet = ScriptedLM(lambda text: "Hm." + THINK_CLOSE if text.endswith("<think>\n") else ANSWER)
    done = list(reply(Conversation(quiet), "Hi."))[-1]
    assert (done.trace, done.attribution) == ("Hm.", Attribution(None, None))


@pytest.mark.parametrize("family", ("llama", "qwen2", "qwen3"))
def test_the_same_seed_gives_the_same_events_and_the_reply_does_not_depend_on_thinking(family):
    def run(seed, think):
        events = list(
            reply(Conversation(tiny_model(family)), SAMPLES, ReplySettings(think, None, Sampling(seed)))
        )
        assert isinstance(events[-1], Done)
        return events[-1].reply, events[-1].trace

    assert run(7, "after") == run(7, "after")
    assert run(None, "after") == run(None, "after")
    assert run(7, "after")[0] == run(7, "off")[0]
    assert run(7, "after") != run(8, "after")


def test_a_text_that_is_given_is_said_and_not_kept():
    conversation, voice = Conversation(ScriptedLM(lambda _: "Yes.")), FakeVoice()
    events = list(say(conversation, "I am here. Go on.", voice))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["I am here. Go on."]
    assert [text for text, _ in voice.spoken] == ["I am here. Go on."]
    assert isinstance(events[-1], Done) and events[-1].reply == "I am here. Go on."
    assert conversation.turns == []
