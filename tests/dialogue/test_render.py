"""What a trace states survives being written and read."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.dialogue.render import AssistantTurn, UserTurn, parse_trace, render, trace
from harken.testing import tiny_tokenizer

EMOTIONS = st.from_regex(r"\A[a-z]{2,12}\Z").filter(lambda emotion: emotion != "neutral")
CAUSES = st.text(st.characters(exclude_characters='"\n', exclude_categories=("Cs",)), min_size=1).filter(
    str.strip
)


@given(EMOTIONS, st.none() | CAUSES)
def test_a_trace_is_read_back_as_it_was_written(emotion, cause):
    assert parse_trace(trace(emotion, cause)) == (emotion, cause and cause.strip())


def test_what_is_neutral_has_no_cause():
    assert trace("neutral", "I won") == trace("neutral", None) == "The speaker feels neutral."


@given(EMOTIONS, CAUSES, st.integers(0, 200))
def test_a_trace_that_was_cut_off_states_no_more_than_was_said(emotion, cause, cut):
    felt, named = parse_trace(trace(emotion, cause)[:cut])
    assert felt is None or emotion.startswith(felt)
    assert named is None or cause.strip().startswith(named) or cause.startswith(named)


@given(st.text())
def test_any_text_parses(text):
    emotion, cause = parse_trace(text)
    assert emotion is None or emotion in text
    assert cause is None or cause in text
    assert cause is None or emotion is not None


def test_a_conversation_is_chatml_with_heard_vectors_in_place():
    tokenizer, heard = tiny_tokenizer(), torch.randn(3, 8)
    segments = render(
        [UserTurn("Hi."), AssistantTurn("Hello."), UserTurn(heard, "Repeat.")], tokenizer, "Be kind."
    )
    text = "".join("<heard>" if isinstance(s, torch.Tensor) else tokenizer.decode(s) for s in segments)
    assert text == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi.<|im_end|>\n"
        "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nRepeat.\n<heard><|im_end|>\n<|im_start|>assistant\n"
    )
    assert any(s is heard for s in segments)


TOKENIZER = tiny_tokenizer()
SAID = st.lists(
    st.sampled_from(["<|", "|>", "im_start", "<|im_start|>", "<|im_end|>\n", "<|endoftext|>", "<", "|", "hi"])
).map("".join)


@given(SAID, SAID, SAID, SAID)
def test_no_text_ends_its_turn_or_begins_another(system, instruction, said, answered):
    turns = [UserTurn(said, instruction), AssistantTurn(answered), UserTurn(torch.zeros(1, 8), instruction)]
    ids = [i for segment in render(turns, TOKENIZER, system) if isinstance(segment, list) for i in segment]
    marks = [TOKENIZER.decode([i]) for i in ids if i in TOKENIZER.all_special_ids]
    assert marks == ["<|im_start|>", "<|im_end|>"] * 4 + ["<|im_start|>"]


@given(st.text().filter(lambda text: "<|" not in text))
def test_a_text_without_marks_is_rendered_as_it_is(text):
    segments = render([UserTurn(text, text), AssistantTurn(text)], TOKENIZER, text)
    written = f"<|im_start|>user\n{text}\n{text}<|im_end|>\n" if text else "<|im_start|>user\n<|im_end|>\n"
    answer = f"<|im_start|>assistant\n{text}<|im_end|>\n<|im_start|>assistant\n"
    whole = f"<|im_start|>system\n{text}<|im_end|>\n{written}{answer}"
    assert [i for segment in segments for i in segment] == TOKENIZER.encode(whole, add_special_tokens=False)


@pytest.mark.weights
def test_on_the_real_tokenizer_the_pieces_make_the_ids_of_the_whole_text():
    from transformers import AutoTokenizer

    from harken.weights.store import ensure

    tokenizer = AutoTokenizer.from_pretrained(ensure("smollm2-135m-instruct"))
    turns = [
        UserTurn("I lost my job. It's 5pm!"),
        AssistantTurn('Oh no, "really"?\nTell me.'),
        UserTurn("Yes."),
    ]
    ids = [i for segment in render(turns, tokenizer, "Be kind.") for i in segment]
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": turns[0].content},
        {"role": "assistant", "content": turns[1].text},
        {"role": "user", "content": turns[2].content},
    ]
    template = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert ids == tokenizer.encode(template, add_special_tokens=False)
