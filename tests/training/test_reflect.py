"""The stage reflect: one sequence of chunks and reflections, what is learned of it, and its rivals."""

from __future__ import annotations

import itertools
import json
import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harken.data.rows import Reflection
from harken.dialogue.conversation import Conversation
from harken.dialogue.reply import ReplySettings, reply
from harken.dialogue.sampling import Sampling
from harken.errors import DataError, RecipeError
from harken.model.speller import Speller
from harken.recipes import ReflectConfig, mini
from harken.testing import REFLECT, REFLECTED, ScriptedLM, tiny_core, tiny_tokenizer
from harken.training.affect import AffectTask
from harken.training.affect_config import AffectConfig
from harken.training.affect_rows import Spoken, Talk
from harken.training.examples import IGNORED
from harken.training.reflect import ReflectTask, preference_loss, train_reflect
from harken.training.reflect_arms import ARMS, TAUGHT, ReflectTraining, reflect_config, taught
from harken.training.reflect_rows import Reflecting
from harken.training.reflect_sequence import Marks, chunk_ends, sequenced
from harken.training.reflect_stage import begin_marks
from harken.training.schedule import Schedule
from harken.training.stage_modules import align_module, reflect_module

MARKS = Marks(259, 260)
HOW = ReflectConfig(response_tokens=4, reflection_tokens=10)
THOUGHTS = (Reflection(0, "need"), Reflection(4, "warm"), Reflection(7, "ask"))
REPLY = "Poor you."
THOUGHT = 'The speaker feels sad because: "he left"'
SCHEDULE = Schedule(
    steps=2, rates=(("marks.*", 1e-2), ("core.write.*lora_*", 1e-2)), warmup=1, evaluate_every=1
)


def readable(tokenizer, sequence) -> str:
    """Reflections in brackets; what is not learned in small letters."""
    text = ""
    for token, part in zip(sequence.ids, sequence.parts, strict=True):
        mark = {MARKS.opening: "[", MARKS.closing: "]", tokenizer.eos_token_id: "$"}.get(token)
        letter = mark or tokenizer.decode([token])
        text += letter.lower() if part == "given" else letter.upper()
    return text


@pytest.mark.parametrize(
    ("tokens", "given_tokens", "how", "ends"),
    [
        (3, 0, HOW, []),
        (4, 0, HOW, [4]),
        (9, 0, HOW, [4, 8]),
        (9, 3, HOW, [3, 7]),
        (9, 4, HOW, [4, 8]),
        (9, 6, HOW, [4, 6]),
        (9, 0, HOW.model_copy(update={"first": "reflection"}), [0, 4, 8]),
    ],
)
def test_chunks_end_where_the_loop_ends_them_and_behind_a_weak_beginning(tokens, given_tokens, how, ends):
    assert chunk_ends(tokens, given_tokens, how) == ends


@pytest.mark.parametrize(
    ("given_characters", "changes", "text"),
    [
        (0, {}, "POOR[WARM] YOU[ASK].$"),
        (0, {"response_tokens": 8}, "POOR YOU[ASK].$"),
        (0, {"response_tokens": 3}, "POO[NEED]R Y[WARM]OU.[ASK]$"),
        (0, {"response_tokens": 20}, "POOR YOU.$"),
        (0, {"first": "reflection", "response_tokens": 20}, "[NEED]POOR YOU.$"),
        (0, {"reflection_tokens": 3}, "POOR YOU[ASK].$"),
        (4, {"response_tokens": 20}, "poor[WARM] YOU.$"),
        (7, {}, "poor[WARM] yo[ASK]U.$"),
    ],
)
def test_a_reply_and_its_reflections_are_one_sequence(tokenizer, given_characters, changes, text):
    how = HOW.model_copy(update=changes)
    made = sequenced(tokenizer, REPLY, given_characters, THOUGHTS, how, MARKS)
    assert readable(tokenizer, made) == text


