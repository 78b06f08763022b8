"""Spoken question answering as TELEVAL scores it: the share of answers in which a reference occurs.

Text is in Unicode's form NFD, without case and punctuation; Chinese is split into characters, other text into
words. The predictions of each set are one file of JSON lines. TELEVAL's own script departs from its rule in
two ways that are not followed: it takes what lies between U+2001 and U+2EBE for Chinese, typographic quotes
and dashes among it, and so keeps them, and to it a reference without tokens fits every answer. Asking a
system the questions is left to others.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from harken.data.files import write_text
from harken.errors import DataError
from harken.evaluation.language import is_han
from harken.evaluation.problems import Problem, json_objects
from harken.evaluation.report import bootstrap, per_item
from harken.evaluation.statistics import Interval, Ratios

SET_SIZES = {
    "llamaqa-en": 300,
    "llamaqa-zh": 300,
    "triviaqa-en": 837,
    "triviaqa-zh": 837,
    "webq-en": 1938,
    "webq-zh": 1938,
    "chinesesimpleqa-zh": 2668,
    "chinese_quiz-zh": 827,
}
"""Questions in each of TELEVAL's sets."""

AQA_WEIGHTS: Mapping[str, Mapping[str, int]] = {
    "AQA-en": {"llamaqa-en": 300, "triviaqa-en": 837},
    "AQA-zh": {"llamaqa-zh": 300, "triviaqa-zh": 837, "chinesesimpleqa-zh": 1938},
}
"""The columns of the IEAT paper's Table 1, and how each set counts. That of chinesesimpleqa-zh is the size of
another set, webq-zh: with it, and not with its own, the paper's figures come out."""

Reference: TypeAlias = "str | list[Reference] | tuple[Reference, ...]"
"""What an answer is to hold: a text, any of a list, or all of a tuple."""


@dataclass(frozen=True)
class Prediction:
    """A system's answer to one question."""

    key: str
    pred: str
    ref: Reference


def tokens(text: str) -> list[str]:
    """Lower-case words, single Chinese characters and symbols, in order; punctuation only parts them."""
    found, word = [], ""
    for char in unicodedata.normalize("NFD", text) + " ":
        category = unicodedata.category(char)[0]
        if category in "LNM" and not is_han(char):
            word += char
            continue
        if word:
            found.append(word.lower())
            word = ""
        if is_han(char) or category == "S":
            found.append(char)
    return found


def item_score(prediction: str, reference: Reference) -> int:
    """1 where the reference's tokens occur in the prediction as one run, any of a list's, all of a tuple's;
    else 0. A reference without tokens occurs nowhere.
    """
    return int(_occurs(tokens(prediction), reference))


def set_score(predictions: Sequence[Prediction], seed: int = 0) -> Interval:
    """The mean item score of a set times 100, with its 95 % bootstrap interval over questions.

    Raises: DataError where there are no predictions.
    """
    if not predictions:
        raise DataError("there are no predictions to score", "name a file that holds some")
    return bootstrap(per_item([100 * item_score(p.pred, p.ref) for p in predictions]), seed=seed)


def aqa_ratios(column: str, scores: Mapping[str, Sequence[float]]) -> Ratios:
    """A column of `AQA_WEIGHTS` over questions, those of a set sharing the set's weight.

    Args: scores: set -> the score of each of its questions, 0 to 100.
    """
    weights = AQA_WEIGHTS[column]
    share = np.concatenate(
        [np.full(len(scores[name]), weights[name] / len(scores[name])) for name in weights]
    )
    return per_item(share * np.concatenate([scores[name] for name in weights]), share)


def prediction_file(folder: Path, model: str, dataset: str) -> Path:
    """Where TELEVAL keeps a model's answers to a set, under `folder`."""
    return folder / "prediction" / model / f"{dataset}.jsonl"


def read_predictions(path: Path, keys: Iterable[str] = ()) -> tuple[list[Prediction], list[Problem]]:
    """The answers in a file, and what is wrong with the rest of it.

    Problems are lines that are no JSON object, fields that are missing or of the wrong type, keys that occur
    twice, where the first answer stays, and those of `keys` that do not occur.

    Raises: DataError where the file is missing or cannot be read.
    """
    objects, problems = json_objects(path)
    predictions: dict[str, Prediction] = {}
    for number, row in objects:
        key = row.get("key")
        if not isinstance(key, str) or not key:
            problems.append(Problem(path, None, f"line {number} has no key"))
        elif key in predictions:
            problems.append(Problem(path, key, f"occurs again in line {number}"))
        elif not isinstance(row.get("pred"), str):
            problems.append(Problem(path, key, "pred is missing or not text"))
        else:
            try:
                predictions[key] = Prediction(key, row["pred"], read_reference(row.get("ref")))
            except ValueError as error:
                problems.append(Problem(path, key, str(error)))
    named = {problem.id for problem in problems}
    problems += [Problem(path, k, "is missing") for k in keys if k not in predictions and k not in named]
    return list(predictions.values()), problems


def write_predictions(folder: Path, model: str, dataset: str, predictions: Iterable[Prediction]) -> Path:
    """Write a model's answers to a set under `folder`, whole or not at all; gives the file.

    Raises: DataError where it cannot be written.
    """
    path = prediction_file(folder, model, dataset)
    rows = ({"key": p.key, "pred": p.pred, "ref": _encoded(p.ref)} for p in predictions)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}", "name another folder") from None
    return path


def read_reference(value: object) -> Reference:
    """A reference as JSON has it, tuples as `{"__tuple__": true, "items": […]}`. Raises ValueError."""
    match value:
        case str():
            return value
        case [_, *_]:
            return [read_reference(part) for part in value]
        case {"__tuple__": True, "items": [_, *_] as items}:
            return tuple(read_reference(part) for part in items)
    raise ValueError("ref is missing, empty, or no text, list or tuple")


def _occurs(answer: list[str], reference: Reference) -> bool:
    match reference:
        case str():
            run = tokens(reference)
            starts = range(len(answer) - len(run) + 1)
            return bool(run) and any(answer[start : start + len(run)] == run for start in starts)
        case tuple():
            return bool(reference) and all(_occurs(answer, part) for part in reference)
        case list():
            return any(_occurs(answer, part) for part in reference)


def _encoded(reference: Reference) -> Any:
    """As JSON, which has no tuples."""
    match reference:
        case tuple():
            return {"__tuple__": True, "items": [_encoded(part) for part in reference]}
        case list():
            return [_encoded(part) for part in reference]
    return reference
