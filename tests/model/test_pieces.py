"""Whatever is said can be spelled in pieces, and what is frequent is one of them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.model.pieces import ALWAYS, Pieces, choose_pieces, clean

WORDS = st.text(string.ascii_letters + "'", min_size=1, max_size=12)
TEXTS = st.lists(
    st.tuples(
        st.one_of(WORDS, st.sampled_from("0123456789")), st.sampled_from(["", ",", ".", "?", "!", "-"])
    ),
    max_size=8,
).map(lambda words: " ".join(word + mark for word, mark in words))


@pytest.fixture(scope="module")
def pieces(tokenizer):
    return choose_pieces(tokenizer, ["I lost my job.", "You lost my story.", "I lost my venue."], at_least=3)


@given(TEXTS)
def test_what_is_spelled_reads_as_what_was_said(pieces, text):
    assert pieces.spelled(pieces.spell(text)) == clean(text)


@given(TEXTS)
def test_words_part_a_heard_sequence_without_gaps_and_begin_with_a_space(pieces, text):
    spelled = pieces.spell(text)
    words = pieces.words(spelled)
    assert [n for start, stop in words for n in spelled[start:stop]] == spelled
    assert all(start < stop for start, stop in words)
    read = [pieces.spelled(spelled[start:stop]) for start, stop in words]
    assert all(word.startswith(" ") for word in read[1:])
    assert not any(" " in word[1:] for word in read)


def test_frequent_tokens_and_all_letters_are_pieces_and_rare_ones_are_not(pieces, tokenizer):
    assert {" lost", " my"} <= set(pieces.text)
    assert {c for c in ALWAYS if c in tokenizer.index} <= set(pieces.text)
    assert not {" job", " story", " venue", " menu"} & set(pieces.text)
    assert pieces.ids == sorted(set(pieces.ids))


def test_a_word_that_is_no_piece_is_spelled_with_the_fewest_shorter_ones(pieces, tokenizer):
    assert [pieces.text[n] for n in pieces.spell("my job")] == ["m", "y", " j", "o", "b"]
    richer = Pieces(tokenizer, [*pieces.ids, tokenizer.index["ing"]])
    assert [richer.text[n] for n in richer.spell("a ring")[1:]] == [" r", "ing"]


def test_pieces_that_only_lost_words_needed_are_dropped_again(tokenizer):
    """`ou` is in no kept word often enough once ` you` is a piece of its own."""
    chosen = choose_pieces(tokenizer, ["a you you you"], at_least=3)
    assert " you" in chosen.text and "ou" not in chosen.text


def test_a_letter_without_a_piece_is_left_out(pieces):
    assert pieces.spelled(pieces.spell("my café is née")) == "my caf is ne"
    assert pieces.spelled(pieces.spell("你好")) == ""


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("I’m  here …", "I'm here."),
        ("“No” — she said [laughs] , twice", "No, she said, twice"),
        ("Wait...\nwhat", "Wait. what"),
        ("", ""),
    ],
)
def test_text_is_cleaned_to_what_one_hears(written, plain):
    assert clean(written) == plain


def test_one_word_keeps_the_space_that_a_text_would_lose(pieces):
    assert pieces.spelled(pieces.spell_exactly(" lost")) == " lost"
    assert pieces.spelled(pieces.spell(" lost")) == "lost"


@pytest.mark.weights
def test_the_real_tokenizer_covers_all_ascii_words():
    from transformers import AutoTokenizer

    from harken.weights.store import ensure

    real = AutoTokenizer.from_pretrained(ensure("smollm2-135m-instruct"))
    chosen = choose_pieces(real, ["I am 7 and you are 7."] * 3, at_least=3)
    for text in ("Zoë's", "I am 7, you?", "Xylophones DON'T jump!"):
        assert chosen.spelled(chosen.spell(text)) == clean(text).replace("ë", "")
    assert real.encode(" you", add_special_tokens=False)[0] in chosen.ids