def test_without_reflections_it_is_the_reply(tokenizer):
    plain = sequenced(tokenizer, REPLY, 0, THOUGHTS, None, MARKS)
    assert readable(tokenizer, plain) == "POOR YOU.$"
    silent = sequenced(tokenizer, REPLY, 0, THOUGHTS, HOW, MARKS, [True, False])
    assert readable(tokenizer, silent) == "POOR YOU[ASK].$"


@given(
    st.text("abc. ", min_size=1, max_size=30),
    st.integers(1, 9),
    st.sampled_from(["response", "reflection"]),
)
def test_it_is_in_the_order_in_which_the_loop_writes(letters: str, size: int, first: str) -> None:
    said = f"a{letters.strip()}b"
    how = ReflectConfig(response_tokens=size, reflection_tokens=10, first=first)
    model = ScriptedLM(lambda _: said, reflect=how, reflection=lambda _: "Hm.")
    settings = ReplySettings(think="off", sampling=Sampling(loop=0), reflect=how)
    list(reply(Conversation(model), "Hi.", settings))
    written = "".join(model.read_texts).split("<|im_start|>assistant\n")[1]
    thoughts = [Reflection(at, "Hm.") for at in range(len(said) + 1)]
    marks = Marks(model.marks.opening, model.marks.closing)
    made = sequenced(model.tokenizer, said, 0, thoughts, how, marks)
    assert len(made.ids) == len(made.parts)
    learned = model.tokenizer.decode(made.ids[:-1])
    assert learned.startswith(written) and len(learned) - len(written) <= 1, "the last token is not read"
    assert learned.replace(f"{REFLECT}Hm.{REFLECTED}", "") == said


@pytest.fixture
def student(recipe, pieces):
    pytest.importorskip("peft")
    torch.manual_seed(0)
    student = reflect_module(recipe, align_module(recipe, tiny_core(), pieces.ids, 4))
    begin_marks(student.marks, student.core, tiny_tokenizer())
    student.core.float()
    return student


@pytest.fixture
def make(student, pieces, tokenizer, spoken):
    """make(arm, how=..., **settings) -> a task of that arm."""
    cache = spoken("he left")

    def build(arm="reflect", how=HOW, **settings):
        config = replace(reflect_config(arm), schedule=SCHEDULE, silent_share=0.0, **settings)
        if arm in ("sft", "dpo"):
            config = replace(config, schedule=replace(SCHEDULE, rates=SCHEDULE.rates[1:]))
            how = None
        hear = AffectConfig(config.schedule, supervise="trace", direct_share=1 - config.trace_share)
        task = AffectTask(student, Speller(pieces), tokenizer, "Be kind.", cache, {}, hear)
        return ReflectTask(task, student, how, config)

    return build


def one(key="1", split="train", **fields) -> Reflecting:
    said = Spoken("he left", "sad")
    talk = Talk(key, "reflect", split, (said,), None, "", THOUGHT, fields.pop("target", REPLY))
    return replace(Reflecting(talk, THOUGHTS, 0, "So what."), **fields)


def learned_text(task, chosen: Reflecting) -> list[str]:
    """What each learned position should write."""
    random = np.random.default_rng(0)
    drawn = task.hearing.draw(chosen.talk, random)
    example = task.example(drawn, {}, task.sequence(chosen, random))
    ids = [int(label) for label in example.labels if label != IGNORED]
    names = {MARKS.opening: REFLECT, MARKS.closing: REFLECTED, task.hearing.tokenizer.eos_token_id: "$"}
    assert int(example.reflects.sum()) == sum(len(r.text) + 1 for r in THOUGHTS if task.how and r.at) * (
        task.config.arm == "reflect"
    ) + (len("need") + 1) * (task.config.arm == "think-before")
    return [names.get(i) or task.hearing.tokenizer.decode([i]) for i in ids]


