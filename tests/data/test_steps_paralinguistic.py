"""Paralinguistic rows: what is asked of which clips, what is read of a teacher's text, what is dropped."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.affect.labels import EMOTIONS
from harken.data.rows import Affect, Cause, Row, Speaker, Turn, Vad, Word
from harken.data.steps.base import Dropped
from harken.data.steps.paralinguistic import ASK, OPENING, PROMPTS, Paralinguistic
from harken.data.steps.paralinguistic_clip import clip_of, metadata, richest, with_metadata
from harken.data.steps.paralinguistic_filters import (
    UNREADABLE,
    Draft,
    answered_by_words,
    fault,
    read_drafts,
)
from harken.data.steps.paralinguistic_templates import QUESTIONS, questions_of
from harken.data.steps.paralinguistic_words import emotions_named
from harken.data.steps.teaching import LLM_ERROR
from harken.data.workspace import Workspace
from harken.llm.base import Completion, LLMError, Sampling

SAD = (Affect("sad", "model", 0.81, vad=Vad(-0.7, -0.3, -0.2), model="readout@1"),)
UNKNOWN = Speaker("of whom nothing is known")
GOOD = Draft("What weighs on them?", "They sound sad about the job.", "CE", "complex", ("lost my job",))


def row(name: str = "r", text: str = "I lost my job today.", **changes: Any) -> Row:
    turn = Turn("user", text, seconds=2.3, speaker=Speaker("s1", "female"), affect=SAD)
    turn = replace(turn, **{k: changes.pop(k) for k in list(changes) if hasattr(turn, k) and k != "task"})
    made = Row(name, "g", "train", "source", "", "en", "mine", "CC0-1.0", True, (turn,))
    return replace(made, **changes)


def clip(**changes: Any) -> Any:
    found = clip_of(row(**changes), 0.6)
    assert found is not None
    return found


@dataclass
class FakeLLM:
    """Answers by a function of the prompt, and remembers what it was asked."""

    answer: Callable[[str], str | LLMError]
    asked: list[str] = field(default_factory=list)
    name: str = "fake"
    revision: str = "7"
    template: str = "chatml"
    thinks: bool = False

    def complete(self, prompts: Sequence[str], sampling: Sampling) -> list[Completion | LLMError]:
        self.asked += prompts
        answers = [self.answer(prompt) for prompt in prompts]
        return [a if isinstance(a, LLMError) else Completion(a, "stop") for a in answers]


@dataclass(frozen=True)
class Lent:
    """What a build lends."""

    model: FakeLLM | None = None
    seed: int = 3
    folder: Path = Path()

    def llm(self, name: str) -> Any:
        assert self.model is not None, "no teacher should be opened"
        return self.model


def writes(*drafts: Draft, blind: str | LLMError = "UNKNOWN") -> FakeLLM:
    """A teacher that writes these drafts for every clip, and answers `blind` from the words alone."""
    lines = "\n".join(json.dumps(asdict(draft), ensure_ascii=False) for draft in drafts)
    return FakeLLM(lambda prompt: lines.removeprefix(OPENING) if prompt.endswith(OPENING) else blind)


def run(rows: Sequence[Row], model: FakeLLM | None = None, **config: Any) -> tuple[list[Row], list[Dropped]]:
    """Made rows and dropped ones of a shard; the rows that went in are checked to have passed."""
    config = {"templates": False, "clip_share": 1.0, "explicit_share": 0.0} | config
    config |= {} if model else {"llm_questions": 0}
    out = list(Paralinguistic(**config).open(Lent(model))(rows, Workspace(Path("/nowhere"))))
    assert out[: len(rows)] == list(rows)
    made = out[len(rows) :]
    return [r for r in made if isinstance(r, Row)], [d for d in made if isinstance(d, Dropped)]


def test_a_teachers_question_becomes_a_row_with_its_provenance() -> None:
    (made,), dropped = run([row()], writes(GOOD))
    assert not dropped
    assert (made.task, made.stage, made.split, made.group, made.parents) == (
        *("paralinguistic", "1-2", "train", "g", ("r",)),
    )
    assert made.qa is not None and made.qa.type == "CE" and made.qa.evidence == ("lost my job",)
    assert made.instruction is not None and made.instruction.text == GOOD.question
    assert made.target == GOOD.answer and made.trace is None
    assert made.teacher is not None and (made.teacher.name, made.teacher.seed) == ("fake", 3)
    assert made.teacher.prompt_sha256 == PROMPTS["paralinguistic-en"].sha256 == ASK["en"].sha256


def test_the_teacher_is_told_words_times_labels_and_dimensions() -> None:
    teacher = writes(GOOD)
    run([row(words=(Word("I", 0.0, 0.1), Word("lost", 0.25, 0.5)))], teacher)
    asked = teacher.asked[0]
    for told in (
        *("Speaker: I lost my job today.", "[0.0-2.3 s: sad, 0.81]", "Valence -0.7, arousal -0.3"),
        *("I@0.00 lost@0.25", "Speaker: a woman", "Questions: 4"),
    ):
        assert told in asked
    assert asked.endswith(OPENING)
    unknown = writes(GOOD)
    run([row(speaker=UNKNOWN)], unknown)
    assert "Speaker: a woman" not in unknown.asked[0]


def test_rows_come_out_the_same_again_and_ids_are_distinct() -> None:
    rows = [row(f"r{i}", f"I lost my job number {i}.") for i in range(5)]
    drafts = (GOOD, Draft("How heavy is it?", "It sounds sad.", "E", "simple"), GOOD)
    config = {"templates": True, "explicit_share": 0.5}
    first, again = (run(rows, writes(*drafts), **config) for _ in range(2))
    assert first == again
    ids = [r.id for r in first[0]] + [d.row.id for d in first[1]]
    assert len(set(ids)) == len(ids) > 20


def is_explicit(row: Row) -> bool:
    """Does the row's prompt carry metadata? Its plain twin asks `qa.text` alone."""
    return bool(row.instruction and row.qa and row.instruction.text != row.qa.text)


