"""The core's own answers: batched as if alone, and never made twice."""

from __future__ import annotations

import json

import pytest
import torch

from harken.dialogue.render import THINK_OPEN, UserTurn, render
from harken.testing import tiny_core, tiny_tokenizer
from harken.training.answers import TOP, answers, greedy

LENGTHS = (5, 2, 9)


def prompts(core):
    draw = torch.Generator().manual_seed(0)
    return [core.embed(torch.randint(0, 256, (n,), generator=draw)).detach() for n in LENGTHS]


@torch.no_grad()
def alone(core, prompt, stop, most):
    """Greedy tokens of one prompt, all read anew at each step, and the log-probabilities (T, V)."""
    tokens, seen = [], []
    while len(tokens) < most and stop not in tokens:
        inputs = torch.cat([prompt, core.embed(torch.tensor(tokens, dtype=torch.long))])
        seen.append(core.logits(core(inputs[None]).hidden[0, -1]).log_softmax(-1))
        tokens.append(int(seen[-1].argmax()))
    return tokens, torch.stack(seen)


@pytest.mark.parametrize("family", ("llama", "qwen3"))
def test_a_batch_answers_as_its_rows_alone(family):
    core = tiny_core(family)
    free, _ = alone(core, prompts(core)[0], -1, 12)
    stop = free[3]
    made = greedy(core, prompts(core), stop, 12)
    for prompt, answer in zip(prompts(core), made, strict=True):
        tokens, log_probs = alone(core, prompt, stop, 12)
        assert answer.tokens == tokens
        best = log_probs.topk(TOP).values
        torch.testing.assert_close(torch.tensor(answer.log_probs), best, atol=2e-3, rtol=0)
        assert [top[0] for top in answer.top] == tokens
    assert made[0].tokens[-1] == stop and len(made[0].tokens) <= 4


def ask(core, texts, file, **options):
    return {a.prompt: a for a in answers(core, tiny_tokenizer(), texts, "Be kind.", 6, file, **options)}


def test_answers_that_are_kept_are_not_made_again(tmp_path):
    file = tmp_path / "answers" / "a.jsonl"
    first = ask(tiny_core(seed=0), ["Hi.", "I won!"], file)
    other = tiny_core(seed=1)
    second = ask(other, ["I won!", "Oh no.", "Hi.", "I won!"], file)
    assert {text: second[text] for text in first} == first
    assert second["Oh no."] == ask(other, ["Oh no."], tmp_path / "b.jsonl")["Oh no."]
    rows = [json.loads(line)["prompt"] for line in file.read_text().splitlines()]
    assert sorted(rows) == ["Hi.", "I won!", "Oh no."]


def test_a_half_written_answer_is_made_again(tmp_path):
    file, core = tmp_path / "a.jsonl", tiny_core()
    whole = ask(core, ["Hi.", "I won!"], file)
    file.write_bytes(file.read_bytes()[:-20])
    assert ask(core, ["Hi.", "I won!"], file) == whole
    assert len(file.read_text().splitlines()) == 2


@torch.no_grad()
def test_an_answer_goes_on_from_its_opening(tmp_path):
    core, tokenizer = tiny_core(), tiny_tokenizer()
    made = ask(core, ["Hi.", "I won!"], tmp_path / "a.jsonl", opening=lambda text: THINK_OPEN + text[:1])
    for text, answer in made.items():
        ids = [i for segment in render([UserTurn(text)], tokenizer, "Be kind.") for i in segment]
        ids += tokenizer.encode(THINK_OPEN + text[:1], add_special_tokens=False)
        expected, _ = alone(core, core.embed(torch.tensor(ids)), tokenizer.eos_token_id, 6)
        assert answer.tokens == expected


def test_texts_are_answered_the_same_in_any_batch(tmp_path):
    core, texts = tiny_core(), ["Hi.", "I won!", "We met in May.", "Oh"]
    one = ask(core, texts, tmp_path / "one.jsonl", batch=1)
    all_ = ask(core, texts, tmp_path / "all.jsonl", batch=4)
    assert {t: a.tokens for t, a in one.items()} == {t: a.tokens for t, a in all_.items()}
