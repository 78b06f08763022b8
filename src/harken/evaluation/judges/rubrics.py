"""Rubrics: what a judge is asked, on which dimensions, and which scores there are.

A rubric is a TOML file, one of those that come with Harken (`rubrics/*.toml`) or the user's own:

    name = "warmth"
    comment = "what the reply does, in one sentence"  # written before the scores
    prompt = '''... {answer_form} ... {conversation} ... {reply} ...'''

    [[dimensions]]
    name = "warmth"
    values = [1, 2, 3, 4, 5]

The places in the prompt that an item fills are the rubric's `fields`; `{answer_form}` is filled by Harken and
shows the JSON object that `harken.evaluation.judges.verdicts` reads.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from harken.errors import InputError, RecipeError
from harken.recipes import Frozen

ANSWER_FORM = "answer_form"

_SHIPPED = files("harken.evaluation.judges") / "rubrics"
_PLACE = re.compile(r"\{([a-z_]+)\}")
_HINT = "a rubric has name, comment, prompt, and [[dimensions]] with name and values"


class Dimension(Frozen):
    """One thing that is scored, and the scores there are, rising."""

    name: str = Field(pattern=r"^[\w -]+$")
    values: tuple[int, ...] = Field(min_length=2)

    @field_validator("values")
    @classmethod
    def _rise(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if list(values) != sorted(set(values)):
            raise ValueError("values must rise")
        return values


class Rubric(Frozen):
    """What a judge is asked. `version` is the short sha256 of its file."""

    name: str = Field(min_length=1)
    hears: bool = False
    """Does it take a judge that hears the reply?"""
    comment: str = Field(min_length=1)
    """What the judge writes in free words before it scores."""
    prompt: str
    dimensions: tuple[Dimension, ...] = Field(min_length=1)
    version: str

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = [dimension.name for dimension in self.dimensions]
        if len(set(names)) < len(names):
            raise ValueError("two dimensions have one name")
        if ANSWER_FORM not in _PLACE.findall(self.prompt):
            raise ValueError(f"the prompt has no {{{ANSWER_FORM}}}")
        if not self.fields:
            raise ValueError("the prompt has no place for what is judged, such as {reply}")
        return self

    @property
    def label(self) -> str:
        """Name and version, as reports show them."""
        return f"{self.name}@{self.version}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The places in the prompt that an item fills, in the order in which they occur."""
        return tuple(name for name in dict.fromkeys(_PLACE.findall(self.prompt)) if name != ANSWER_FORM)

    def filled(self, fields: Mapping[str, str]) -> str:
        """The prompt for one item. Raises InputError for a field that the item lacks."""
        if lacking := [name for name in self.fields if name not in fields]:
            raise InputError(
                f"rubric {self.name} needs the field {lacking[0]!r}", f"its fields: {', '.join(self.fields)}"
            )
        texts = {**fields, ANSWER_FORM: self._answer_form()}
        return _PLACE.sub(lambda place: texts[place[1]], self.prompt)

    def _answer_form(self) -> str:
        reasons = ", ".join(f'"{d.name}": "<why, in one sentence>"' for d in self.dimensions)
        scores = ", ".join(f'"{d.name}": <{_either(d.values)}>' for d in self.dimensions)
        return (
            "Answer with one JSON object and nothing before or after it:\n"
            f'{{"comment": "<{self.comment}>", "reasons": {{{reasons}}}, "scores": {{{scores}}}}}'
        )


def shipped() -> tuple[str, ...]:
    """The names of the rubrics that come with Harken."""
    return tuple(sorted(file.name.removesuffix(".toml") for file in _SHIPPED.iterdir()))


def rubric(name: str) -> Rubric:
    """One that comes with Harken. Raises InputError naming those there are."""
    if name not in shipped():
        raise InputError(f"there is no rubric {name!r}", f"rubrics: {', '.join(shipped())}, or a file's path")
    return _parsed((_SHIPPED / f"{name}.toml").read_bytes(), name)


def read_rubric(path: Path) -> Rubric:
    """One from a file. Raises InputError where it cannot be read, RecipeError where it is malformed."""
    try:
        return _parsed(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", "name a rubric or its file") from None


def named_rubric(named: str) -> Rubric:
    """One that comes with Harken or, where the name ends in `.toml`, a file's. Raises as these do."""
    return read_rubric(Path(named)) if named.endswith(".toml") else rubric(named)


def _parsed(file: bytes, where: str) -> Rubric:
    try:
        table: dict[str, Any] = tomllib.loads(file.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{where} is no rubric: not TOML: {error}", _HINT) from None
    if "version" in table:
        raise RecipeError(f"{where} states a version", "leave it out: the file's hash is its version")
    try:
        return Rubric(**table, version=hashlib.sha256(file).hexdigest()[:8])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise RecipeError(f"{where} is no rubric: {f'{place}: {said}' if place else said}", _HINT) from None


def _either(values: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, values[:-1]))} or {values[-1]}"