def test_explicit_rows_stand_beside_the_same_question_without_metadata() -> None:
    made, _ = run([row()], writes(GOOD), explicit_share=1.0)
    plain, explicit = made
    assert not is_explicit(plain) and is_explicit(explicit)
    assert explicit.qa == plain.qa and explicit.target == plain.target and explicit.parents == (plain.id,)
    assert explicit.instruction is not None
    assert explicit.instruction.text == f"{GOOD.question}\nHow it sounds: [0.0-2.3 s: sad, 0.81]"


def test_in_dev_every_question_comes_both_ways() -> None:
    rows = [row(f"r{i}", split=split) for i, split in enumerate(["dev", "train"] * 4)]
    made, _ = run(rows, templates=True, explicit_share=0.0)
    counts = Counter((r.split, is_explicit(r)) for r in made)
    assert counts[("dev", True)] == counts[("dev", False)] > 0
    assert counts[("train", False)] > 0 == counts[("train", True)]


def test_metadata_prefers_the_models_labels_and_numbers_the_turns() -> None:
    acted = Turn("user", "a b", affect=(Affect("anger", "rule"), *SAD), seconds=1.0)
    moved = Turn(
        "user",
        "c d",
        affect=(Affect("fear", "human", t0=0.0, t1=1.2), Affect("sad", "human", t0=1.2, t1=3.0)),
    )
    turns = (acted, Turn("assistant", "e"), moved)
    assert metadata(turns, "en") == (
        "How it sounds: (1) [0.0-1.0 s: sad, 0.81] (2) [0.0-1.2 s: fear] [1.2-3.0 s: sad]"
    )
    silent = (Turn("user", "x"),)
    assert metadata(silent, "en") == "" and with_metadata("Who?", silent, "en") == "Who?"
    assert "[whole turn: sad]" in metadata((Turn("user", "x", affect=(Affect("sad", "rule"),)),), "en")


def test_clips_rich_in_emotion_come_first_and_doubtful_ones_not_at_all() -> None:
    def one(name: str, label: str, confidence: float | None, source: Any = "model") -> Row:
        return row(name, affect=(Affect(label, source, confidence),))

    moves = Affect("sad", "model", 0.8, t0=0, t1=1), Affect("fear", "model", 0.8, t0=1, t1=2)
    rows = [
        one("neutral", "neutral", 0.99),
        one("unsure", "anger", 0.4),
        one("other", "other", 0.9),
        one("fair", "anger", 0.7),
        one("told", "sad", None, "human"),
        row("moving", affect=moves),
        replace(one("french", "sad", 0.9), lang="fr"),
    ]
    assert [c.row.id for c in richest(rows, 1.0, 0.6)] == ["moving", "told", "fair", "neutral"]
    assert [c.row.id for c in richest(rows, 0.5, 0.6)] == ["moving", "told"]
    assert clip_of(replace(rows[0], turns=(Turn("assistant", "hm"),)), 0.6) is None


def test_only_source_rows_are_asked_about_and_only_up_to_the_users_last_turn() -> None:
    source = row("a")
    source = replace(source, turns=(*source.turns, Turn("assistant", "Oh no.")))
    made, _ = run([source, replace(row("b"), task="empathy")], templates=True)
    assert made and {r.parents for r in made} == {("a",)}
    assert all(r.turns == source.turns[:1] for r in made)


