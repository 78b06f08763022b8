"""`harken evaluate build-dialogues`: spoken dialogues to judge a system on, from annotated text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tyro.conf import UseAppendAction

from harken.cli.command import DONE, Command, WrongUse, check_counts, named_places, say

_STARTER = "starter"


@dataclass(frozen=True, kw_only=True)
class BuildDialogues(Command):
    """Build spoken dialogues to judge a system on, with gold answers, and the same words in several emotions;
    recordings that stand are kept."""

    source: UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """Annotated dialogues, as NAME=FILE, one or more (reccon, ecf, cped, xdailydialog); starter alone names
    those of the package, which are taken if none is named. May be said again."""
    out: Path
    """The folder of the set."""
    manifest: UseAppendAction[tuple[tuple[Path, ...], ...]] = ()
    """Manifests of what training used, one or more: a dialogue group or voice in them is refused."""
    people: tuple[Path, ...] = ()
    """Folders of people's emotional speech, for the same words in several emotions."""
    any_split: tuple[str, ...] = ()
    """Sources that training leaves out whole, one or more: their dialogues of every split are spoken. Needs
    --manifest, by which that is checked."""
    limit: int | None = None
    """So many dialogues of each source, and so many sentences in several emotions, at most."""
    seed: int = 0
    """Draws dialogues, voices, paces and candidates."""

    def run(self) -> int:
        from harken.evaluation.dialogue_sets.build import build_dialogues

        check_counts({"--limit": self.limit})
        named = tuple(chain.from_iterable(self.source)) or (_STARTER,)
        places = named_places(tuple(name for name in named if name != _STARTER))
        sources: dict[str, Path | None] = {name: Path(place) for name, place in places.items()}
        if _STARTER in named:
            sources[_STARTER] = None
        if unknown := [name for name in self.any_split if name not in sources]:
            raise WrongUse(f"--any-split {unknown[0]} is no source here", f"--source {unknown[0]}=FILE")
        built = build_dialogues(
            sources,
            self.out,
            manifests=tuple(chain.from_iterable(self.manifest)),
            people=self.people,
            any_split=self.any_split,
            limit=self.limit,
            seed=self.seed,
            report=say,
        )
        counts = built.counts
        silent = f"; {counts.unspeakable} left out: nothing to speak" if counts.unspeakable else ""
        print(
            f"{self.out}: {counts.dialogues.total()} dialogues ({_listed(counts.dialogues)}), "
            f"{counts.contrast.total()} recordings of the contrast set ({_listed(counts.contrast)}); "
            f"items: {_listed(counts.items)}; {built.made} recordings made now{silent}"
        )
        return DONE


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
