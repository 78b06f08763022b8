"""Scenes: of an annotated dialogue, three to five turns of one speaker, the user, and what answered them.

Of each dialogue the stretch is taken in which the user's emotions move most. Every turn of it has an emotion,
two or more of them are not neutral. Which scenes are spoken and asked about is left to `build`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from harken.data.files import json_rows
from harken.data.groups import split_of
from harken.data.sources import SOURCES, dialogues, packaged
from harken.data.sources.base import Unusable
from harken.data.sources.conversations import Run, runs
from harken.errors import DataError

STARTER = "starter"
"""The source that comes with the package."""
NAMES = ("reccon", "ecf", "cped", "xdailydialog", STARTER)
"""Sources whose turns have emotions."""
TURNS = (3, 5)
"""The fewest and the most turns of a scene."""
STARTER_DEV_SHARE = 0.1
"""As `harken data build starter` splits dialogues that do not say their split."""


@dataclass(frozen=True)
class Cause:
    """Annotated words that say why."""

    turn: int
    """The turn of the scene, from 1, in which they were said or answered."""
    text: str


@dataclass(frozen=True)
class SceneTurn:
    """What the user said, why in this emotion, and what was answered."""

    text: str
    emotion: str
    causes: tuple[Cause, ...]
    """Those within the scene."""
    reply: str | None


@dataclass(frozen=True)
class Scene:
    """A stretch of one dialogue."""

    id: str
    source: str
    group: str
    split: str
    lang: str
    gender: str | None
    turns: tuple[SceneTurn, ...]

    @property
    def emotions(self) -> tuple[str, ...]:
        return tuple(turn.emotion for turn in self.turns)


@dataclass(frozen=True)
class Scenes:
    """What a source holds."""

    files: tuple[Path, ...]
    scenes: tuple[Scene, ...]
    """Of every split, in the order of the files, one a dialogue at most."""
    dialogues: Mapping[str, int]
    """By split, with a scene in them or not."""
    unusable: Mapping[str, int]
    """Dialogues that could not be read, by the reason."""
    any_split: bool = False
    """Is all of the source for judging, such as one that training leaves out for its licence?"""

    def usable(self) -> list[Scene]:
        """The scenes to judge on: those that training may not use."""
        return [scene for scene in self.scenes if self.any_split or scene.split == "dev"]


def read_scenes(name: str, place: Path | None = None, any_split: bool = False) -> Scenes:
    """The scenes of source `name`.

    Args:
        place: a file of JSON lines, gzipped or not, or a folder of them; None is the package's own, of the
            starter dialogues.
        any_split: use dialogues of every split, not of dev alone.

    Raises: DataError where there is no such source, a file or row cannot be read, no turn has an emotion, or
        no usable dialogue has a scene.
    """
    if name not in NAMES:
        raise DataError(
            f"there is no source {name!r} of dialogues with emotions", f"one of {', '.join(NAMES)}"
        )
    places = _files(name, place)
    scenes: dict[str, Scene] = {}
    splits, unusable, labelled = Counter[str](), Counter[str](), False
    for path in places:
        for number, row in json_rows(path):
            try:
                parts = _runs(name, row)
                key, split = _key(name, row), _split(name, row)
                group, lang = str(row.get("group", row["id"])), str(row["lang"])
            except Unusable as error:
                unusable[error.reason] += 1
                continue
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise DataError(f"{path} row {number}: {error!r}", f"it is to be {_form(name)}") from None
            splits[split] += 1
            labelled = labelled or any(run.affect for run in parts)
            if (best := _best(parts, "user" if name == STARTER else None)) is not None:
                if key in scenes:
                    raise DataError(
                        f"{path} row {number}: id {row['id']!r} occurs twice", "remove one of them"
                    )
                user, turns = best
                scenes[key] = Scene(key, name, group, split, lang, user.who.gender, turns)
    found = Scenes(places, tuple(scenes.values()), splits, unusable, any_split)
    _check(name, found, labelled)
    return found


def _check(name: str, found: Scenes, labelled: bool) -> None:
    where = ", ".join(map(str, found.files))
    if not labelled:
        raise DataError(f"source {name}: no turn in {where} has an emotion", "name dialogues with labels")
    if not found.usable():
        raise DataError(
            f"source {name}: too few dialogues: none of {found.dialogues.get('dev', 0)} dev dialogues in "
            f"{where} has {TURNS[0]} labelled turns of one speaker, two of them not neutral",
            "name a file with more dialogues of split dev, or another source; one that training left out may "
            f"be used whole: --any-split {name}",
        )


def _files(name: str, place: Path | None) -> tuple[Path, ...]:
    if place is None and name != STARTER:
        raise DataError(f"source {name!r} needs a place", f"--source {name}=FILE")
    if place is None or place.is_dir():
        folder = place or Path(str(files("harken.data") / STARTER))
        found = tuple(sorted([*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")]))
        if not found:
            raise DataError(f"{folder} holds no *.jsonl and no *.jsonl.gz", "name a file of dialogues")
        return found
    return (place,)


def _form(name: str) -> str:
    source = SOURCES[name]
    return f"a row of {source.form_of}"


def _runs(name: str, row: dict[str, Any]) -> list[Run]:
    """What each speaker says without a break, as the data room reads it."""
    lines = packaged.lines_of(row) if name == STARTER else dialogues.lines_of(row, row["lang"])
    return runs(lines, row["lang"])


def _key(name: str, row: dict[str, Any]) -> str:
    """The dialogue's id, which names its source and may name files."""
    key = str(row["id"])
    if "/" in key or key.startswith("."):
        raise ValueError(f"id {key!r} cannot name a file")
    return key if key.startswith(f"{name}-") else f"{name}-{key}"


