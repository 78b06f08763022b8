"""A reply's text and its sound are learned together, and what is heard and thought of it stays as it was."""

from __future__ import annotations

import json
from functools import partial
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("peft")

from harken.bench import train_stages
from harken.bench.train_stages import JointLesson
from harken.bench.train_systems import HARKEN, SYSTEMS, Work, run
from harken.model.ctc_bridge import CtcBridge, CtcBridgeSizes
from harken.model.layer_stack import LayerStack
from harken.model.listen import AffectPrefix
from harken.model.speak import Speak, SpeakSizes
from harken.model.speller import Speller
from harken.recipes import mini
from harken.testing import tiny_core
from harken.training.affect import AffectTask
from harken.training.affect_config import AffectConfig
from harken.training.affect_rows import Spoken, Talk
from harken.training.callbacks import METRICS
from harken.training.examples import IGNORED
from harken.training.joint import JointConfig, JointStudent, JointTask, Written, train_joint
from harken.training.low_rank import add_low_rank
from harken.training.schedule import Schedule, trainable
from harken.training.speak import Said, SpeakConfig, SpeakTask
from harken.training.student import Student
from harken.training.thoughts import kept_thoughts
from harken.training.world import ALONE

RATES = (("speak.stack.*", 1e-2), ("speak.*", 1e-2), ("core.write.*lora_*", 1e-2))
SCHEDULE = Schedule(steps=12, rates=RATES, warmup=1, evaluate_every=12)
TEXTS = ("So you left.", "He won!", "Yes?")
TALKS = [
    Talk(str(n), "empathy", split, (Spoken(said, "sad"),), None, "", None, answer)
    for n, (said, answer, split) in enumerate(
        zip(("he left", "i won", "oh no"), TEXTS, ("train", "train", "dev"), strict=True)
    )
]


@pytest.fixture
def world(tokenizer, pieces, spoken):
    """What is trained, what hears, and tasks of two replies and of one."""
    torch.manual_seed(0)
    core = tiny_core()
    add_low_rank(core, 2)
    bridge = CtcBridge(
        CtcBridgeSizes(27, 16, layers=1, heads=2, kernel=3), core.embed(torch.tensor(pieces.ids)).detach()
    )
    listener = Student(bridge, AffectPrefix(4, 1, core.width, core.embedding_rms()), core)
    listener.requires_grad_(False).eval()
    answering = AffectTask(
        listener, Speller(pieces), tokenizer, "Be kind.", spoken("he left"), {},
        AffectConfig(direct_share=1.0),
    )  # fmt: skip
    sizes = SpeakSizes(width=core.width, levels=(3, 5), symbols=9, manners=5, units_per_step=2)
    speak = Speak(
        sizes, LayerStack(torch.nn.ModuleList([*tiny_core(seed=1).write.layers]), core.write.rotary)
    )

    def task(talks):
        examples = [answering.example(answering.draw(talk, _random(n)), {}) for n, talk in enumerate(talks)]
        shared = [core.think(example.inputs[None])[0][0].detach() for example in examples]
        said = [_said(tokenizer, talk, sizes) for talk in talks]
        speaking = SpeakTask(
            speak,
            core.embed,
            said,
            lambda n: torch.empty(0),
            SpeakConfig(SCHEDULE, unit_dropout=0, dropout=0),
        )
        written = [Written(example.labels) for example in examples]
        return JointTask(JointStudent(core, speak), speaking, written, lambda n: shared[n])

    return task, answering


def _random(seed):
    import numpy as np

    return np.random.default_rng(seed)


def _said(tokenizer, talk, sizes):
    ids = tokenizer.encode(talk.target, add_special_tokens=False)
    units = torch.arange(10).view(5, 2) % 15
    units[-1] = 15
    windows = torch.ones(5, 3, sizes.window, dtype=torch.long)
    moves = torch.ones(5, 2, dtype=torch.long).masked_fill(units == 15, IGNORED)
    tokens = torch.arange(5).clamp(max=len(ids) - 1)
    return Said(talk.id, units, windows, moves, tokens, torch.tensor(ids), 0, 0)


