"""The recordings that evaluations listen to: dev users' turns of spoken dialogues, and people reading.

Both come as `harken.data.speech.Clip`. What is measured on them is left to the evaluations.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np

from harken.data.files import json_rows
from harken.data.speech import Clip, clips, manifest_rows
from harken.errors import DataError

Item = TypeVar("Item")

_READING = ("path", "corpus", "text", "seconds")


def evaluation_clips(folders: list[Path], limit: int | None = None, seed: int = 0) -> dict[str, list[Clip]]:
    """The English clips that may score a system, by where they come from: the folder's name, or its path
    where another one has the same name.

    Args:
        folders: speech packs and renders (see `harken.data.speech`), of which dev users' turns are taken, and
            people reading (`manifest.jsonl.gz` with `path, corpus, text, seconds` beside `<corpus>.tar`).
        limit: so many of each at most, drawn by `seed`.

    Raises: DataError where a folder is of neither kind, its manifest cannot be read, or nothing is left.
    """
    sets: dict[str, list[Clip]] = {}
    folders = list(dict.fromkeys(folders))
    names = [folder.name for folder in folders]
    for folder in folders:
        called = folder.name if names.count(folder.name) == 1 else str(folder)
        if of_people(folder):
            for clip in _reading(folder):
                sets.setdefault(f"{called}/{clip.source}", []).append(clip)
        else:
            sets[f"{called} dev"] = dev_turns(folder)
    sets = {name: drawn(chosen, limit, seed) for name, chosen in sets.items() if chosen}
    if not sets:
        raise DataError(
            f"no English dev clips in {', '.join(map(str, folders))}",
            "name a speech pack, a render or a folder of reading",
        )
    return sets


def dev_turns(folder: Path) -> list[Clip]:
    """The English dev users' turns of a speech pack or a render."""
    return [
        clip for clip in clips(folder) if clip.split == "dev" and clip.lang == "en" and clip.role == "user"
    ]


def drawn(chosen: list[Item], limit: int | None, seed: int) -> list[Item]:
    """Up to `limit` items drawn by `seed`, in their own order; all where `limit` is None."""
    if limit is None or limit >= len(chosen):
        return chosen
    places = np.random.default_rng(seed).permutation(len(chosen))[:limit]
    return [chosen[place] for place in sorted(places)]


def of_people(folder: Path) -> bool:
    """Whether a folder holds people's recordings, each of a corpus, instead of spoken dialogues.

    Raises: DataError where its manifest cannot be read.
    """
    manifest = folder / "manifest.jsonl.gz"
    if not manifest.exists():
        return False
    _, first = next(json_rows(manifest), (0, {}))
    return "corpus" in first


def _reading(folder: Path) -> list[Clip]:
    return [
        Clip(
            row["path"], row["text"], "en", "dev", "user", row["seconds"], row["corpus"], None, row["path"],
            row["corpus"], folder / f"{row['corpus']}.tar", row["path"],
        )
        for row in manifest_rows(folder / "manifest.jsonl.gz", _READING)
    ]  # fmt: skip
