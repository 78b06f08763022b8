"""What is read of a teacher's questions, however untidy, and which words name emotions and genders."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.data.steps.paralinguistic_filters import Draft, read_drafts
from harken.data.steps.paralinguistic_words import emotions_named, genders_named

ONE, TWO = '{"question": "Q one?", "answer": "A."}', '{"question": "Q two?", "answer": "B."}'
UNTIDY = {
    "lines": f"{ONE}\n{TWO}",
    "fenced array": f"```json\n[{ONE},\n{TWO},]\n```",
    "numbered, trailing commas": '1. {"question": "Q one?", "answer": "A.",}\n2) {"Q": "Q two?", "A": "B.",}',
    "spread over lines": f'{{\n "question": "Q one?",\n "answer": "A."\n}}\nand {TWO}',
    "wrapped": f'{{"questions": [{ONE}, {TWO}]}}',
    "cut off": f'{ONE}\n{TWO}\n{{"question": "Q th',
    "curly quotes": "{“question”: “Q one?”, “answer”: “A.”}\n{“question”: “Q two?”, “answer”: “B.”}",
    "Chinese fields": '{"问题": "Q one?", "答案": "A."}\n{"问题": "Q two?", "答案": "B."}',
}


@pytest.mark.parametrize("text", UNTIDY.values(), ids=UNTIDY.keys())
def test_untidy_answers_are_read(text: str) -> None:
    found = {(draft.question, draft.answer) for draft in read_drafts(text)}
    assert found == {("Q one?", "A."), ("Q two?", "B.")}


@pytest.mark.parametrize(
    ("said", "read"),
    [("C+E", "CE"), ("ce", ""), ("CE: content and emotion", "CE"), ("Emotion", "E"), ("G", "G"), (None, ""),
     ("content, emotion", "CE"), ("E, C", "CE"), ("all", ""), ("EG", ""), ("情绪", "E")],
)  # fmt: skip
def test_types_are_read(said: str | None, read: str) -> None:
    (draft,) = read_drafts(json.dumps({"question": "Q", "answer": "A", "type": said}))
    assert draft.type == read


PIECES = st.sampled_from(
    ["{", "}", '"', "[", "]", ",", ":", "\\", "\n", '"question"', '"answer"', "x", "```"]
)


@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("".join)))
def test_reading_never_fails(text: str) -> None:
    for draft in read_drafts(text):
        assert isinstance(draft.question, str) and draft.type in ("", "C", "CE", "CG", "E", "G")


def test_reading_survives_depth() -> None:
    assert read_drafts("[" * 100_000) == read_drafts('{"a":' * 50_000) == []
    assert read_drafts('{"a":' * 900 + "[]" + "}" * 900) == []


TEXTS = st.text(st.characters(categories=("L", "N", "P", "Zs", "S")), min_size=1).filter(
    lambda t: t == t.strip() and t
)


@given(
    st.lists(
        st.builds(
            Draft, TEXTS, TEXTS, st.sampled_from(["C", "CE", "CG", "E", "G"]),
            st.sampled_from(["simple", "complex"]), st.lists(TEXTS, max_size=2).map(tuple),
        ),
        max_size=4,
    ),
    st.sampled_from(["{}", "{},", "- {}", "3. {}", "  {}  "]),
    st.booleans(),
    st.sampled_from([None, 2]),
)  # fmt: skip
def test_drafts_survive_the_dress_they_come_in(
    drafts: list[Draft], dress: str, fenced: bool, indent: int | None
) -> None:
    texts = [
        dress.replace("{}", json.dumps(asdict(draft), indent=indent, ensure_ascii=False)) for draft in drafts
    ]
    text = "\n".join(["```json", *texts, "```"] if fenced else texts)
    assert read_drafts(text) == drafts


def test_words_are_told_apart_by_whole_words() -> None:
    assert emotions_named("She is unhappy, not mad-cap.", "en") == {"sad", "anger"}
    assert emotions_named("nomad sadist", "en") == frozenset()
    assert emotions_named("他听起来很生气，也有点害怕", "zh") == {"anger", "fear"}
    assert genders_named("A woman.", "en") == {"female"} and genders_named("human", "en") == frozenset()
    assert genders_named("Does she mind?", "en") == frozenset()
    assert genders_named("Does she mind?", "en", pronouns=True) == {"female"}
