"""The stage affect: what is heard of a conversation, what stands before the reply, what is replayed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from harken.dialogue.render import THINK_CLOSE, THINK_OPEN, AssistantTurn, UserTurn, render
from harken.errors import DataError, TrainingError
from harken.model.ctc_bridge import CtcBridge, CtcBridgeSizes
from harken.model.listen import AffectPrefix
from harken.model.speller import Speller
from harken.testing import tiny_core
from harken.training.affect import AffectTask, DrawnTalk, Sound, portions, train_affect
from harken.training.affect_config import AffectConfig
from harken.training.affect_rows import Spoken, Talk
from harken.training.align import AlignTask
from harken.training.answers import TOP, Answer
from harken.training.examples import IGNORED
from harken.training.low_rank import add_low_rank
from harken.training.schedule import CORE_UPDATE, Schedule
from harken.training.stage_modules import align_module
from harken.training.student import Student

SYSTEM = "Be kind."
OWN = torch.full((4,), 0.5)  # what `spoken` says that the readout made of a clip
AFFECTS = {"happy": torch.zeros(2, 4) + 1, "sad": torch.zeros(3, 4) - 1}
SCHEDULE = Schedule(
    steps=2, rates=(("prefix.*", 1e-2), ("bridge.*", 1e-2), (CORE_UPDATE, 1e-2)), warmup=1, evaluate_every=1
)
CONFIG = AffectConfig(SCHEDULE, replay_s=30.0, batch_tokens=400, other_voice_share=0.0)
THOUGHT = 'The speaker feels sad because: "he left"'


@pytest.fixture
def student(pieces):
    torch.manual_seed(0)
    core = tiny_core()
    table = core.embed(torch.tensor(pieces.ids)).detach()
    bridge = CtcBridge(CtcBridgeSizes(27, 16, layers=1, heads=2, kernel=3), table)
    return Student(bridge, AffectPrefix(4, 2, core.width, core.embedding_rms()), core).eval()


@pytest.fixture
def cache(spoken):
    return spoken("he left", "i won", "how", splits=("train", "dev"))


@pytest.fixture
def make(student, pieces, tokenizer, cache):
    """make(**settings) -> the task with them."""

    def build(affects=AFFECTS, **settings):
        config = replace(CONFIG, **settings)
        return AffectTask(student, Speller(pieces), tokenizer, SYSTEM, cache, affects, config)

    return build


@pytest.fixture
def talk(cache):
    """talk(text=..., **fields) -> a conversation of one turn that is heard."""
    clips = {clip.id: clip for clip in cache.clips}

    def build(key="1", text="he left", split="train", heard=True, **fields):
        turn = Spoken(text, "sad", clips[f"{split}-{text}"] if heard else None)
        made = Talk(key, "empathy", split, (turn,), None, "It sounds: [sad]", THOUGHT, "Poor you.")
        return replace(made, **fields)

    return build


def draws(task, talk, times=400):
    random = np.random.default_rng(0)
    return [task.draw(talk, random) for _ in range(times)]


def prompt(task, *turns):
    """What the core reads before it answers; (T, D)."""
    embed = task.student.core.embed
    segments = render(turns, task.tokenizer, SYSTEM)
    return torch.cat([s if isinstance(s, torch.Tensor) else embed(torch.tensor(s)) for s in segments])


def learned(task, drawn, heard=None):
    """The example of it, and what of it is learned, as text."""
    example = task.example(drawn, heard if heard is not None else task.heard(drawn.clips()))
    labels = example.labels[example.labels != IGNORED]
    return example, task.tokenizer.decode(labels)


@pytest.mark.parametrize(
    ("supervise", "target"),
    [
        ("reply", "Poor you.<|im_end|>"),
        ("label", f"The speaker feels sad.{THINK_CLOSE}Poor you.<|im_end|>"),
        ("trace", f"{THOUGHT}{THINK_CLOSE}Poor you.<|im_end|>"),
    ],
)
def test_what_stands_before_the_reply_is_what_is_supervised(make, talk, supervise, target):
    task = make(supervise=supervise, direct_share=0.0)
    (drawn,) = draws(task, talk(), 1)
    example, said = learned(task, drawn)
    assert said == target
    given = [] if supervise == "reply" else task.tokenizer.encode(THINK_OPEN, add_special_tokens=False)
    affect = task.student.prefix(drawn.turns[0].affect[None])[0]
    asked = prompt(task, UserTurn(torch.cat([affect, task.heard(drawn.clips())["train-he left"]])))
    first = int((example.labels != IGNORED).nonzero()[0, 0])
    assert first == len(asked) + len(given) - 1, "what the loop writes itself is not learned"
    torch.testing.assert_close(example.inputs[: len(asked)], asked)


def test_a_share_is_answered_at_once(make, talk):
    thoughts = [one.thought for one in draws(make(direct_share=0.25), talk())]
    assert set(thoughts) == {None, THOUGHT} and 0.2 < thoughts.count(None) / 400 < 0.3
    assert {one.thought for one in draws(make(direct_share=0.0), talk(trace=None))} == {None}


def test_tasks_that_are_said_and_not_thought_are_answered_at_once(make, talk):
    task = make(direct_share=0.0, always_direct=("contrast",))
    assert {one.thought for one in draws(task, talk(task="contrast"))} == {None}
    assert {one.thought for one in draws(task, talk())} == {THOUGHT}


def test_of_some_sources_the_thought_alone_is_learned(make, talk):
    task = make(direct_share=1.0, thoughts_of=("reccon",))
    (drawn,) = draws(task, talk(source="reccon"), 1)
    assert learned(task, drawn)[1] == f"{THOUGHT}{THINK_CLOSE}"
    (other,) = draws(task, talk(source="reccon", task="reasoning"), 1)
    assert other.replied and other.thought is None
    assert task.teaches(talk(source="reccon")) and not task.teaches(talk(source="reccon", trace=None))
    assert not make(supervise="reply", thoughts_of=("reccon",)).teaches(talk(source="reccon"))


def test_in_a_share_of_thoughts_a_voice_that_feels_otherwise_decides(make, talk):
    task = make(direct_share=0.0, person_share=1.0, other_voice_share=0.25)
    drawn = draws(task, talk())
    other = [one for one in drawn if not one.replied]
    assert 0.2 < len(other) / 400 < 0.3
    assert {one.thought for one in other} == {'The speaker feels happy because: "he left"'}
    assert all((one.turns[0].affect == 1).all() for one in other)
    assert all(one.thought == THOUGHT and (one.turns[0].affect == -1).all() for one in drawn if one.replied)
    _, said = learned(task, other[0])
    assert said == f'The speaker feels happy because: "he left"{THINK_CLOSE}', "the reply is to sadness"


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({}, {"task": "trajectory"}),  # the whole conversation decides
        ({"direct_share": 1.0}, {}),  # nothing is thought
        ({"heard": "transcript"}, {}),
        ({"heard": "shuffled"}, {}),
        ({"affect_vectors": False}, {}),
        ({"affects": {}}, {}),
    ],
)
def test_no_other_voice_where_none_would_decide(make, talk, settings, fields):
    task = make(**{"direct_share": 0.0, "other_voice_share": 1.0} | settings)
    assert all(one.replied for one in draws(task, talk(**fields), 20))


def test_a_turn_has_its_voices_own_affect_or_that_of_a_person_who_acted_its_emotion(make, talk):
    affects = [one.turns[0].affect for one in draws(make(person_share=0.3), talk())]
    own = sum(torch.equal(affect, OWN) for affect in affects)
    assert 0.65 < own / 400 < 0.75
    assert all(torch.equal(affect, OWN) or (affect == -1).all() for affect in affects)
    assert all(torch.equal(one.turns[0].affect, OWN) for one in draws(make({}), talk())), (
        "no people, no vectors"
    )


def test_a_turn_that_nobody_has_spoken_is_read_in_a_persons_voice(make, talk):
    task = make(person_share=0.0, direct_share=1.0, borrowed_voices=False)
    (drawn,) = draws(task, talk(heard=False), 1)
    assert drawn.turns[0].words == "he left" and (drawn.turns[0].affect == -1).all()
    words = task.student.core.embed(torch.tensor(task.tokenizer.encode("he left")))
    content = torch.cat([task.student.prefix(drawn.turns[0].affect[None])[0], words])
    asked = prompt(task, UserTurn(content))
    torch.testing.assert_close(learned(task, drawn)[0].inputs[: len(asked)], asked)


def test_a_turn_that_nobody_has_spoken_may_stand_behind_a_synthetic_voice(make, talk):
    task = make(person_share=0.3, direct_share=1.0)
    turns = [one.turns[0] for one in draws(task, talk(heard=False))]
    borrowed = [turn for turn in turns if torch.equal(turn.affect, OWN)]
    assert 0.6 < len(borrowed) / 400 < 0.8 and {turn.words for turn in turns} == {"he left"}
    contrasts = [one.turns[0].affect for one in draws(task, talk(heard=False, task="contrast"))]
    assert all((affect == -1).all() for affect in contrasts), "there the voice alone tells"


def test_every_turn_of_the_user_is_heard(make, talk, cache):
    clips = {clip.id: clip for clip in cache.clips}
    turns = (
        Spoken("i won", "happy", clips["train-i won"]), AssistantTurn("Hurray!"), *talk().turns
    )  # fmt: skip
    task = make(direct_share=1.0, affect_vectors=False)
    (drawn,) = draws(task, talk(turns=turns), 1)
    heard = task.heard(drawn.clips())
    asked = prompt(
        task, UserTurn(heard["train-i won"]), AssistantTurn("Hurray!"), UserTurn(heard["train-he left"])
    )
    example, said = learned(task, drawn, heard)
    torch.testing.assert_close(example.inputs[: len(asked)], asked)
    assert said == "Poor you.<|im_end|>"


def test_an_instruction_is_heard_before_the_first_turn_or_read_before_the_last(make, talk, cache):
    asked = Spoken("how", None, next(clip for clip in cache.clips if clip.id == "train-how"))
    task = make(direct_share=1.0, affect_vectors=False)
    seen = draws(task, talk(asked=asked))
    aloud = [one for one in seen if one.aloud]
    assert 0.4 < len(aloud) / 400 < 0.6
    heard = task.heard(aloud[0].clips())
    before = prompt(task, UserTurn(torch.cat([heard["train-how"], heard["train-he left"]])))
    torch.testing.assert_close(learned(task, aloud[0], heard)[0].inputs[: len(before)], before)
    written = next(one for one in seen if not one.aloud)
    before = prompt(task, UserTurn(heard["train-he left"], "how"))
    torch.testing.assert_close(learned(task, written, heard)[0].inputs[: len(before)], before)


def test_metadata_stands_in_the_prompt_where_it_is_wanted(make, talk):
    for wanted, text in ((True, "how\nIt sounds: [sad]"), (False, "how")):
        task = make(direct_share=1.0, affect_vectors=False, metadata=wanted)
        (drawn,) = draws(task, talk(asked=Spoken("how")), 1)
        heard = task.heard(drawn.clips())
        before = prompt(task, UserTurn(heard["train-he left"], text))
        torch.testing.assert_close(learned(task, drawn, heard)[0].inputs[: len(before)], before)


def test_a_transcript_is_its_words_alone(make, talk):
    task = make(heard="transcript")
    assert {one.turns for one in draws(task, talk())} == {(Sound("he left", None),)}
    (drawn,) = draws(task, talk(), 1)
    before = prompt(task, UserTurn("he left"))
    torch.testing.assert_close(learned(task, drawn)[0].inputs[: len(before)], before)


def test_shuffled_speech_is_anybodys_of_split_train(make, talk):
    words = [one.turns[0].words.id for one in draws(make(heard="shuffled"), talk(split="dev"))]
    assert set(words) == {"train-he left", "train-i won", "train-how"}


def test_without_speech_there_is_none_to_shuffle(make, cache):
    cache.clips.clear()
    with pytest.raises(DataError, match="no row is spoken"):
        make(heard="shuffled")


def test_without_affect_vectors_the_words_stand_alone(make, talk):
    assert all(one.turns[0].affect is None for one in draws(make(affect_vectors=False), talk()))
    replayed = make(affect_vectors=False).config.replayed(people=True)
    assert (replayed.no_affect_share, replayed.person_share, replayed.trace_share) == (1.0, 0.0, 0.0)


def test_tasks_come_in_their_shares_and_those_that_are_not_there_leave_theirs(talk):
    rows = [talk(f"e{i}") for i in range(30)] + [talk(f"c{i}", task="contrast") for i in range(10)]
    chosen = portions(rows, (("empathy", 0.3), ("contrast", 0.3), ("reasoning", 0.4)))
    counts = [sum(one.task == task for one in chosen) for task in ("empathy", "contrast", "reasoning")]
    assert counts == [20, 20, 0]
    assert len({one.id for one in chosen if one.task == "contrast"}) == 10
    assert chosen == portions(rows[::-1], (("empathy", 0.3), ("contrast", 0.3), ("reasoning", 0.4)))


def replayed(task):
    def answer(text):
        tokens = [*task.tokenizer.encode(text), task.tokenizer.eos_token_id]
        top = [[t, *(i for i in range(TOP) if i != t)][:TOP] for t in tokens]
        return Answer(text, tokens, top, [[-0.5, *[-3.6] * (TOP - 1)] for _ in tokens])

    answers = {text: answer(f"So {text}.") for text in ("he left", "i won")}
    config = task.config.replayed(people=True)
    return AlignTask(
        task.student, task.speller, task.tokenizer, SYSTEM, answers, {}, {}, {}, dict(task.affects), config
    )


def run(task, talks, cache, out, **how):
    train_affect(task, talks, replayed(task), cache, out, "parts", torch.float32, **how)
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def updated(student):
    pytest.importorskip("peft")
    pytest.importorskip("jiwer")
    add_low_rank(student.core, rank=2)
    return student


def test_what_has_a_rate_is_trained_and_nothing_else(updated, make, talk, cache, tmp_path):
    before = {name: parameter.detach().clone() for name, parameter in updated.named_parameters()}
    talks = [talk(), talk("2", "i won"), talk("3", split="dev"), talk("4", split="dev", task="contrast")]
    rows = run(make(), talks, cache, tmp_path / "affect", guard=False)
    after = dict(updated.named_parameters())
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {n for n in before if n.startswith(("bridge.", "prefix.")) or "lora_" in n}
    assert all(
        row["loss"] == pytest.approx(0.5 * row["replay"] + 0.5 * row["affect"], abs=1e-3) for row in rows
    )
    assert {"dev_empathy", "dev_contrast", "dev_wer"} <= rows[-1].keys() and "dev_reasoning" not in rows[-1]
    frozen = replace(SCHEDULE, rates=(("prefix.*", 1e-2),))
    bridge = {name: value.clone() for name, value in updated.bridge.state_dict().items()}
    run(make(schedule=frozen), talks, cache, tmp_path / "frozen")
    assert all(torch.equal(value, bridge[name]) for name, value in updated.bridge.state_dict().items())


def test_two_steps_move_what_a_dry_run_tells(recipe, cache, pieces, tokenizer, tmp_path, trains_what_is_told):
    pytest.importorskip("peft")
    pytest.importorskip("jiwer")
    width = 148  # the readout's vector
    cache.clips = [replace(clip, felt=(0.5,) * width) for clip in cache.clips]
    said = Spoken("he left", "sad", cache.clips[0])
    talks = [Talk("1", "empathy", "train", (said,), None, "It sounds: [sad]", THOUGHT, "Poor you.")]
    torch.manual_seed(0)
    student = align_module(recipe, tiny_core(), pieces.ids, width)
    affects = {emotion: rows.repeat(1, width // 4) for emotion, rows in AFFECTS.items()}

    def train(config):
        task = AffectTask(student, Speller(pieces), tokenizer, SYSTEM, cache, affects, config)
        train_affect(task, talks, replayed(task), cache, tmp_path / "told", "parts", guard=False)

    moved = trains_what_is_told("affect", recipe, AffectConfig(), "", student, train)
    names = [name for name, _ in student.named_parameters()]
    assert moved == {n for n in names if n.startswith(("bridge.", "prefix.")) or "lora_" in n}


def test_from_the_same_parts_the_losses_are_the_same(updated, make, talk, cache, tmp_path):
    talks = [talk(), talk("2", "i won")]
    start = {name: value.clone() for name, value in updated.state_dict().items()}
    whole = run(make(), talks, cache, tmp_path / "whole", guard=False)
    half = tmp_path / "half"
    updated.load_state_dict(start)
    run(make(schedule=replace(SCHEDULE, save_every=1)), talks, cache, half, guard=False)
    assert [row["loss"] for row in whole] == [
        json.loads(line)["loss"] for line in (half / "metrics.jsonl").read_text().splitlines()
    ]


def test_where_only_alignment_is_replayed_nothing_else_is_learned(updated, make, talk, cache, tmp_path):
    rows = run(make(replay_weight=1.0), [talk(), talk("2", split="dev")], cache, tmp_path, guard=False)
    assert all(row["loss"] == row["replay"] and "affect" not in row for row in rows)
    assert "dev_empathy" in rows[-1]


def test_a_stage_that_costs_words_is_refused(updated, make, talk, cache, tmp_path, monkeypatch):
    errors = iter([0.1, 0.1, 0.2, 0.2])
    monkeypatch.setattr("harken.training.align.words_on_dev", lambda *_, **__: lambda: {"wer": next(errors)})
    with pytest.raises(TrainingError, match="word error rate"):
        run(make(), [talk()], cache, tmp_path)


@pytest.mark.parametrize("fields", [{"split": "dev"}, {"target": "so " * 300}])
def test_conversations_that_teach_nothing_are_counted(make, talk, cache, tmp_path, fields):
    with pytest.raises(DataError, match="none of 1 conversations is of split train and fits into 400 tokens"):
        run(make(), [talk(**fields)], cache, tmp_path)


def test_a_think_block_counts_in_the_length(make, talk):
    short, long = (make(supervise=how).length(talk()) for how in ("reply", "trace"))
    assert long - short == len(f"{THINK_OPEN}{THOUGHT}{THINK_CLOSE}")
    drawn = DrawnTalk(talk(), (Sound("he left", None),), None, THOUGHT)
    assert len(make().example(drawn, {}).labels) == long


def test_what_is_said_of_a_conversation_teaches_the_ear(make, talk):
    """Gradients pass through the words as heard, though they are spelled apart."""
    task = make(direct_share=1.0)
    task.student.bridge.out.weight.grad = None
    task.losses([talk()], np.random.default_rng(0))["affect"].backward()
    assert task.student.bridge.out.weight.grad.abs().sum() > 0