def test_what_each_arm_learns_of_the_same_row(make):
    before = HOW.model_copy(update={"first": "reflection", "response_tokens": 40})
    learned = {
        arm: "".join(learned_text(make(arm, trace_share=0.0), one())) for arm in ("reflect", "sft", "dpo")
    }
    learned["think-before"] = "".join(learned_text(make("think-before", before, trace_share=0.0), one()))
    assert learned == {
        "reflect": f"Poorwarm{REFLECTED} youask{REFLECTED}.$",  # the mark that opens is the loop's to write
        "sft": "Poor you.$",
        "dpo": "Poor you.$",
        "think-before": f"need{REFLECTED}Poor you.$",
    }


def test_a_weak_beginning_is_read_and_not_learned_and_the_trace_stands_before_it(make):
    mended = one(given=4)
    assert "".join(learned_text(make(trace_share=1.0), mended)).startswith(THOUGHT)
    assert "".join(learned_text(make("sft", trace_share=0.0), mended)) == " you.$"
    weak = make("dpo").weak(one(target="So what. Poor you.", given=8))
    assert readable(tiny_tokenizer(), weak) == "so what.$"
    assert readable(tiny_tokenizer(), make("dpo").weak(one(given=4))) == "SO WHAT.$"


def test_reflections_and_replies_are_told_apart_and_both_count(make):
    task = make(trace_share=0.0, reflection_weight=0.5)
    found = task.losses([one(), one("2")], np.random.default_rng(0))
    assert float(found["loss"]) == pytest.approx(float(found["reply"] + 0.5 * found["reflection"]))
    silent = make(trace_share=0.0, how=HOW.model_copy(update={"response_tokens": 40}))
    found = silent.losses([one()], np.random.default_rng(0))
    assert float(found["reflection"]) == 0 and float(found["loss"]) == pytest.approx(float(found["reply"]))
    found["loss"].backward()
    assert silent.student.marks.rows.grad is not None


def test_reflections_are_left_out_by_chance_and_by_the_seed_alone(make):
    task = make()
    task.config = replace(task.config, silent_share=0.5)
    texts = [readable(tiny_tokenizer(), task.sequence(one(), np.random.default_rng(n))) for n in range(40)]
    assert set(texts) == {"POOR[WARM] YOU[ASK].$", "POOR YOU[ASK].$", "POOR[WARM] YOU.$", "POOR YOU.$"}
    again = [readable(tiny_tokenizer(), task.sequence(one(), np.random.default_rng(n))) for n in range(40)]
    assert again == texts


def test_the_preference_loss_is_dpos():
    margin = torch.tensor([0.0, 2.0])
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert float(preference_loss(margin)) == pytest.approx(expected)


def test_dpo_begins_undecided_and_comes_to_prefer_the_good_reply(make, tmp_path):
    task = make("dpo", beta=1.0)
    task.config = replace(task.config, schedule=replace(task.config.schedule, steps=12, evaluate_every=12))
    train_reflect(task, [one(), one("2", split="dev"), one("3", rejected=None)], tmp_path, "x", torch.float32)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["preference"] == pytest.approx(math.log(2), abs=1e-4) and rows[0]["preferred"] == 0
    assert rows[-1]["preference"] < 0.6 and rows[-1]["preferred"] == 1
    assert rows[-1]["dev_preference"] < 0.6 and rows[-1]["dev_reply"] > 0


def test_it_learns_reply_and_reflections(make, tmp_path):
    task = make(trace_share=0.0)
    task.config = replace(task.config, schedule=replace(SCHEDULE, steps=30, evaluate_every=30))
    train_reflect(task, [one(), one("2", split="dev")], tmp_path, "x", torch.float32)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["reply"] < 0.7 * rows[0]["reply"]
    assert rows[-1]["reflection"] < 0.7 * rows[0]["reflection"]
    assert {"dev_reply", "dev_reflection"} <= rows[-1].keys()


