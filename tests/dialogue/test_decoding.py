"""Text goes out as soon as it is settled, and not before; tokens are chosen reproducibly."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.dialogue.conversation import Conversation
from harken.dialogue.decoding import TextStream, Writing, stop_ids
from harken.dialogue.render import UserTurn
from harken.dialogue.sampling import Sampler, Sampling
from harken.testing import SPECIALS, ScriptedLM, tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\ufffd"), max_size=40).filter(
    lambda text: not any(mark in text for mark in SPECIALS)
)


def streamed(ids, stop=None):
    stream = TextStream(TOKENIZER, stop)
    deltas = []
    for token in ids:
        deltas.append(stream.push(token))
        if stream.stopped:
            break
    return [*deltas, stream.end()], stream


@given(TEXT)
def test_the_pieces_make_the_text_without_half_characters(text):
    deltas, stream = streamed(TOKENIZER.encode(text, add_special_tokens=False))
    assert "".join(deltas) == text.strip() == stream.text
    assert not any("\ufffd" in delta for delta in deltas)


@given(st.lists(st.integers(0, 255), max_size=40))
def test_any_bytes_stream_to_what_they_decode_to(ids):
    deltas, _ = streamed(ids)
    assert "".join(deltas) == TOKENIZER.decode(ids).lstrip().rstrip("\ufffd").rstrip()


@given(TEXT, TEXT)
def test_nothing_of_the_stop_mark_or_after_it_goes_out(before, after):
    deltas, stream = streamed(
        TOKENIZER.encode(f"{before}</think>{after}", add_special_tokens=False), "</think>"
    )
    assert "".join(deltas) == before.strip()
    assert stream.stopped


@given(TEXT, st.integers(1, 7))
def test_what_only_looked_like_the_stop_mark_goes_out_at_the_end(text, cut):
    begun = text.strip() + "</think>"[:cut]
    deltas, stream = streamed(TOKENIZER.encode(begun, add_special_tokens=False), "</think>")
    assert "".join(deltas) == begun.strip()
    assert not stream.stopped


def test_chatml_marks_end_a_turn():
    assert {TOKENIZER.decode([i]) for i in stop_ids(TOKENIZER)} == {
        "<|im_end|>",
        "<|endoftext|>",
        "<|im_start|>",
    }


@given(st.lists(st.integers(0, 4), max_size=60))
def test_no_run_of_four_tokens_comes_twice(wishes):
    written: list[int] = []
    for wish in wishes:
        logits = torch.zeros(16)
        logits[wish] = 5.0
        written.append(Sampler(Sampling()).choose(logits, written))
    runs = [tuple(written[i : i + 4]) for i in range(len(written) - 3)]
    assert len(runs) == len(set(runs))


def test_greedy_takes_the_most_probable_token_that_is_allowed():
    logits = torch.tensor([1.0, 3.0, 2.0])
    assert Sampler(Sampling()).choose(logits, []) == 1
    assert Sampler(Sampling()).choose(logits, [], banned=[1]) == 2
    assert logits.tolist() == [1.0, 3.0, 2.0]


def test_a_seed_draws_the_same_tokens_again_and_another_draws_others():
    logits = torch.linspace(0, 2, 50)

    def drawn(seed, stream=0):
        sampler = Sampler(Sampling(seed=seed, temperature=2.0), stream)
        return [sampler.choose(logits, []) for _ in range(30)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert drawn(3) != drawn(3, stream=1)


@given(st.integers(0, 1000))
def test_only_the_likeliest_tokens_are_drawn(seed):
    logits = torch.tensor([0.6, 0.35, 0.04, 0.01]).log()
    assert Sampler(Sampling(seed=seed, temperature=1.0, top_p=0.9)).choose(logits, []) in (0, 1)


@pytest.mark.parametrize(
    ("script", "most", "written"),
    (
        ("One. Two. Three.", 40, "One. Two. Three."),
        ("One. Two three four.", 12, "One. Two thr"),
        ("One two. Three four.", 9, "One two."),  # near the end of the budget a sentence is the end
        ("<|im_end|>", 5, None),
    ),
)
def test_writing_ends_by_stop_token_budget_or_sentence(script, most, written):
    model = ScriptedLM(lambda _: script)
    opening, _ = Conversation(model).ask(UserTurn("Hi."))
    text = "".join(
        Writing(model, opening, Sampler(Sampling()), TextStream(model.tokenizer), most, to_sentence_end=True)
    )
    assert text == written if written is not None else len(text) >= 1  # never an empty answer


def test_a_random_core_writes_the_same_twice():
    model = tiny_model("qwen3")
    opening, _ = Conversation(model).ask(UserTurn("Hi."))
    once, again = (
        "".join(Writing(model, opening, Sampler(Sampling(seed=1)), TextStream(model.tokenizer), 12))
        for _ in "ab"
    )
    assert once == again