def test_templates_need_no_teacher_and_ask_what_is_known() -> None:
    known, _ = run([row(cause=(Cause(0, "lost my job"),))], templates=True)
    assert {r.qa.type for r in known if r.qa} == {"E", "G", "CE", "CG"}
    assert all(r.teacher is None for r in known)
    answers = {r.qa.type: r.target for r in known if r.qa}
    assert answers["E"] == "The speaker sounds sad."
    assert answers["CE"] == "The speaker sounds sad, and the reason is in the words “lost my job”."
    assert "a woman" in str(answers["G"]) and "I lost my job today." in str(answers["CG"])
    bare, _ = run([row(speaker=UNKNOWN)], templates=True)
    assert [r.qa.type for r in bare if r.qa] == ["E"]


def test_who_is_not_yet_spoken_gets_a_gender_that_the_voice_is_to_have() -> None:
    unspoken = [row(f"r{i}", speaker=Speaker(), group=f"g{i}") for i in range(20)]
    made, _ = run(unspoken, templates=True)
    assert {r.last_user.speaker.gender for r in made} == {"female", "male"}
    for r in made:
        if r.qa and r.qa.type == "G":
            said = {"female": "a woman", "male": "a man"}[r.last_user.speaker.gender or ""]
            assert r.target == f"It is {said}."
    recorded, _ = run([row(speaker=Speaker(), audio="a.wav")], templates=True)
    assert {r.last_user.speaker for r in recorded} == {Speaker()}


def test_a_moving_emotion_is_told_with_its_times() -> None:
    moving = clip(affect=(Affect("anger", "model", 0.9, t0=0.0, t1=1.5), Affect("sad", "model", 0.8, t0=1.5)))
    (emotion,) = [d for d in questions_of(moving, 0) if d.type == "E"]
    assert emotion.answer == "The speaker sounds angry at first, then sad from 1.5 seconds on."


@given(
    st.sampled_from([e for e in EMOTIONS if e != "other"]),
    st.sampled_from(["female", "male", None]),
    st.sampled_from([("en", "I lost my job today.", "my job"), ("zh", "我今天丢了工作。", "丢了工作")]),
    st.integers(),
)
def test_questions_by_rule_pass_the_filters_for_teachers(
    label: str, gender: str | None, words: tuple[str, str, str], seed: int
) -> None:
    lang, text, cause = words
    asked = clip(
        text=text, lang=lang, affect=(Affect(label, "human"),), speaker=Speaker("s", gender),
        cause=(Cause(0, cause),),
    )  # fmt: skip
    drafts = questions_of(asked, seed)
    assert ("G" in {d.type for d in drafts}) == (gender is not None)
    for draft in drafts:
        assert fault(draft, asked, []) is None, draft
    assert all(q in QUESTIONS[lang][d.type] for d in drafts for q in [d.question])


FAULTS = [
    ("too short or too long", replace(GOOD, question="Why?")),
    ("too short or too long", replace(GOOD, answer="")),
    ("other language", replace(GOOD, question="说话人为什么这样？")),
    ("other language", replace(GOOD, answer="说话人很难过。")),
    ("the question names its answer", replace(GOOD, question="Why is the speaker so sad?")),
    (
        "the question names its answer",
        Draft("Is this woman old or young?", "A woman.", "G", "simple", ()),
    ),
    ("type does not fit the content", replace(GOOD, type="")),
    ("type does not fit the content", Draft("Who is speaking here?", "A man.", "G", "simple")),
    (
        "type does not fit the content",
        Draft("What has happened?", "They are happy.", "C", "simple", ("job",)),
    ),
    ("evidence is not in the transcript", replace(GOOD, evidence=("the shop closes",))),
    ("no evidence", replace(GOOD, evidence=())),
    ("the answer does not depend on the affect", replace(GOOD, answer="They lost their job.")),
    ("the answer does not depend on the affect", replace(GOOD, answer="They sound happy about it.")),
    ("the answer does not depend on the affect", replace(GOOD, answer="The voice is loud and energetic.")),
]


@pytest.mark.parametrize(("reason", "draft"), FAULTS)
def test_each_fault_is_dropped_with_its_reason(reason: str, draft: Draft) -> None:
    made, dropped = run([row()], writes(draft))
    assert not made and [d.reason for d in dropped] == [reason]
    assert dropped[0].step == "paralinguistic" and dropped[0].row.parents == ("r",)


def test_an_answer_may_name_others_genders_but_not_mistake_the_speakers() -> None:
    draft = replace(GOOD, answer="He sounds sad about the job.")
    _, dropped = run([row()], writes(draft))
    assert [d.reason for d in dropped] == ["the answer names another gender"]
    assert run([row(text="I lost my job, he took it.")], writes(draft))[0]
    assert run([row(speaker=UNKNOWN)], writes(draft))[0]


def test_gender_is_not_asked_of_an_unknown_speaker() -> None:
    draft = Draft("Who is speaking here?", "A woman.", "G", "simple")
    assert run([row()], writes(draft))[0]
    _, dropped = run([row(speaker=UNKNOWN)], writes(draft))
    assert dropped[0].reason == "type does not fit the content" and "not known" in dropped[0].detail


