"""`harken data`: speak annotated dialogues, build a data set, look at its rows, and audit it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional, UseAppendAction

from harken.cli.command import DONE, FAILED, INTERRUPTED, Command, WrongUse, check_counts, named_places, say
from harken.errors import RecipeError

if TYPE_CHECKING:
    from harken.data.build import Summary

_GOES_ON = "interrupted; run it again: it goes on"


@dataclass(frozen=True, kw_only=True)
class RenderData(Command):
    """Speak annotated dialogues in many voices, going on where it stopped."""

    source: UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """Dialogues to speak, as NAME=FILE, one or more; may be said again."""
    out: Path
    """The folder of recordings and their manifest."""
    split: Literal["train", "dev"] = "train"
    """Whose turns, and in which voices."""
    hours: float = 1.0
    """Stop when the folder holds so much speech."""
    workers: int = 1
    """Processes, each on one core at low priority."""
    seed: int = 0
    """Deals out voices and paces, or styles."""
    replies: bool = False
    """Speak every turn as a reply: in the assistant's voice and any of its styles, its words timed."""

    def run(self) -> int:
        from harken.data.render import render

        check_counts({"--workers": self.workers})
        named = named_places(tuple(chain.from_iterable(self.source)))
        if not named:
            raise WrongUse("rendering needs dialogues", "for example: --source reccon=reccon.jsonl.gz")
        sources = {name: Path(path) for name, path in named.items()}
        done = render(
            sources, self.out, self.split, self.hours, self.workers, self.seed, replies=self.replies
        )
        silent = f"{done.unspeakable} held nothing to speak; " if done.unspeakable else ""
        print(
            f"{done.turns} turns rendered; {silent}"
            f"{self.out} holds {done.seconds / 3600:.2f} h of {self.split} speech"
        )
        if done.interrupted:
            print(_GOES_ON)
        return INTERRUPTED if done.interrupted else DONE


@dataclass(frozen=True, kw_only=True)
class TimeData(Command):
    """Find out when each word is said in a pack of speech that Kokoro made, going on where it stopped."""

    pack: Positional[Path]
    """The folder of the pack: manifest.jsonl.gz beside tars."""
    out: Path
    """The folder of recordings and their manifest, as `harken data render --replies` writes it."""

    def run(self) -> int:
        from harken.data.timing import time_pack

        try:
            timed, left_out = time_pack(self.pack, self.out)
        except KeyboardInterrupt:
            print(_GOES_ON)
            return INTERRUPTED
        print(f"{timed} clips timed, {left_out} left out: their length is not what their words would take")
        return DONE


@dataclass(frozen=True, kw_only=True)
class BuildData(Command):
    """Build a data set from its sources to its last step, going on where it stopped."""

    recipe: Positional[str]
    """Which: starter, mini, paper, or a YAML or JSON file."""
    out: Path
    """The folder of the data set."""
    source: UseAppendAction[tuple[str, ...]] = ()
    """Where a source of the recipe is, as NAME=DIR; said once for each."""
    engine: Literal["inline", "local", "ray"] = "local"
    """Where steps work: one after another, in processes of this machine, or on Ray."""
    workers: int | None = None
    """Shards that each step works on at once, instead of the recipe's numbers."""
    limit: int | None = None
    """So many source rows at most."""
    answers: Path | None = None
    """The folder that language models' answers are kept in, to share them among builds; OUT/cache if none."""
    research: bool = False
    """Take sources, too, that may never be in weights that are shipped."""
    dry_run: bool = False
    """Print the resolved recipe and build nothing."""

    def run(self) -> int:
        from harken.data.build_recipes import build_recipe

        sources = named_places(self.source)
        check_counts({"--workers": self.workers, "--limit": self.limit})
        try:
            recipe = build_recipe(self.recipe)
        except RecipeError as error:
            raise WrongUse(error.message, error.hint) from None
        if self.research:
            recipe = recipe.model_copy(update={"shippable_only": False})
        if self.dry_run:
            print(recipe.model_dump_json(indent=2))
            return DONE
        # Here and in the workers, libraries keep their bars and their advice to themselves.
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        from harken.data.build import build
        from harken.data.progress import on_stderr

        for note in recipe.notes:
            say(note)
        done = build(
            recipe, self.out, sources, self.engine, self.workers, self.limit, on_stderr(), self.answers
        )
        for line in _summary(done):
            print(line)
        return INTERRUPTED if done.interrupted else DONE


@dataclass(frozen=True, kw_only=True)
class ShowData(Command):
    """Print rows of a data set as people read them."""

    folder: Positional[Path]
    """A data set, or one of its Parquet files."""
    row: str | None = None
    """The row of this id, or whose id begins so."""
    number: int | None = None
    """The row of this number, from 1."""
    task: str | None = None
    """Rows of this task alone."""
    joined: bool = False
    """Rows made from several others alone: the dialogues of the step multi_turn."""
    limit: int = 3
    """So many rows at most."""
    json: bool = False
    """Print one JSON object a row and nothing else on standard output."""

    def run(self) -> int:
        from harken.data.show import show

        show(self.folder, None, self.row, self.number, self.task, self.limit, self.json, self.joined)
        return DONE


@dataclass(frozen=True, kw_only=True)
class AuditData(Command):
    """What is in a data set: counts, hours, licences, models, what was dropped; as tables and as a page."""

    folder: Positional[Path]
    """A data set."""
    out: Path | None = None
    """The folder for figures, pictures and the page; FOLDER/audit if none."""
    json: bool = False
    """Print one JSON object and nothing else on standard output."""

    def run(self) -> int:
        from harken.data.audit import audit

        found = audit(self.folder, self.out)
        if self.json:
            print(json.dumps(asdict(found), ensure_ascii=False))
        else:
            found.print()
        return FAILED if found.violations else DONE


def _summary(done: Summary) -> list[str]:
    """What stands, in lines for people."""
    tally = done.tally
    rows = ", ".join(f"{count} {task}" for task, count in sorted(tally.rows.items())) or "none"
    lines = [
        f"{done.folder}: {done.standing} of {done.shards} shards from {done.source_rows} source rows; "
        f"{tally.rows.total()} rows ({rows}); {tally.seconds / 3600:.2f} h of audio"
    ]
    lines += [f"dropped {count}: {reason}" for reason, count in tally.dropped.most_common()]
    if done.tokens_line():
        lines.append(done.tokens_line())
    if done.interrupted:
        lines.append(_GOES_ON)
    return lines
