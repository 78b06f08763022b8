"""What is read from a judge's words: verdicts that are all there, or a fault with a name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harken.evaluation.judges import verdicts
from harken.evaluation.judges.rubrics import Dimension, Rubric
from harken.evaluation.judges.verdicts import Fault, Verdict, json_schema, parse_verdict

RUBRIC = Rubric(
    name="two",
    comment="a sentence",
    prompt="{answer_form} {reply}",
    dimensions=(Dimension(name="depth", values=(1, 3, 5)), Dimension(name="care", values=(1, 2, 3, 4, 5))),
    version="0",
)
GOOD = {"comment": "Kind.", "reasons": {"depth": "thin", "care": "warm"}, "scores": {"depth": 3, "care": 5}}


def read(**changes: Any) -> Verdict | Fault:
    return parse_verdict(json.dumps(GOOD | changes), RUBRIC)


def test_a_json_object_is_a_verdict() -> None:
    found = parse_verdict(f"\n{json.dumps(GOOD)} ", RUBRIC)
    assert found == Verdict(
        {"depth": 3, "care": 5}, {"depth": "thin", "care": "warm"}, "Kind.", in_prose=False
    )
    assert isinstance(found, Verdict) and found.mean == 4.0


@pytest.mark.parametrize(
    "text",
    [
        "Here it is: {}",
        "{}\nI hope that {this} helps.",
        "```json\n{}\n```",
        "Users {in braces} said: {}",
        "[{}]",
    ],
)
def test_prose_around_one_object_is_tolerated_and_counted(text: str) -> None:
    found = parse_verdict(text.replace("{}", json.dumps(GOOD)), RUBRIC)
    assert isinstance(found, Verdict) and found.in_prose
    assert found.scores == {"depth": 3, "care": 5}


@pytest.mark.parametrize(
    "text", ["", "5", "depth: 3, care: 5", '{"scores": {"depth": 3,', "null", "{{{", "[1, 5]"]
)
def test_no_object_is_a_fault(text: str) -> None:
    assert parse_verdict(text, RUBRIC) == Fault(verdicts.NO_JSON, text.strip())


def test_a_cut_object_gives_no_score_even_where_its_scores_are_whole() -> None:
    cut = '{"scores": {"depth": 3, "care": 5}, "comment": "Ki'
    assert parse_verdict(cut, RUBRIC) == Fault(verdicts.NO_SCORES, cut)


@pytest.mark.parametrize("scores", [None, 5, [3, 5], "3, 5"])
def test_scores_of_another_form_are_a_fault(scores: Any) -> None:
    found = read(scores=scores)
    assert isinstance(found, Fault) and found.reason == verdicts.NO_SCORES


def test_two_verdicts_are_one_too_many() -> None:
    found = parse_verdict(f"{json.dumps(GOOD)} or rather {json.dumps(GOOD)}", RUBRIC)
    assert isinstance(found, Fault) and found.reason == verdicts.SEVERAL
    other = parse_verdict(f'Of {{"turn": 1}}: {json.dumps(GOOD)}', RUBRIC)
    assert isinstance(other, Verdict), "an object without scores is prose"


def test_a_missing_dimension_is_named() -> None:
    assert read(scores={"depth": 3}) == Fault(verdicts.MISSING, "care")
    assert read(scores={}) == Fault(verdicts.MISSING, "depth")


@pytest.mark.parametrize("score", ["3", "three", None, True, [3], {"value": 3}])
def test_a_score_that_is_no_number_is_a_fault(score: Any) -> None:
    found = read(scores={"depth": score, "care": 5})
    assert isinstance(found, Fault) and found.reason == verdicts.NOT_A_NUMBER
    assert found.detail.startswith("depth: ")


@pytest.mark.parametrize("score", [0, 2, 6, -1, 3.5, 1e400, float("nan"), 10**30])
def test_a_score_off_the_scale_is_a_fault_and_is_not_snapped(score: float) -> None:
    found = read(scores={"depth": score, "care": 5})
    assert isinstance(found, Fault) and found.reason == verdicts.OFF_SCALE


def test_a_whole_number_may_be_written_with_a_point() -> None:
    found = read(scores={"depth": 3.0, "care": 5})
    assert isinstance(found, Verdict)
    assert found.scores["depth"] == 3 and isinstance(found.scores["depth"], int)


def test_reasons_and_comment_may_be_wanting_and_what_is_more_is_left() -> None:
    found = parse_verdict('{"scores": {"depth": 1, "care": 1, "wit": 9}, "reasons": "none"}', RUBRIC)
    assert found == Verdict({"depth": 1, "care": 1}, {}, "", in_prose=False)


def test_half_a_character_can_be_written_to_a_file() -> None:
    found = parse_verdict('{"comment": "a\\ud800b", "scores": {"depth": 1, "care": 1}}', RUBRIC)
    assert isinstance(found, Verdict)
    assert found.comment.encode("utf-8") == b"a?b"


def test_hostile_depth_and_length_are_faults() -> None:
    for text in ('{"scores":' * 5_000, '{"scores": {"depth": ' + "9" * 10_000 + "}}", "{" * 5_000):
        assert isinstance(parse_verdict(text, RUBRIC), Fault)
    nested = '{"scores": {"depth": ' + "[" * 900 + "]" * 900 + "}}"
    assert parse_verdict(nested, RUBRIC) == Fault(verdicts.NOT_A_NUMBER, "depth: list")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
near_verdicts = st.fixed_dictionaries(
    {},
    optional={
        "comment": json_values,
        "reasons": json_values,
        "scores": st.fixed_dictionaries(
            {}, optional={"depth": st.integers(0, 6) | json_values, "care": st.integers(0, 6) | json_values}
        ),
    },
)
completions = (
    st.text()
    | st.text(alphabet='{}[]":, 135depthcares', max_size=80)
    | st.builds(
        lambda before, value, after, end: (before + json.dumps(value) + after)[: end or None],
        st.text(max_size=10), near_verdicts | json_values, st.text(max_size=10), st.integers(0, 60),
    )
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(completions)
def test_whatever_is_written_gives_a_fault_or_scores_of_the_rubric(text: str) -> None:
    found = parse_verdict(text, RUBRIC)
    if isinstance(found, Fault):
        assert found.reason in {value for name, value in vars(verdicts).items() if name.isupper()}
        assert len(found.detail) <= verdicts.DETAIL + len("depth: ")
    else:
        assert list(found.scores) == ["depth", "care"]
        assert found.scores["depth"] in (1, 3, 5) and found.scores["care"] in range(1, 6)


@given(st.sampled_from((1, 3, 5)), st.integers(1, 5), st.text(), st.text(), st.booleans())
def test_every_verdict_is_read_back(
    depth: int, care: int, comment: str, reason: str, ascii_only: bool
) -> None:
    said = {"comment": comment, "reasons": {"care": reason}, "scores": {"depth": depth, "care": care}}
    found = parse_verdict(json.dumps(said, ensure_ascii=ascii_only), RUBRIC)
    assert isinstance(found, Verdict) and not found.in_prose
    assert found.scores == {"depth": depth, "care": care}
    assert found.comment == comment.strip() and found.reasons.get("care", "") == reason.strip()


def test_the_schema_asks_for_just_what_a_verdict_has() -> None:
    schema = json_schema(RUBRIC)
    assert list(schema["properties"]) == ["comment", "reasons", "scores"]
    assert schema["required"] == list(schema["properties"]) and schema["additionalProperties"] is False
    scores = schema["properties"]["scores"]
    assert scores["properties"] == {"depth": {"enum": [1, 3, 5]}, "care": {"enum": [1, 2, 3, 4, 5]}}
    assert scores["required"] == ["depth", "care"] and scores["additionalProperties"] is False
