"""Verdicts: the scores and reasons in what a judge wrote, or the fault for which there are none.

A judge is asked for one JSON object. Prose around it is tolerated, and counted; everything else that is not
as the rubric asks is a fault with a name, and never a score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harken.evaluation.judges.rubrics import Dimension, Rubric
from harken.llm.base import whole_characters

NO_JSON = "no JSON object"
NO_SCORES = "no scores in the JSON object"
SEVERAL = "several verdicts"
MISSING = "missing dimension"
NOT_A_NUMBER = "score is not a number"
OFF_SCALE = "score off the scale"
DETAIL = 200
"""Characters of an unreadable completion that are kept with the fault."""

_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Verdict:
    """One reading of one item."""

    scores: Mapping[str, float]
    """A score for every dimension of the rubric: one that it names; of a trained scorer also between."""
    reasons: Mapping[str, str]
    """Why, for the dimensions for which the judge said it."""
    comment: str
    in_prose: bool
    """Did the judge write anything before or after the JSON object?"""

    @property
    def mean(self) -> float:
        """Over dimensions."""
        return sum(self.scores.values()) / len(self.scores)


@dataclass(frozen=True)
class Fault:
    """Why there is no verdict: a reason, the same for the same kind of fault, and details."""

    reason: str
    detail: str = ""


def parse_verdict(text: str, rubric: Rubric) -> Verdict | Fault:
    """What a judge's completion says under `rubric`. Never raises; scores are always ones of the rubric."""
    found = _objects(text)
    verdicts = [(value, alone) for value, alone in found if isinstance(value.get("scores"), dict)]
    if len(verdicts) != 1:
        reason = SEVERAL if verdicts else NO_SCORES if found else NO_JSON
        return Fault(reason, text.strip()[-DETAIL:])
    value, alone = verdicts[0]
    scores: dict[str, int] = {}
    for dimension in rubric.dimensions:
        score = _score(value["scores"], dimension)
        if isinstance(score, Fault):
            return score
        scores[dimension.name] = score
    reasons = value.get("reasons")
    said = reasons if isinstance(reasons, dict) else {}
    kept = {d.name: _text(said.get(d.name)) for d in rubric.dimensions if _text(said.get(d.name))}
    return Verdict(scores, kept, _text(value.get("comment")), in_prose=not alone)


def json_schema(rubric: Rubric) -> dict[str, Any]:
    """The JSON schema of a verdict, for servers that hold a model to one."""

    def whole(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    return whole(
        {
            "comment": {"type": "string"},
            "reasons": whole({d.name: {"type": "string"} for d in rubric.dimensions}),
            "scores": whole({d.name: {"enum": list(d.values)} for d in rubric.dimensions}),
        }
    )


def _objects(text: str) -> list[tuple[dict[str, Any], bool]]:
    """The JSON objects in a text that do not lie in another, and whether each is all there is."""
    found, at = [], text.find("{")
    while at >= 0:
        try:
            value, end = _DECODER.raw_decode(text, at)
            found.append((value, text[:at].strip() == text[end:].strip() == ""))
        except (ValueError, RecursionError):  # a brace of the prose, or an object that never ends
            end = at + 1
        at = text.find("{", end)
    return found


def _score(scores: Mapping[str, Any], dimension: Dimension) -> int | Fault:
    if dimension.name not in scores:
        return Fault(MISSING, dimension.name)
    score = scores[dimension.name]
    if isinstance(score, bool) or not isinstance(score, int | float):
        return Fault(NOT_A_NUMBER, f"{dimension.name}: {_shown(score)}")
    for value in dimension.values:
        if score == value:
            return value
    return Fault(OFF_SCALE, f"{dimension.name}: {_shown(score)}")


def _text(value: object) -> str:
    """A string without halves of characters; nothing for another value."""
    return whole_characters(value).strip() if isinstance(value, str) else ""


def _shown(value: object) -> str:
    plain = isinstance(value, str | int | float) or value is None
    return ascii(value)[:DETAIL] if plain else type(value).__name__
