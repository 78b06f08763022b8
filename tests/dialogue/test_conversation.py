"""What a conversation has read is what training renders, however it came about."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harken.dialogue.conversation import Conversation, Prefix, embed_segments, spoken_text
from harken.dialogue.events import AudioChunk
from harken.dialogue.render import AssistantTurn, UserTurn, render
from harken.errors import InputError
from harken.testing import ScriptedLM, heard_turn, tiny_model

FAMILIES = ("llama", "qwen2", "qwen3")


def same_segments(ours, expected):
    assert len(ours) == len(expected)
    for mine, theirs in zip(ours, expected, strict=True):
        assert type(mine) is type(theirs)
        assert torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs


def sound(*chunks):
    return [
        AudioChunk(np.zeros(1, np.float32), 8000, start, end, text_end) for start, end, text_end in chunks
    ]


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_incremental_reading_gives_the_logits_of_reading_all_at_once(family):
    model = tiny_model(family)
    conversation = Conversation(model)
    turns = [
        UserTurn(heard_turn("My dog died.").embeddings),
        AssistantTurn("I am so sorry."),
        UserTurn(heard_turn("Thank you").embeddings, "Answer warmly."),
        AssistantTurn("Of course."),
        UserTurn("What now?"),
    ]
    for number, turn in enumerate(turns, 1):
        if isinstance(turn, AssistantTurn):
            conversation.answer(turn.text)
            continue
        opening, dropped = conversation.ask(turn)
        expected = render(turns[:number], model.tokenizer, model.recipe.system)
        logits, state, _ = model.read(embed_segments(model, expected)[None])
        torch.testing.assert_close(opening.logits, logits[0], rtol=1e-4, atol=1e-4)
        assert (dropped, opening.state.length) == (0, state.length)
        same_segments(conversation.segments, expected[:-1])
    assert conversation.turns == turns


def test_every_position_is_read_once():
    model = ScriptedLM(lambda _: "Yes.")
    conversation = Conversation(model)
    conversation.ask(UserTurn(heard_turn("Hello there", width=1).embeddings))
    conversation.answer("Yes.")
    conversation.ask(UserTurn("And now?"))
    assert model.read_texts == [
        "<|im_start|>system\nBe kind.<|im_end|>\n",
        "<|im_start|>user\n···<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n",
    ]


def test_a_system_prompt_is_read_once_for_all_conversations():
    model = ScriptedLM(lambda _: "Yes.")
    prefix = Prefix.read(model, "Be brief.")
    for _ in range(3):
        Conversation(model, prefix).ask(UserTurn("Hi."))
    assert sum("Be brief." in text for text in model.read_texts) == 1


@torch.no_grad()
def test_when_the_context_is_full_the_oldest_turns_go_and_the_rest_is_read_anew():
    model = tiny_model()
    conversation = Conversation(model, limit=400)
    dropped = []
    for number in range(6):
        opening, gone = conversation.ask(UserTurn(f"This is what I say in turn number {number}."))
        dropped.append(gone)
        assert opening.state.length <= 400 - model.recipe.max_reply_tokens - model.recipe.max_trace_tokens
        expected = render(conversation.turns, model.tokenizer, model.recipe.system)
        logits, _, _ = model.read(embed_segments(model, expected)[None])
        torch.testing.assert_close(opening.logits, logits[0], rtol=1e-4, atol=1e-4)
        conversation.answer("I see.")
    assert any(dropped) and not all(dropped[1:])  # room is made for more than one turn at a time
    assert isinstance(conversation.turns[0], UserTurn)
    assert conversation.turns[-2].content.endswith("number 5.")


def test_a_turn_longer_than_the_context_is_refused_and_changes_nothing():
    conversation = Conversation(ScriptedLM(lambda _: "Yes.", positions=300))
    conversation.ask(UserTurn("Hi."))
    conversation.answer("Yes.")
    before = conversation.segments
    with pytest.raises(InputError, match=r"tokens long, the model can read \d+"):
        conversation.ask(UserTurn("word " * 100))
    same_segments(conversation.segments, before)


def test_a_system_prompt_longer_than_the_context_is_refused_and_not_read():
    model = ScriptedLM(lambda _: "Yes.", positions=300)
    with pytest.raises(InputError, match=r"instructions are 1\d\d tokens long, the model can read 156"):
        Prefix.read(model, "word " * 30)
    assert model.read_texts == []
    Prefix.read(model, "word " * 25)


def test_a_failed_reading_takes_the_turn_back():
    model = ScriptedLM(lambda _: "Yes.")
    conversation = Conversation(model)
    working, model.read = model.read, lambda *_: (_ for _ in ()).throw(MemoryError)
    with pytest.raises(MemoryError):
        conversation.ask(UserTurn("Hi."))
    model.read = working
    conversation.ask(UserTurn("Again."))
    assert conversation.turns == [UserTurn("Again.")]


def test_an_interrupted_reply_is_kept_as_far_as_it_was_heard():
    conversation = Conversation(ScriptedLM(lambda _: "Yes."))
    conversation.ask(UserTurn("Hi."))
    conversation.answer("I am here. Tell me more.", sound((0, 1000, 10), (1000, 2000, 24)))
    assert conversation.interrupted_at(1600) == "I am here. Tell me"
    assert conversation.turns == [UserTurn("Hi."), AssistantTurn("I am here. Tell me")]
    assert conversation.interrupted_at(200) == "I"
    assert conversation.interrupted_at(0) == ""
    assert conversation.turns == [UserTurn("Hi.")]
    assert conversation.interrupted_at(0) == ""


@pytest.mark.parametrize(
    ("played_ms", "heard"),
    (
        (0, ""),
        (999, "I am"),
        (1000, "I am here."),
        (1500, "I am here. Tell"),
        (1999, "I am here. Tell me"),
        (5000, "I am here. Tell me more."),
    ),
)
def test_what_was_spoken_by_a_moment_is_whole_words(played_ms, heard):
    chunks = sound((0, 1000, 10), (1000, 2000, 24))
    assert spoken_text("I am here. Tell me more.", chunks, played_ms) == heard


@pytest.mark.parametrize(
    ("text", "share", "heard"),
    (
        ("我在这里，请慢慢说。", 0.0, ""),
        ("我在这里，请慢慢说。", 0.4, "我在这里"),
        ("我在这里，请慢慢说。", 0.55, "我在这里，"),
        ("他打NBA吗？", 0.5, "他打"),
        ("他打NBA吗？", 0.75, "他打NBA"),
        ("First this.\nThen that.", 0.6, "First this."),
        ("First this.\n\nThen that.", 0.5, "First this."),
    ),
)
def test_words_end_where_the_language_and_the_line_end_them(text, share, heard):
    assert spoken_text(text, sound((0, 1000, len(text))), 1000 * share) == heard


@torch.no_grad()
def test_a_history_that_was_changed_is_read_from_where_it_changed():
    model = tiny_model()
    conversation = Conversation(model)
    first, second = (
        UserTurn(heard_turn("My dog died.").embeddings),
        UserTurn(heard_turn("Thank you").embeddings),
    )
    for turn, answer in ((first, "I am sorry."), (second, "Of course.")):
        conversation.ask(turn)
        conversation.answer(answer)
    histories = (
        [first, AssistantTurn("I am sorry."), second, AssistantTurn("Of course.")],  # as it is
        [first, AssistantTurn("I am sorry."), second, AssistantTurn("Of")],
        [first, AssistantTurn("I am"), second],
        [UserTurn("Hello?"), first, AssistantTurn("I am sorry.")],
        [],
    )
    for history in histories:
        conversation.remember(history)
        opening, _ = conversation.ask(UserTurn("What now?"))
        expected = render([*history, UserTurn("What now?")], model.tokenizer, model.recipe.system)
        logits, state, _ = model.read(embed_segments(model, expected)[None])
        torch.testing.assert_close(opening.logits, logits[0], rtol=1e-4, atol=1e-4)
        assert opening.state.length == state.length


def test_what_stays_of_a_history_is_not_read_again():
    model = ScriptedLM(lambda _: "Yes.")
    conversation = Conversation(model)
    said = UserTurn(heard_turn("Hello there", width=1).embeddings)
    conversation.ask(said)
    conversation.answer("Yes, I am here.")
    conversation.remember([said, AssistantTurn("Yes")])
    conversation.ask(UserTurn("And now?"))
    assert model.read_texts[-1] == (
        "<|im_start|>assistant\nYes<|im_end|>\n<|im_start|>user\nAnd now?<|im_end|>\n<|im_start|>assistant\n"
    )
