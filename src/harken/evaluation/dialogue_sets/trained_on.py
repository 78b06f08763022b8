"""What training used, by its manifests, and the refusal to judge on any of it.

A manifest is JSON lines with a `group` and the voices heard, as the renderer and speech packs write them.
Rows of another split than train are not what training used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harken.data.files import json_rows
from harken.errors import DataError
from harken.voices.casts import parts

VOICE_FIELDS = ("voice", "user_voice", "reply_voice", "speaker")
"""Of a render, of a pack's users and replies, and of people's recordings."""


@dataclass(frozen=True)
class TrainedOn:
    """Dialogue groups and voices, each with the manifest that names it."""

    groups: dict[str, Path]
    voices: dict[str, Path]

    def refuse(self, what: str, groups: Iterable[str], voices: Iterable[str]) -> None:
        """Raises DataError for a group or a voice that training used. Args: what: whose they are."""
        pairs = (("group", groups, self.groups), ("voice", voices, self.voices))
        for kind, wanted, used in pairs:
            if found := [name for name in dict.fromkeys(wanted) if name in used]:
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                raise DataError(
                    f"{what}: {kind} {found[0]!r}{more} is in the training manifest {used[found[0]]}",
                    "a system is not judged on what it was trained on: leave it out of one of the two",
                )


def read_manifests(manifests: Sequence[Path]) -> TrainedOn:
    """The groups and voices of all training manifests; of a blend, each voice in it.

    Raises: DataError where one cannot be read, or names neither group nor voice in any row.
    """
    used = TrainedOn({}, {})
    for manifest in manifests:
        known = False
        for _, row in json_rows(manifest):
            names = [str(row[field]) for field in VOICE_FIELDS if row.get(field)]
            known = known or bool(names or row.get("group"))
            if row.get("split", "train") != "train":
                continue
            if row.get("group"):
                used.groups.setdefault(str(row["group"]), manifest)
            for voice in (part for name in names for part in parts(name)):
                used.voices.setdefault(voice, manifest)
        if not known:
            raise DataError(
                f"{manifest} names neither groups nor voices",
                "name the manifest of a render or a speech pack",
            )
    return used
