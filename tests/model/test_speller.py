"""Misspelled words are mended where sound and dictionary agree; others stay as they were heard."""

from __future__ import annotations

import pytest
import torch

from harken.model.ctc_bridge import CtcBridge, CtcBridgeSizes
from harken.model.lexicon import Lexicon
from harken.model.pieces import Pieces
from harken.model.speller import Speller

SURE, UNSURE = 0.999999, 0.6


@pytest.fixture(scope="module")
def pieces(tokenizer):
    """All tokens but the words that are to be misspelled."""
    rare = {" venue", " story", " menu", " Paris"}
    return Pieces(tokenizer, [i for i, token in enumerate(tokenizer.vocabulary) if token not in rare])


@pytest.fixture(scope="module")
def lexicon(pieces):
    return Lexicon(pieces)


def sound(pieces, heard, other=None, sure=SURE):
    """Log-probabilities (F, P + 1) of a sequence of pieces, each followed by a blank frame.

    Args: other: position -> the piece (None: blank) that has most of what is left there.
    """
    order = [*pieces.text, None]
    rows = []
    for i, piece in enumerate(heard):
        for main in (piece, None):
            probs = torch.full((len(order),), 1e-12)
            probs[order.index(main)] = sure
            if other and i in other and main is piece:
                probs[order.index(other[i])] = 1 - sure
            rows.append(probs / probs.sum())
    return torch.stack(rows).log()


def test_common_words_are_more_probable_and_all_sum_to_one(lexicon):
    assert list(lexicon.priors) == [
        "the",
        "a",
        "i",
        "venue",
        "story",
        "menu",
        "job",
        "lost",
        "my",
        "paris",
        "you",
    ]
    assert sorted(lexicon.priors.values(), reverse=True) == list(lexicon.priors.values())
    assert sum(torch.tensor(list(lexicon.priors.values())).exp()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("heard", "mended"),
    [(" vanue", " venue"), (" Vanue", " Venue"), ("vanue", "venue"), (" VANUE", " VENUE")],
)
def test_a_doubtful_letter_is_mended_with_case_and_space_kept(pieces, lexicon, heard, mended):
    spelled = [pieces.text[n] for n in pieces.spell_exactly(heard)]
    place = len(spelled) - 4
    log_probs = sound(pieces, spelled, {place: "e" if heard.strip()[1:].islower() else "E"}, UNSURE)
    assert lexicon.mend(heard, log_probs) == mended


def test_the_padding_behind_a_rows_last_word_does_not_change_it(pieces, lexicon):
    spelled = [pieces.text[n] for n in pieces.spell_exactly(" vanue")]
    padding = torch.full((9, len(pieces) + 1), -torch.inf)  # as the bridge gives it
    padding[:, -1] = 0
    for heard, mended in (
        (sound(pieces, spelled, {1: "e"}, UNSURE), " venue"),
        (sound(pieces, spelled), " vanue"),
    ):
        assert lexicon.mend(" vanue", torch.cat([heard, padding])) == mended


def test_the_same_word_clearly_heard_is_kept(pieces, lexicon):
    spelled = [pieces.text[n] for n in pieces.spell_exactly(" vanue")]
    assert lexicon.mend(" vanue", sound(pieces, spelled)) == " vanue"


def test_an_unknown_name_is_kept_though_a_word_is_near(pieces, lexicon):
    spelled = [pieces.text[n] for n in pieces.spell_exactly(" Stoly")]
    assert lexicon.mend(" Stoly", sound(pieces, spelled)) == " Stoly"


@pytest.mark.parametrize("word", (" venue", " don't", " x", " 7", "", ",", " Zyxxqwv"))
def test_known_words_and_what_is_no_word_are_never_touched(pieces, lexicon, word):
    assert lexicon.mend(word, torch.full((4, len(pieces) + 1), 1 / (len(pieces) + 1)).log()) == word


