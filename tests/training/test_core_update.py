"""The stage `core`: which voice goes with a sample, and what moves."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from harken.dialogue.render import AssistantTurn, UserTurn
from harken.errors import DataError, RecipeError
from harken.model.listen import AffectPrefix
from harken.testing import tiny_core
from harken.training.core_update import (
    CoreTask,
    CoreUpdateConfig,
    Listener,
    in_voice,
    train_core_update,
)
from harken.training.examples import IGNORED, example, target_ids
from harken.training.low_rank import add_low_rank
from harken.training.samples import Sample
from harken.training.schedule import CORE_UPDATE, Schedule
from harken.training.stage_modules import core_module

SYSTEM = "Be kind."
AFFECTS = {"happy": torch.zeros(2, 4) + 1, "neutral": torch.zeros(1, 4), "sad": torch.zeros(3, 4) - 1}
PAST = (UserTurn("Hi."), AssistantTurn("Hello."))
REPLY = Sample("1", "reply", "train", PAST, "I won!", "happy", "How nice!")
OPEN = Sample("2", "reply", "train", (), "I am moving.", "sad", "You will be missed.", open=True)
TRACE = Sample(
    "3", "trace", "train", (), "So I won!", "happy", 'The speaker feels happy because: "I won"', ("I won",)
)
UNKNOWN = Sample("4", "reply", "dev", (), "Hm.", None, "Yes?")


@pytest.fixture
def task(tokenizer):
    torch.manual_seed(0)
    core = tiny_core()
    prefix = AffectPrefix(4, 2, core.width, core.embedding_rms())
    schedule = Schedule(
        steps=25, rates=(("prefix.*", 0.02), (CORE_UPDATE, 0.02)), warmup=2, evaluate_every=25
    )
    config = CoreUpdateConfig(schedule, batch_tokens=400, most_tokens=200)
    return CoreTask(Listener(prefix, core), tokenizer, SYSTEM, AFFECTS, config)


def draws(task, sample, times=1000):
    random = np.random.default_rng(0)
    return [task.draw(sample, random) for _ in range(times)]


def emotion_of(affect):
    return next(emotion for emotion, rows in AFFECTS.items() if torch.equal(affect, rows[0]))


def test_a_reply_goes_with_a_voice_of_its_emotion_or_with_none(task):
    drawn = draws(task, REPLY)
    assert all(sample is REPLY for sample, _ in drawn)
    heard = [emotion_of(affect) for _, affect in drawn if affect is not None]
    assert set(heard) == {"happy"}
    assert 0.55 < len(heard) / 1000 < 0.65


def test_where_the_words_leave_the_feeling_open_the_voice_is_always_there(task):
    assert all(affect is not None for _, affect in draws(task, OPEN))


def test_a_sample_of_unknown_emotion_has_no_voice(task):
    assert all(affect is None for _, affect in draws(task, UNKNOWN, 50))


def test_a_trace_says_what_the_voice_says_also_against_the_words(task):
    stated = {"happy": 0, "neutral": 0, "sad": 0}
    for sample, affect in draws(task, TRACE):
        if affect is None:
            assert sample is TRACE
            continue
        emotion = emotion_of(affect)
        stated[emotion] += 1
        cause = "" if emotion == "neutral" else ' because: "I won"'
        assert sample.target == f"The speaker feels {emotion}{cause or '.'}"
    assert stated["happy"] > stated["neutral"] > 40 and stated["sad"] > 40


def test_without_an_annotated_cause_the_whole_turn_is_named():
    plain = Sample("5", "trace", "train", (), "Well.", "neutral", "The speaker feels neutral.")
    assert in_voice(plain, "sad").target == 'The speaker feels sad because: "Well."'


def test_the_voice_stands_before_the_same_words(task, tokenizer):
    without, _ = task.read([(OPEN, None)])
    together, batch = task.read([(REPLY, None), (OPEN, AFFECTS["sad"][0]), (OPEN, None)])
    within, plain = together[1], without[0]
    vectors = task.listener.prefix(AFFECTS["sad"][:1])[0]
    place = int((within == vectors[0]).all(-1).nonzero()[0])
    torch.testing.assert_close(within[place : place + 2], vectors)
    words = torch.cat([within[:place], within[place + 2 :]])
    torch.testing.assert_close(words[: len(plain)], plain)
    torch.testing.assert_close(together[2, : len(plain)], plain)
    of_row = batch.learned // together.shape[1] == 1
    assert tokenizer.decode(batch.targets[of_row]) == "You will be missed.<|im_end|>"
    sum_of_row = together[1].sum()
    assert torch.autograd.grad(sum_of_row, task.listener.prefix.project.bias)[0].eq(1).all()


def test_what_is_read_in_writing_is_what_speech_is_read_into(task, tokenizer):
    """The stages that hear build samples one by one."""
    core, vectors = task.listener.core, task.listener.prefix(AFFECTS["sad"][:1])[0]
    words = core.embed(torch.tensor(tokenizer.encode(OPEN.said, add_special_tokens=False)))
    for sample, affect in ((REPLY, None), (TRACE, None), (OPEN, AFFECTS["sad"][0])):
        content = sample.said if affect is None else torch.cat([vectors, words])
        alone = example(core, tokenizer, SYSTEM, sample, content, target_ids(sample, tokenizer))
        inputs, batch = task.read([(sample, affect)])
        torch.testing.assert_close(inputs[0], alone.inputs)
        assert torch.equal(batch.learned, (alone.labels != IGNORED).nonzero()[:, 0])
        assert torch.equal(batch.targets, alone.labels[batch.learned])


def test_a_batch_costs_what_its_samples_cost(task):
    task = CoreTask(task.listener, task.tokenizer, SYSTEM, {}, task.config)  # no voices: nothing is drawn
    random = np.random.default_rng(0)
    with torch.no_grad():
        together = task.loss([REPLY, TRACE], random)
        alone = [task.loss([sample], random) for sample in (REPLY, TRACE)]
    counts = [len(task.read([(sample, None)])[1].targets) for sample in (REPLY, TRACE)]
    expected = sum(n * x for n, x in zip(counts, alone, strict=True)) / sum(counts)
    torch.testing.assert_close(together, expected, atol=1e-4, rtol=1e-4)


def test_prefix_and_update_learn_the_samples_and_the_core_stays(task, tmp_path):
    pytest.importorskip("peft")
    fresh = dict(tiny_core().named_parameters())
    add_low_rank(task.listener.core, rank=4)
    prefix = {name: p.detach().clone() for name, p in task.listener.prefix.named_parameters()}
    train_core_update(task, [REPLY, OPEN, TRACE, UNKNOWN], tmp_path, "people", torch.float32)
    rows = (tmp_path / "metrics.jsonl").read_text().splitlines()
    losses = [float(row.split('"loss": ')[1].split(",")[0]) for row in rows]
    assert sum(losses[-4:]) < 0.6 * sum(losses[:4])
    assert "dev_loss" in rows[-1]
    for name, parameter in task.listener.core.named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, fresh[name.replace(".base_layer", "")]), name
    assert not any(torch.equal(p, prefix[name]) for name, p in task.listener.prefix.named_parameters())


def test_two_steps_move_prefix_and_update_and_nothing_else(recipe, tokenizer, tmp_path, trains_what_is_told):
    pytest.importorskip("peft")
    torch.manual_seed(0)
    listener = core_module(recipe, tiny_core(), 148)
    affects = {emotion: rows.repeat(1, 37) for emotion, rows in AFFECTS.items()}

    def train(config):
        task = CoreTask(listener, tokenizer, SYSTEM, affects, config)
        train_core_update(task, [REPLY, OPEN, TRACE], tmp_path, "people", torch.bfloat16)

    moved = trains_what_is_told("core", recipe, CoreUpdateConfig(), "", listener, train)
    names = [name for name, _ in listener.named_parameters()]
    assert moved == {name for name in names if name.startswith("prefix.") or "lora_" in name}


def test_without_dev_samples_no_dev_loss_is_told(task, tmp_path):
    task.config = replace(task.config, schedule=replace(task.config.schedule, steps=1), voice_share=1.0)
    train_core_update(task, [REPLY], tmp_path, "people", torch.float32)
    (row,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(row)["step"] == 0 and "dev" not in row


@pytest.mark.parametrize(("sample", "most"), [(UNKNOWN, 200), (REPLY, 10)])
def test_samples_to_train_on_have_to_be_there_and_to_fit(task, tmp_path, sample, most):
    task.config = replace(task.config, most_tokens=most)
    with pytest.raises(DataError, match=f"none of 1 samples is of split train and fits into {most} tokens"):
        train_core_update(task, [sample], tmp_path, "people", torch.float32)


def test_what_was_learned_of_other_people_is_not_gone_on_with(task, tmp_path):
    task.config = replace(task.config, schedule=replace(task.config.schedule, steps=1))
    train_core_update(task, [REPLY], tmp_path, "these", torch.float32)
    task.affects = {name: rows + 1e-6 for name, rows in AFFECTS.items()}  # as another processor has it
    train_core_update(task, [REPLY], tmp_path, "these", torch.float32)
    with pytest.raises(RecipeError, match="people"):
        train_core_update(task, [REPLY], tmp_path, "others", torch.float32)
