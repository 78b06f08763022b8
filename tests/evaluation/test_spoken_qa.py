"""The item score of spoken question answering, and its prediction files: good, bad and missing rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.errors import DataError
from harken.evaluation.problems import Problem
from harken.evaluation.spoken_qa import (
    AQA_WEIGHTS,
    Prediction,
    Reference,
    aqa_ratios,
    item_score,
    prediction_file,
    read_predictions,
    set_score,
    tokens,
    write_predictions,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
REFERENCES = st.recursive(
    TEXTS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.lists(inner, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's the U.S.A., in 1969!", ["it", "s", "the", "u", "s", "a", "in", "1969"]),
        ("“Don’t” – he said…", ["don", "t", "he", "said"]),
        ("答案是Paris，对吗？", ["答", "案", "是", "paris", "对", "吗"]),
        ("𠀀字", ["𠀀", "字"]),
        ("Café", ["cafe\u0301"]),
        ("3+4=7 €", ["3", "+", "4", "=", "7", "€"]),
        ("zero\u200bwidth", ["zero", "width"]),
        (" ?! ", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@pytest.mark.parametrize(
    ("prediction", "reference", "score"),
    [
        ("It is the Eiffel Tower, I think.", "eiffel tower", 1),
        ("The tower of Eiffel", "eiffel tower", 0),  # not in this order
        ("the Eiffel, no, the Tower", "eiffel tower", 0),  # not one run
        ("Parisian", "Paris", 0),  # not a part of a word
        ("caf\u00e9", "CAFE\u0301", 1),
        ("cafe", "café", 0),
        ("他出生在北京市。", "北京", 1),
        ("他在北方的京城", "北京", 0),
        ("in Rome", ["Paris", "Rome"], 1),
        ("in Rome", ["Paris", "Oslo"], 0),
        ("Marie and Pierre Curie", ("Pierre", "Marie"), 1),
        ("Marie Curie", ("Pierre", "Marie"), 0),
        ("Marie Curie", [("Pierre", "Marie"), "curie"], 1),
        ("red or blue", (["blue", "green"], ["red"]), 1),
        ("anything", "", 0),
        ("anything", ["?"], 0),
        ("anything", (), 0),
        ("", "a", 0),
    ],
)
def test_item_score(prediction: str, reference: Reference, score: int) -> None:
    assert item_score(prediction, reference) == score


@given(TEXTS, TEXTS, TEXTS)
def test_a_reference_is_found_wherever_it_stands_as_words(before: str, answer: str, after: str) -> None:
    assert item_score(f"{before} {answer} {after}", answer) == bool(tokens(answer))


@given(TEXTS, st.lists(REFERENCES, min_size=1, max_size=3))
def test_a_list_is_any_and_a_tuple_is_all(prediction: str, parts: list[Reference]) -> None:
    scores = [item_score(prediction, part) for part in parts]
    assert item_score(prediction, parts) == max(scores)
    assert item_score(prediction, tuple(parts)) == min(scores)


@given(TEXTS)
def test_tokens_hold_no_space_and_no_punctuation(text: str) -> None:
    found = tokens(text)
    assert all(
        token and not token.isspace() and not set(token) & set(" ,.!?'\"“”’…–，。？") for token in found
    )


def test_a_set_is_scored_out_of_a_hundred_with_an_interval() -> None:
    right, wrong = Prediction("1", "Rome", "rome"), Prediction("2", "Oslo", "rome")
    interval = set_score([right] * 30 + [wrong] * 10)
    assert interval.value == 75 and 55 < interval.low < 75 < interval.high < 95
    with pytest.raises(DataError, match="no predictions"):
        set_score([])


def test_columns_weigh_the_papers_sets() -> None:
    english = aqa_ratios("AQA-en", {"llamaqa-en": [100, 100], "triviaqa-en": [0, 0, 0]})
    assert english.value() == pytest.approx(100 * 300 / 1137)
    everywhere = {name: [40.0, 20.0, 60.0] for name in AQA_WEIGHTS["AQA-zh"]}
    assert aqa_ratios("AQA-zh", everywhere).value() == pytest.approx(40)


@given(st.dictionaries(TEXTS.filter(bool), st.tuples(TEXTS, REFERENCES), max_size=4))
def test_predictions_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, tuple[str, Reference]]
) -> None:
    predictions = [Prediction(key, pred, ref) for key, (pred, ref) in rows.items()]
    path = write_predictions(tmp_path_factory.mktemp("out"), "mini", "llamaqa-en", predictions)
    assert read_predictions(path, rows) == (predictions, [])


def test_a_file_lies_where_televal_looks_and_says_tuples_its_way(tmp_path: Path) -> None:
    path = write_predictions(tmp_path, "mini", "webq-zh", [Prediction("k", "答", [("北京", "上海"), "广州"])])
    assert path == prediction_file(tmp_path, "mini", "webq-zh") == tmp_path / "prediction/mini/webq-zh.jsonl"
    assert json.loads(path.read_text()) == {
        "key": "k", "pred": "答", "ref": [{"__tuple__": True, "items": ["北京", "上海"]}, "广州"],
    }  # fmt: skip


def test_every_fault_of_a_file_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "webq-en.jsonl"
    good = {"key": "a", "pred": "x", "ref": ["x"], "query": "what?"}
    bad_references = [None, [], 3, {"items": ["x"]}, {"__tuple__": True, "items": []}, ["x", []]]
    rows = [
        json.dumps(good),
        "",
        json.dumps(good | {"pred": "later"}),
        '{"key": "torn", "pred',
        "[1, 2]",
        json.dumps({"pred": "x", "ref": "x"}),
        json.dumps({"key": 7, "pred": "x", "ref": "x"}),
        json.dumps({"key": "no pred", "ref": "x"}),
        json.dumps({"key": "null pred", "pred": None, "ref": "x"}),
        *(json.dumps({"key": f"ref {n}", "pred": "x", "ref": ref}) for n, ref in enumerate(bad_references)),
    ]
    path.write_bytes("\n".join(rows).encode() + b"\n\xff\xfe\n")
    predictions, problems = read_predictions(path, ["a", "b", "no pred"])
    assert predictions == [Prediction("a", "x", ["x"])]  # the first of two
    assert {problem.file for problem in problems} == {path}
    assert [(problem.id, problem.what.split(":")[0]) for problem in problems] == [
        (None, "line 4 is not JSON"),
        (None, "line 5 is not a JSON object"),
        (None, "line 16 is not JSON"),
        ("a", "occurs again in line 3"),
        (None, "line 6 has no key"),
        (None, "line 7 has no key"),
        ("no pred", "pred is missing or not text"),
        ("null pred", "pred is missing or not text"),
        *((f"ref {n}", "ref is missing, empty, or no text, list or tuple") for n in range(6)),
        ("b", "is missing"),
    ]


def test_a_problem_reads_as_one_line() -> None:
    assert str(Problem(Path("a.jsonl"), "k", "is missing")) == "a.jsonl: k: is missing"
    assert str(Problem(Path("a.jsonl"), None, "is missing")) == "a.jsonl: is missing"


def test_files_that_cannot_be_had_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_predictions(tmp_path / "none.jsonl")
    (tmp_path / "prediction").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_predictions(tmp_path, "mini", "webq-en", [])