@pytest.mark.parametrize("arm", ARMS)
def test_two_steps_move_what_a_dry_run_tells(
    arm, recipe, pieces, tokenizer, spoken, tmp_path, trains_what_is_told
):
    pytest.importorskip("peft")
    torch.manual_seed(0)
    student = reflect_module(recipe, align_module(recipe, tiny_core(), pieces.ids, 148))
    begin_marks(student.marks, student.core, tokenizer)
    cache = spoken("he left")
    how = taught(recipe.model_copy(update={"reflect": HOW}), arm).reflect

    def train(config):
        hear = AffectConfig(config.schedule, supervise="trace")
        hearing = AffectTask(student, Speller(pieces), tokenizer, "Be kind.", cache, {}, hear)
        task = ReflectTask(hearing, student, how, replace(config, silent_share=0.0))
        train_reflect(task, [one()], tmp_path / "told", "parts")

    moved = trains_what_is_told("reflect", recipe, reflect_config(arm), "", student, train)
    names = [name for name, _ in student.named_parameters()]
    update = {name for name in names if name.startswith("core.write.") and "lora_" in name}
    assert moved == update | ({"marks.rows"} if arm in ("reflect", "think-before") else set())


@pytest.mark.parametrize("arm", ["reflect", "dpo"])
def test_a_run_that_stopped_goes_on_to_the_bit(make, student, arm, tmp_path):
    start = {name: value.clone() for name, value in student.state_dict().items()}

    def losses(folder, breaks_at=None):
        """Of three steps, from the same parts; broken off at one of them."""
        student.load_state_dict(start)
        task, steps = make(arm), itertools.count()
        task.config = replace(
            task.config, schedule=replace(task.config.schedule, steps=3, save_every=1, evaluate_every=9)
        )
        plain = task.losses

        def losses_once(*given):
            if next(steps) == breaks_at:
                raise KeyboardInterrupt
            return plain(*given)

        task.losses = losses_once
        with pytest.raises(KeyboardInterrupt) if breaks_at else nullcontext():
            train_reflect(task, [one(), one("2", target="Oh no.")], folder, "x", torch.float32)
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    whole = losses(tmp_path / "whole")
    assert len(losses(tmp_path / "half", breaks_at=2)) == 2
    assert losses(tmp_path / "half") == whole


@pytest.mark.parametrize(
    ("arm", "fields", "message"),
    [
        ("reflect", {"split": "dev"}, "none of 1 replies is of split train and fits into 300 tokens"),
        ("sft", {"target": "so " * 300}, "none of 1 replies is of split train"),
        ("reflect", {"reflections": ()}, r"no.* place for one of its reflections \(4 tokens a chunk, 10 a"),
        ("reflect", {"target": "Oh."}, "none of 1 replies has a place"),
        (
            "reflect",
            {"reflections": (Reflection(4, "much too long to be"),)},
            "none of 1 replies has a place",
        ),
        ("dpo", {"rejected": None}, "no row has a reply that is rejected"),
    ],
)
def test_rows_that_teach_nothing_are_told(make, tmp_path, arm, fields, message):
    with pytest.raises(DataError, match=message):
        train_reflect(make(arm), [one(**fields)], tmp_path, "x", torch.float32)


def test_arms_say_how_their_parts_are_used():
    assert taught(mini(), "reflect").reflect == TAUGHT
    own = mini().model_copy(update={"reflect": HOW})
    assert taught(own, "reflect").reflect == HOW
    before = taught(own, "think-before").reflect
    assert (before.first, before.response_tokens, before.reflection_tokens) == ("reflection", 64, 10)
    assert taught(own, "sft").reflect is None and taught(own, "dpo").reflect is None


def test_what_cannot_be_an_arm_or_leaves_reflections_out_is_refused():
    assert reflect_config(None) == ReflectTraining()
    assert reflect_config("dpo", 3).schedule.seed == 3
    with pytest.raises(RecipeError, match="no arm 'loud'") as refused:
        reflect_config("loud")
    assert refused.value.hint == "choose one of: reflect, sft, think-before, dpo"
    none = mini().model_copy(update={"reflect": HOW.model_copy(update={"reflection_tokens": 0})})
    with pytest.raises(RecipeError, match="'mini' says `reflection_tokens` 0"):
        taught(none, "reflect")