def _split(name: str, row: dict[str, Any]) -> str:
    if "split" not in row and name == STARTER:
        return split_of(row["id"], STARTER_DEV_SHARE)
    return str(row["split"])


def _best(parts: Sequence[Run], user: str | None) -> tuple[Run, tuple[SceneTurn, ...]] | None:
    """Of all stretches, that with the most different emotions; among equals the longest, the first."""
    speakers = dict.fromkeys(run.speaker for run in parts if user in (None, run.speaker))
    stretches = [stretch for speaker in speakers for stretch in _stretches(parts, speaker)]
    if not stretches:
        return None
    best = max(stretches, key=lambda turns: (len({parts[at].affect for at in turns[:-1]}), len(turns)))
    return parts[best[0]], _turns(parts, best)


def _stretches(parts: Sequence[Run], speaker: str) -> Iterator[tuple[int, ...]]:
    """Places of the user's runs, and last the place that the stretch ends before."""
    places = [at for at, run in enumerate(parts) if run.speaker == speaker] + [len(parts)]
    for start in range(len(places)):
        for count in range(TURNS[0], TURNS[1] + 1):
            chosen = tuple(places[start : start + count + 1])
            if len(chosen) == count + 1 and _fits([parts[at] for at in chosen[:-1]]):
                yield chosen


def _fits(user: Sequence[Run]) -> bool:
    labels = [run.affect[0].label for run in user if run.affect]
    return len(labels) == len(user) and sum(label != "neutral" for label in labels) >= 2


def _turns(parts: Sequence[Run], places: tuple[int, ...]) -> tuple[SceneTurn, ...]:
    turn_of = {
        number: turn
        for turn, (start, end) in enumerate(pairwise(places), 1)
        for run in parts[start:end]
        for number in run.numbers
    }
    return tuple(
        SceneTurn(
            parts[start].text,
            parts[start].affect[0].label,
            tuple(
                dict.fromkeys(
                    Cause(turn_of[number], text) for number, text in parts[start].causes if number in turn_of
                )
            ),
            " ".join(run.text for run in parts[start + 1 : end]) or None,
        )
        for start, end in pairwise(places)
    )