def test_speak_is_given_what_think_makes_of_the_replys_own_tokens(world, tokenizer):
    make, answering = world
    task = make(TALKS[:2])
    for number, talk in enumerate(TALKS[:2]):
        ids = tokenizer.encode(talk.target, add_special_tokens=False)
        assert task.written[number].labels[task.written[number].start - 1 :].tolist()[: len(ids)] == ids
        thought = task.thought(number)
        assert len(thought) == len(ids)
        inputs = answering.example(answering.draw(talk, _random(number)), {}).inputs
        shared = answering.student.core.think(inputs[None])[0][0]
        assert torch.allclose(thought, shared[len(inputs) - len(ids) - 1 : -1], atol=1e-5)


def test_the_system_prompt_is_read_once_and_nothing_is_lost_or_gained_by_it(world):
    make, answering = world
    task = make(TALKS[:2])
    trainable(task.student, RATES)
    found = []
    for prompt in (0, answering.prompt):
        task.prompt = prompt
        loss, tokens = task.text([0, 1])
        loss.backward()
        update = {n: p.grad.clone() for n, p in task.student.core.named_parameters() if p.grad is not None}
        task.student.zero_grad()
        found.append((loss, tokens, update))
    (whole, tokens, gradients), (once, again, others) = found
    assert answering.prompt > 3 and tokens == again and gradients and gradients.keys() == others.keys()
    torch.testing.assert_close(once, whole, atol=1e-5, rtol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, atol=1e-5, rtol=1e-4)


def test_both_outputs_are_learned_and_nothing_else_moves(world, tmp_path):
    make, answering = world
    train, dev = make(TALKS[:2]), make(TALKS[2:])
    student = train.student
    before = {name: value.detach().clone() for name, value in student.named_parameters()}
    heard = {name: value.detach().clone() for name, value in answering.student.bridge.named_parameters()}
    train_joint(train, dev, answering, TALKS, JointConfig(SCHEDULE), tmp_path, "here", torch.float32)
    rows = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    for name in ("speech", "text", "affect"):
        assert sum(row[name] for row in rows[-3:]) < 0.8 * sum(row[name] for row in rows[:3]), name
    assert {"dev_speech", "dev_text", "dev_empathy"} <= rows[-1].keys()
    moved = {n for n, value in student.named_parameters() if not torch.equal(value, before[n])}
    assert moved and all(n.startswith("speak.") or (".write." in n and "lora_" in n) for n in moved)
    assert any("core.write" in n for n in moved) and any("speak.stack" in n for n in moved)
    assert all(torch.equal(value, heard[n]) for n, value in answering.student.bridge.named_parameters())


def test_what_was_thought_is_not_thought_again_and_a_half_written_thought_is(tmp_path):
    asked = []

    def think(number):
        asked.append(number)
        return torch.full((number + 1, 4), float(number))

    path = tmp_path / "run" / "think.f16"
    lengths = [1, 2, 3]
    first = kept_thoughts(path, lengths, 4, think)
    assert asked == [0, 1, 2] and first(2).tolist() == [[2.0] * 4] * 3
    with path.open("r+b") as file:
        file.truncate(2 * 4 * 4)  # the last one is cut
    again = kept_thoughts(path, lengths, 4, think)
    assert asked == [0, 1, 2, 2]
    assert [again(n).tolist() for n in range(3)] == [[[float(n)] * 4] * (n + 1) for n in range(3)]


def test_beside_the_trainer_both_learn_text_and_units_of_as_many_tokens(world, tmp_path, monkeypatch):
    task, _ = world
    tasks = {"train": task(TALKS[:2]), "dev": task(TALKS[2:])}
    joining = SimpleNamespace(student=tasks["train"].student, tasks=tasks)
    for name, found in {"turns": None, "begin": None, "joined": joining}.items():
        monkeypatch.setattr(train_stages, name, lambda *_, found=found: found)
    place = SimpleNamespace(run=lambda work, world: None)
    work = Work(partial(JointLesson, place), mini(), samples_a_step=2, precision=torch.float32)
    lesson = work.open_lesson(work, ALONE)
    tokens = [len(one.labels) + 5 for one in tasks["train"].written]  # positions, and steps of Speak
    held_out = lesson.held_out()
    assert held_out == lesson.held_out() and lesson.tally.tokens == 0
    for system in SYSTEMS:
        lesson.begin(1)
        done = iter(range(7))
        with pytest.raises(StopIteration):
            run(system, lesson, tmp_path / system, lambda done=done: next(done))
        assert lesson.held_out() < held_out
        assert lesson.tally.tokens % sum(tokens) == 0 or system == HARKEN
        assert 0 < lesson.tally.tokens <= lesson.tally.padded
