"""What the teacher makes of written turns: plainly, in a voice, and asked for a cause."""

from __future__ import annotations

import pytest
import torch

from harken.dialogue.render import THINK_OPEN, UserTurn, cause_opening, render
from harken.model.listen import AffectPrefix
from harken.testing import tiny_core
from harken.training.answers import greedy
from harken.training.own_words import MOST_CAUSE_TOKENS, MOST_TOKENS, Teacher, make_own_words

SAID = ["Hi.", "I won!", "We met in May.", "Oh no", "He left."]
AFFECTS = {"happy": torch.randn(2, 4), "neutral": torch.randn(1, 4), "sad": torch.randn(3, 4)}


@pytest.fixture
def teacher(tokenizer):
    torch.manual_seed(0)
    core = tiny_core()
    return Teacher(core, AffectPrefix(4, 2, core.width, core.embedding_rms()), tokenizer, "Be kind.")


@torch.no_grad()
def written(teacher, text, before, opening, most):
    """The answer to words with vectors before them, read as one prompt."""
    core, encode = teacher.core, teacher.tokenizer.encode
    content = torch.cat([before, core.embed(torch.tensor(encode(text)))])
    segments = [*render([UserTurn(content)], teacher.tokenizer, "Be kind."), encode(opening)]
    rows = [s if isinstance(s, torch.Tensor) else core.embed(torch.tensor(s).long()) for s in segments]
    return greedy(core, [torch.cat(rows)], teacher.tokenizer.eos_token_id, most)[0].tokens


@torch.no_grad()
def test_each_turn_is_answered_plainly_in_a_voice_and_about_its_cause(teacher, tmp_path):
    made = make_own_words(teacher, SAID, AFFECTS, tmp_path)
    nothing = torch.zeros(0, teacher.core.width)
    assert set(made.answers) == set(made.felt) == set(SAID)
    assert len({emotion for emotion, _ in made.felt.values()}) > 1
    causes = {}
    for text in SAID:
        assert made.answers[text].tokens == written(teacher, text, nothing, "", MOST_TOKENS)
        emotion, answer = made.felt[text]
        heard = [
            written(teacher, text, teacher.prefix(vector[None])[0], "", MOST_TOKENS)
            for vector in AFFECTS[emotion]
        ]
        assert answer.tokens in heard
        injected = THINK_OPEN + cause_opening(emotion if emotion != "neutral" else "surprise")
        cause = written(teacher, text, nothing, injected, MOST_CAUSE_TOKENS)
        causes[text] = teacher.tokenizer.decode(cause).split('"')[0]
    assert made.causes == {text: cause for text, cause in causes.items() if cause.strip()} != {}


def test_what_was_made_is_not_made_again(teacher, tmp_path):
    first = make_own_words(teacher, SAID, AFFECTS, tmp_path)
    other = Teacher(tiny_core(seed=5), teacher.prefix, teacher.tokenizer, teacher.system)
    assert make_own_words(other, SAID, AFFECTS, tmp_path) == first