def test_the_same_question_twice_is_dropped_once() -> None:
    made, dropped = run([row()], writes(GOOD, replace(GOOD, question="what weighs on them??")))
    assert len(made) == 1 and [d.reason for d in dropped] == ["duplicate question"]


def test_an_answer_may_rest_on_the_dimensions_alone() -> None:
    draft = Draft("How much strength is there?", "The voice is weary and subdued.", "E", "complex")
    assert len(run([row()], writes(draft))[0]) == 1


def test_what_the_words_alone_answer_is_dropped() -> None:
    _, dropped = run([row()], writes(GOOD, blind="Probably they are sad, as they lost their job."))
    assert [d.reason for d in dropped] == ["the words alone answer it"]
    assert len(run([row()], writes(GOOD, blind="They are probably angry."))[0]) == 1
    assert len(run([row()], writes(GOOD, blind="They are sad."), blind_check=False)[0]) == 1


def test_the_blind_teacher_sees_the_words_and_nothing_of_the_sound() -> None:
    teacher = writes(GOOD)
    run([row()], teacher)
    blind = teacher.asked[1]
    assert GOOD.question in blind and "I lost my job today." in blind
    assert not emotions_named(blind, "en") and "0.81" not in blind and "Valence" not in blind
    assert blind.endswith(f"{GOOD.question}<|im_end|>\n<|im_start|>assistant\n")


def test_guessing_a_gender_is_not_reading_it() -> None:
    draft = Draft("Who is speaking here?", "A woman.", "G", "simple")
    assert not answered_by_words(draft, "A woman.", clip())
    assert answered_by_words(replace(GOOD, answer="It is heavy."), "it is heavy", clip())


def test_a_teacher_that_fails_or_rambles_leaves_a_reason_and_the_templates() -> None:
    broken = FakeLLM(lambda prompt: LLMError("timed out"))
    made, dropped = run([row()], broken, templates=True)
    assert made and [(d.reason, d.detail) for d in dropped] == [(LLM_ERROR, "timed out")]
    _, dropped = run([row()], FakeLLM(lambda prompt: "As an AI, I cannot hear."))
    assert [d.reason for d in dropped] == [UNREADABLE]
    _, dropped = run([row()], writes(GOOD, blind=LLMError("429")))
    assert [(d.reason, d.detail) for d in dropped] == [(LLM_ERROR, "429")]


def test_half_a_character_in_an_answer_stops_no_build() -> None:
    """Cut between the two escapes of a character; the answer comes again from the cache in every build."""
    half = replace(GOOD, question="What weighs on them \ud83d?", answer=f"{GOOD.answer} \ud83d")
    (made,), dropped = run(
        [row()], FakeLLM(lambda prompt: json.dumps(asdict(half)).removeprefix(OPENING)), blind_check=False
    )
    assert made.qa and (made.qa.text, made.target) == ("What weighs on them ??", f"{GOOD.answer} ?")
    assert not dropped
    (draft,) = read_drafts(json.dumps(asdict(replace(half, evidence=("lost \ud83d",)))))
    assert "".join((draft.question, draft.answer, *draft.evidence)).encode()


def test_no_more_drafts_are_read_than_twice_what_was_asked_for() -> None:
    many = [replace(GOOD, question=f"{n} {'x' * 3 * n}?" + "y" * 8) for n in range(9)]
    made, dropped = run([row()], writes(*many), llm_questions=2)
    assert len(made) + len(dropped) == 4


def test_the_teacher_writes_about_the_richest_clips_alone_where_told_so() -> None:
    rows = [
        row(f"r{i}", f"I lost my job, number {i}.", affect=(Affect("sad", "model", 0.6 + i / 20),))
        for i in range(6)
    ]
    teacher = writes(GOOD)
    made, _ = run(rows, teacher, llm_share=0.34, templates=True)
    assert {r.parents[0] for r in made if r.teacher} == {"r4", "r5"}
    assert {r.parents[0] for r in made if not r.teacher} == {f"r{i}" for i in range(6)}
    assert len(teacher.asked) == 4  # for each a writing and a blind one


def test_a_chinese_clip_is_asked_about_in_chinese() -> None:
    asked = row(text="我今天丢了工作。", lang="zh")
    draft = Draft("什么事压在心上？", "说到丢了工作时，听起来很难过。", "CE", "complex", ("丢了工作",))
    teacher = writes(draft)
    (made,), dropped = run([asked], teacher)
    assert made.lang == "zh" and not dropped and "说话人: 我今天丢了工作。" in teacher.asked[0]
    _, dropped = run([asked], writes(replace(draft, question="说话人为什么难过？")))
    assert dropped[0].reason == "the question names its answer"