@pytest.fixture(scope="module")
def table(tokenizer):
    return torch.randn(len(tokenizer), 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def collapse(pieces, table):
    sizes = CtcBridgeSizes(encoder_width=4, width=8, layers=1, heads=2, kernel=3)
    return CtcBridge(sizes, table[pieces.ids]).collapse


def said(pieces, collapse, heard, other=None, sure=SURE):
    log_probs = sound(pieces, heard, other, sure)[None]
    return collapse(log_probs, torch.ones(log_probs.shape[:2], dtype=torch.bool)), log_probs


def test_canonical_words_keep_their_doubt_and_respelled_ones_become_tokens(pieces, lexicon, collapse, table):
    heard = [" lost", " my", " v", "a", "n", "u", "e", ".", " j", "o", "b", "!"]
    soft, log_probs = said(pieces, collapse, heard, {0: " my", 3: "e", 11: "?"}, UNSURE)
    speller = Speller(pieces, lexicon)
    words = speller.words(soft, log_probs)
    assert [word.text for word in words] == [" lost", " my", " venue.", " job!"]
    assert speller.transcript(words) == "lost my venue. job!"
    vectors = speller.vectors(words, soft, lambda ids: table[ids])
    tokens = pieces.tokenizer.index
    doubt = 0.6 * table[tokens[" lost"]] + 0.4 * table[tokens[" my"]]
    torch.testing.assert_close(vectors[0], doubt, atol=1e-4, rtol=0)
    canonical = [tokens[t] for t in (" venue", ".", " job", "!")]
    assert torch.equal(vectors[2:], table[canonical])


def test_a_word_with_an_apostrophe_is_left_as_it_was_heard(pieces, lexicon, collapse):
    heard = [" v", "a", "n", "u", "e", "'", "n", "t", "."]
    soft, log_probs = said(pieces, collapse, heard, {1: "e"}, UNSURE)
    assert [word.text for word in Speller(pieces, lexicon).words(soft, log_probs)] == [" vanue'nt."]


def test_without_a_lexicon_words_stay_as_heard(pieces, collapse):
    soft, log_probs = said(pieces, collapse, [" v", "a", "n", "u", "e"], {1: "e"}, UNSURE)
    assert Speller(pieces).transcript(Speller(pieces).words(soft, log_probs)) == "vanue"


def test_each_word_is_held_against_its_own_stretch_of_sound(pieces, lexicon, collapse):
    """The doubtful `a` of the second word mends neither of its clearly heard neighbours."""
    heard = [" v", "a", "n", "u", "e"]
    clear, doubtful = sound(pieces, heard), sound(pieces, heard, {1: "e"}, UNSURE)
    log_probs = torch.cat([clear, doubtful, clear])[None]
    soft = collapse(log_probs, torch.ones(1, 30, dtype=torch.bool))
    words = Speller(pieces, lexicon).words(soft, log_probs)
    assert [word.text for word in words] == [" vanue", " venue", " vanue"]


def test_silence_is_no_words_and_no_vectors(pieces, lexicon, collapse, table):
    soft, log_probs = said(pieces, collapse, [None, None])
    speller = Speller(pieces, lexicon)
    words = speller.words(soft, log_probs)
    assert words == [] and speller.transcript(words) == ""
    assert speller.vectors(words, soft, lambda ids: table[ids]).shape == (0, 8)


@pytest.mark.parametrize(
    ("word", "fragment"),
    [(" v", True), (" j!", True), (" a", False), ("I", False), (" I'm", False), (" job", False)],
)
def test_letters_that_are_no_word_are_fragments(lexicon, word, fragment):
    assert lexicon.is_fragment(word) is fragment


def test_fragments_are_left_out_of_transcript_and_vectors(pieces, lexicon, collapse, table):
    soft, log_probs = said(pieces, collapse, [" lost", " v", " my", " j", "o", "b", "."])
    speller = Speller(pieces, lexicon)
    words = speller.words(soft, log_probs)
    assert speller.transcript(words) == "lost my job."
    assert len(speller.vectors(words, soft, lambda ids: table[ids])) == 4
