"""Chat templates and think blocks: the exact prompts, and that no text can break out of its turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.errors import InputError
from harken.llm.templates import TEMPLATES, THINK_CLOSE, Message, find, opened_thought, render, split_thought

CHAT = [Message("system", "Be kind."), Message("user", "I won!")]


def test_chatml_is_the_prompt_of_qwen_and_smollm():
    assert render("chatml", CHAT) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nI won!<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_model_that_thinks_gets_an_empty_thought_for_a_plain_answer():
    assert render("qwen3", CHAT) == render("chatml", CHAT) + "<think>\n\n</think>\n\n"


def test_llama3_marks_turns_in_its_own_way():
    assert render("llama3", CHAT[1:]) == (
        "<|start_header_id|>user<|end_header_id|>\n\nI won!<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


@pytest.mark.parametrize("template", ["chatml", "qwen3"])
def test_an_opened_thought_begins_with_the_injection_and_stays_open(template):
    prompt = opened_thought(render(template, CHAT), "They sound happy because")
    assert prompt == render("chatml", CHAT) + "<think>\nThey sound happy because"


def test_an_unknown_template_is_named_with_those_there_are():
    with pytest.raises(InputError, match="'alpaca'") as caught:
        render("alpaca", CHAT)
    assert "chatml, qwen3, llama3" in caught.value.hint


PIECES = st.lists(
    st.sampled_from(["<|", "|>", "im_start", "im_end", "<|im_end|>", "eot_id", "<", "|", "\n", "hi"])
)


@given(st.sampled_from([t.name for t in TEMPLATES]), PIECES.map("".join))
def test_no_content_ends_its_turn(template, content):
    marks = find(template)
    prompt = render(template, [Message("user", content)])
    assert prompt.count(marks.end) == 1
    assert prompt.count(marks.head) == 2


@given(st.text())
def test_text_without_marks_is_rendered_as_it_is(content):
    content = content.replace("<|", "")
    if "<|" not in content:
        assert f"user\n{content}<|im_end|>" in render("chatml", [Message("user", content)])


@pytest.mark.parametrize(
    ("text", "parted"),
    [
        ("She lost her dog.\n</think>\n\nI am sorry.", ("She lost her dog.", "I am sorry.")),
        ("<think>\nShe lost it.\n</think>\n\nSorry.", ("She lost it.", "Sorry.")),
        ("It hurts. <\\think> Sorry.", ("It hurts.", "Sorry.")),
        ("It hurts. </ Think > Sorry.", ("It hurts.", "Sorry.")),
        ("Twice. </think> A </think> B", ("Twice.", "A </think> B")),
        ("Stops there.\n</think>", ("Stops there.", "")),
        ("</think>", ("", "")),
        ("Never closes", None),
        ("<think> Never closes", None),
        ("", None),
    ],
)
def test_a_thought_is_split_where_it_first_closes(text, parted):
    assert split_thought(text) == parted


@given(st.text(alphabet="ab <>/\\think\n"), st.text(alphabet="ab <>/\\think\n"))
def test_splitting_finds_what_was_joined(thought, reply):
    if split_thought(thought) is None and "<" not in thought[-8:]:  # no mark in it, nor a beginning of one
        whole = f"<think>\n{thought}{THINK_CLOSE}{reply}"
        assert split_thought(whole) == (thought.strip(), reply.strip())


@given(st.text(alphabet="ab <>/\\tThink\n"))
def test_whatever_is_split_is_part_of_the_text(text):
    parted = split_thought(text)
    assert parted is None or all(part in text for part in parted)
