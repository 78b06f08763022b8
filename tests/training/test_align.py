"""Self-distillation: what is drawn, what is learned of it, and which tensors move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.dialogue.render import REPEAT, THINK_CLOSE, THINK_OPEN, UserTurn, render
from harken.errors import RecipeError
from harken.model.ctc_bridge import CtcBridge, CtcBridgeSizes, SoftTokens
from harken.model.listen import AffectPrefix
from harken.model.speller import Speller
from harken.testing import tiny_core
from harken.training.align import AlignConfig, AlignTask, DrawnTask, divergence, train_align
from harken.training.answers import TOP, Answer
from harken.training.examples import IGNORED
from harken.training.low_rank import add_low_rank
from harken.training.samples import Sample
from harken.training.schedule import CORE_UPDATE, Schedule
from harken.training.stage_modules import align_module
from harken.training.student import Hearing, Student

SYSTEM = "Be kind."
RATES = (("prefix.*", 1e-2), ("bridge.*", 1e-2), (CORE_UPDATE, 1e-2))
HEARD = "oh no"
AFFECT_WIDTH = 148
OWN = torch.full((4,), 0.5)  # what `spoken` says that the readout made of a clip
AFFECTS = {"happy": torch.zeros(2, 4) + 1, "neutral": torch.zeros(1, 4), "sad": torch.zeros(3, 4) - 1}


def answer(tokenizer, text):
    """An answer of which the teacher was as sure as it could be of one in TOP."""
    tokens = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    top = [[t, *(i for i in range(TOP) if i != t)][:TOP] for t in tokens]
    return Answer(text, tokens, top, [[-0.5, *[-3.6] * (TOP - 1)] for _ in tokens])


@pytest.fixture
def student(pieces):
    torch.manual_seed(0)
    core = tiny_core()
    table = core.embed(torch.tensor(pieces.ids)).detach()
    bridge = CtcBridge(CtcBridgeSizes(27, 16, layers=1, heads=2, kernel=3), table)
    prefix = AffectPrefix(4, 2, core.width, core.embedding_rms())
    return Student(bridge, prefix, core)


@pytest.fixture
def task(student, pieces, tokenizer):
    traces = {"i won": Sample("t", "trace", "train", (), "i won", "happy", "The speaker feels happy.")}
    replies = {text: answer(tokenizer, f"So {text}.") for text in (HEARD, "i won", "we met")}
    config = AlignConfig(Schedule(steps=2, rates=RATES, warmup=1), batch_s=30.0)
    felt = {HEARD: ("sad", answer(tokenizer, "Poor you."))}
    spoken = Speller(pieces)
    causes = {"we met": "we met"}
    return AlignTask(student, spoken, tokenizer, SYSTEM, replies, felt, traces, causes, AFFECTS, config)


@pytest.fixture
def heard(pieces, student):
    """HEARD, as if the bridge were sure of it."""
    numbers = torch.tensor([pieces.spell(HEARD)])
    table = student.bridge.table
    ones = torch.ones(numbers.shape)
    log_probs = torch.zeros(1, 12, len(pieces) + 1).log_softmax(-1)
    soft = SoftTokens(table[numbers], ones.bool(), numbers, ones, torch.arange(5)[None])
    return Hearing(soft, log_probs, torch.ones(1, 12).bool())


def drawn(task, kind, target="", affect=None):
    said = task.answers[HEARD] if kind != "repeat" else None
    return DrawnTask(Sample("1", kind, "train", (), HEARD, "sad", target), affect, said)


@pytest.mark.parametrize(
    ("kind", "target", "learned", "given"),
    [
        ("reply", "", "So oh no.<|im_end|>", ""),
        ("repeat", HEARD, f"{HEARD}<|im_end|>", ""),
        (
            "trace",
            "The speaker feels sad.",
            f"The speaker feels sad.{THINK_CLOSE}So oh no.<|im_end|>",
            THINK_OPEN,
        ),
    ],
)
def test_labels_are_where_the_target_is_and_the_turn_is_what_was_heard(
    task, heard, tokenizer, kind, target, learned, given
):
    affect = AFFECTS["sad"][0]
    example = task.example(drawn(task, kind, target, affect), heard, 0)
    places = (example.labels != IGNORED).nonzero()[:, 0]
    embed = task.student.core.embed
    assert tokenizer.decode(example.labels[places]) == learned
    torch.testing.assert_close(example.inputs[places + 1], embed(example.labels[places]))
    turn = torch.cat([task.student.prefix(affect[None])[0], embed(torch.tensor(tokenizer.encode(HEARD)))])
    asked = UserTurn(turn, REPEAT if kind == "repeat" else None)
    segments = [*render([asked], tokenizer, SYSTEM), tokenizer.encode(given)]
    prompt = torch.cat(
        [s if isinstance(s, torch.Tensor) else embed(torch.tensor(s).long()) for s in segments]
    )
    assert int(places[0]) == len(prompt) - 1
    torch.testing.assert_close(example.inputs[: len(prompt)], prompt)


def test_without_affect_the_words_stand_alone(task, heard):
    with_affect = task.example(drawn(task, "reply", affect=AFFECTS["sad"][0]), heard, 0)
    without = task.example(drawn(task, "reply"), heard, 0)
    assert len(with_affect.inputs) - len(without.inputs) == 2


def test_a_row_in_which_nothing_was_heard_can_be_learned_from(task, heard):
    silent = heard._replace(words=SoftTokens(*(field[:, :0] for field in heard.words)))
    example = task.example(drawn(task, "reply"), silent, 0)
    assert len(task.example(drawn(task, "reply"), heard, 0).inputs) - len(example.inputs) == 5


def draws(task, clip, share, times=300):
    random = np.random.default_rng(0)
    return [task.draw(clip, share, random) for _ in range(times)]


def test_tasks_are_drawn_in_their_shares(task, spoken):
    (clip,) = spoken(HEARD).clips
    kinds = [one.sample.task for one in draws(task, clip, 0.2, 2000)]
    assert 0.15 < kinds.count("repeat") / 2000 < 0.25
    assert 0.3 < kinds.count("trace") / 2000 < 0.4
    assert {one.sample.task for one in draws(task, clip, 1.0)} == {"repeat"}


def test_a_turn_without_an_answer_is_repeated(task, spoken):
    (clip,) = spoken("unheard of").clips
    assert {(d.sample.task, d.sample.target) for d in draws(task, clip, 0.0)} == {("repeat", "unheard of")}


def test_what_is_felt_is_in_the_words_or_else_in_a_persons_voice(task, spoken):
    annotated, invented = spoken("i won", "we met").clips
    seen = {}
    for one in draws(task, annotated, 0.0, 1000):
        sample, affect = one.sample, one.affect
        if sample.task == "trace":
            assert OWN.equal(affect) or any(torch.equal(affect, row) for row in AFFECTS[sample.emotion])
            who = "own" if OWN.equal(affect) else "person"
            seen[who, sample.emotion] = seen.get((who, sample.emotion), 0) + 1
    assert set(seen) == {("own", "happy"), *(("person", emotion) for emotion in AFFECTS)}
    total = sum(seen.values())
    assert 0.4 < seen["own", "happy"] / total < 0.6
    assert 0.25 < seen["person", "happy"] / total < 0.45  # a quarter, and a third of the quarter drawn freely
    seen = set()
    for one in draws(task, invented, 0.0):
        sample = one.sample
        if sample.task == "trace":
            assert any(torch.equal(one.affect, row) for row in AFFECTS[sample.emotion])
            seen.add(sample.target)
    assert seen == {
        "The speaker feels neutral.",
        'The speaker feels happy because: "we met"',
        'The speaker feels sad because: "we met"',
    }


def test_a_reply_goes_with_the_voices_own_feeling_or_none_and_a_persons_with_the_answer_to_it(task, spoken):
    (clip,) = spoken(HEARD).clips
    replies = [one for one in draws(task, clip, 0.0, 1500) if one.sample.task == "reply"]
    in_voice = [one for one in replies if one.affect is not None and not OWN.equal(one.affect)]
    assert 0.3 < len(in_voice) / len(replies) < 0.4
    assert all((one.affect == -1).all() and one.answer is task.felt[HEARD][1] for one in in_voice)
    plain = [one for one in replies if one.affect is None or OWN.equal(one.affect)]
    assert all(one.answer is task.answers[HEARD] for one in plain)
    without = sum(one.affect is None for one in plain) / len(plain)
    assert 0.15 < without < 0.25


def test_words_are_repeated_in_any_voice(task, spoken):
    (clip,) = spoken(HEARD).clips
    repeated = draws(task, clip, 1.0, 1000)
    own = sum(one.affect is not None and OWN.equal(one.affect) for one in repeated) / 1000
    assert 0.45 < own < 0.6
    assert len({tuple(one.affect.tolist()) for one in repeated if one.affect is not None}) == 4


def test_what_follows_a_trace_is_the_answer_in_that_voice(task, spoken):
    (clip,) = spoken(HEARD).clips
    task.causes[HEARD] = "no"
    thought = [one for one in draws(task, clip, 0.0, 600) if one.sample.task == "trace"]
    for one in thought:
        assert one.answer is (task.felt[HEARD][1] if one.sample.emotion == "sad" else None)
    assert {one.sample.emotion for one in thought} == set(AFFECTS)


def sure(logits):
    """An answer whose teacher gave these logits (T, TOP)."""
    best = logits.log_softmax(-1).topk(TOP)
    return Answer("", best.indices[:, 0].tolist(), best.indices.tolist(), best.values.tolist())


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_divergence_is_nothing_where_the_student_is_the_teacher_and_positive_elsewhere(seed, length):
    logits = 2 * torch.randn(length, TOP, generator=torch.Generator().manual_seed(seed))
    assert float(divergence(logits, [sure(logits)])) == pytest.approx(0, abs=1e-5)
    assert float(divergence(logits.roll(1, -1), [sure(logits)])) > 1e-3


def test_divergence_is_the_mean_over_tokens_of_all_answers():
    teacher, student = torch.randn(5, TOP), torch.randn(5, TOP)
    parts = [float(divergence(student[i : i + 1], [sure(teacher[i : i + 1])])) for i in range(5)]
    both = divergence(student, [sure(teacher[:2]), sure(teacher[2:])])
    assert float(both) == pytest.approx(sum(parts) / 5, abs=1e-5)


def test_a_batch_without_replies_costs_nothing_and_can_be_learned_from():
    logits = torch.zeros(0, 20, requires_grad=True)
    loss = divergence(logits, [])
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None


@pytest.mark.parametrize("portion", [0, 10_000], ids=["apart", "together"])
def test_losses_of_a_mixed_batch_are_those_of_its_tasks_alone(task, heard, portion, monkeypatch):
    monkeypatch.setattr("harken.training.align.PORTION", portion)
    batch = [
        drawn(task, "reply"),
        drawn(task, "trace", "The speaker feels sad.", AFFECTS["sad"][1]),
        drawn(task, "repeat", HEARD),
    ]
    three = SoftTokens(*(torch.cat([field] * 3) for field in heard.words))
    together = task.losses(batch, Hearing(three, torch.cat([heard.log_probs] * 3), heard.valid))
    for one in batch:
        alone = task.losses([one], heard)
        assert alone[one.sample.task].item() > 0
        torch.testing.assert_close(together[one.sample.task], alone[one.sample.task], atol=1e-4, rtol=1e-4)
        others = {"reply", "repeat", "trace"} - {one.sample.task}
        assert all(alone[name].item() == 0 for name in others)
        assert 0 < alone["tokens"] == alone["padded"]
    lengths = [int(task.losses([one], heard)["tokens"]) for one in batch]
    assert together["tokens"] == sum(lengths) < 3 * max(lengths)
    assert together["padded"] == (3 * max(lengths) if portion else sum(lengths))


def test_two_steps_move_bridge_prefix_and_update_and_nothing_else(
    recipe, task, spoken, pieces, tmp_path, trains_what_is_told
):
    pytest.importorskip("peft")
    pytest.importorskip("jiwer")
    torch.manual_seed(0)
    task.student = align_module(recipe, tiny_core(), pieces.ids, AFFECT_WIDTH)
    task.affects = {emotion: rows.repeat(1, AFFECT_WIDTH // 4) for emotion, rows in AFFECTS.items()}
    felt = (0.5,) * AFFECT_WIDTH
    cache = spoken(HEARD, "i won", "we met", splits=("train", "dev"), felt=felt)

    def train(config):
        train_align(task, cache, config, tmp_path / "align", "someone")

    trains_what_is_told("align", recipe, AlignConfig(), "", task.student, train)
    assert '"dev_wer"' in (tmp_path / "align" / "metrics.jsonl").read_text()


def test_a_student_that_began_otherwise_is_not_gone_on_with(task, spoken, tmp_path):
    pytest.importorskip("peft")
    pytest.importorskip("jiwer")
    add_low_rank(task.student.core, rank=2)
    cache = spoken(HEARD, "i won", splits=("train", "dev"))
    train_align(task, cache, task.config, tmp_path, "this bridge", torch.float32)
    with pytest.raises(RecipeError, match="origin"):
        train_align(task, cache, task.config, tmp_path, "another", torch.float32)
