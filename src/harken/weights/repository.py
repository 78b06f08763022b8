"""Repositories of the model hub that the catalogue does not know, by `owner/name`: from the hub, or from a
folder into which somebody put the files by hand. What transformers reads is taken, safetensors and the texts
beside them, and nothing else.

Nothing of a repository is pinned. The first time, large files are held against the sha256 that the hub itself
gives of them; what came is written down in `harken.json`, the commit and the sha256 of every file, and from
then on nothing else is taken under that name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from harken.errors import WeightsError
from harken.weights.bars import Bars
from harken.weights.entry import MANIFEST, Entry, HubFile
from harken.weights.fetch import Unavailable, fetch_hub, list_hub
from harken.weights.sources import check_space
from harken.weights.unpack import check, join, sha256_of

WHAT = "config.json, model.safetensors or its parts with their index, those of the tokenizer"
_CONFIG, _MODEL, _INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_WANTED = (_MODEL, "model-*-of-*.safetensors", "*.json", "*.txt", "*.jinja")


def from_folder(entry: Entry, places: Sequence[Path], files: Path, bars: Bars) -> dict[str, str | None]:
    """Copy the repository's files from the first of `places` that has a config.json into the folder `files`.

    Returns what is known of its origin. Raises Unavailable if none has one, or something is missing there.
    """
    place = next((place for place in places if (place / _CONFIG).is_file()), None)
    if place is None:
        raise Unavailable(f"there is no {_CONFIG} in {' or '.join(map(str, places))}")
    found = [path for path in sorted(place.iterdir()) if path.is_file() and _is_wanted(path.name)]
    _check_whole(place, str(place))
    check_space(entry.name, sum(path.stat().st_size for path in found), files)
    with bars.step(f"copying {entry.name} from {place}"):
        for path in found:
            shutil.copyfile(path, files / path.name)
    return {}


def from_hub(
    entry: Entry, revision: str | None, work: Path, files: Path, bars: Bars
) -> dict[str, str | None]:
    """Fetch the repository's files from the model hub into the folder `files`.

    Args: revision: the commit; None takes the newest.

    Returns the commit and the licence that it states. Raises Unavailable if the hub cannot be reached or has
    no such repository, WeightsError if a file has not the sha256 that the hub gives.
    """
    listing = list_hub(entry.name, revision, work / "listing", bars)
    wanted = [file for file in listing.files if _is_wanted(file.path)]
    size_bytes = sum(file.size_bytes for file in wanted)
    check_space(entry.name, size_bytes, work)
    hub = [HubFile(entry.name, listing.revision, file.path) for file in wanted]
    paths = fetch_hub(hub, size_bytes, work / "hub", bars, as_user=True) if hub else []
    for file, path in zip(wanted, paths, strict=True):
        if file.sha256:
            check(path, file.sha256, f"{file.path} of {entry.name}")
        join([path], files / file.path)
    _check_whole(files, f"the repository {entry.name}")
    return {"revision": listing.revision, "licence": listing.licence}


def check_same(entry: Entry, before: Mapping[str, str], files: Path, folder: Path) -> None:
    """Hold what came against what came first. Raises WeightsError if it is not the same.

    Args: before: path -> sha256. folder: where it lies.
    """
    for path, sha256 in before.items():
        actual = sha256_of(files / path) if (files / path).is_file() else None
        if actual != sha256:
            raise WeightsError(
                f"{path} of {entry.name} is not what was fetched at first: its sha256 is {actual}, "
                f"expected {sha256}",
                f"nothing of it was kept; to take it all the same, remove {folder}",
            )


def _is_wanted(path: str) -> bool:
    """A manifest is Harken's own: it lies in a folder that was a cache's."""
    return "/" not in path and path != MANIFEST and any(fnmatchcase(path, each) for each in _WANTED)


def _check_whole(folder: Path, where: str) -> None:
    """Raise Unavailable unless a folder has a config and all of a model's weights."""
    needed = [_CONFIG, _MODEL]
    if (folder / _INDEX).is_file() and not (folder / _MODEL).is_file():
        try:
            parts = json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()
            needed = [_CONFIG, *sorted(set(map(str, parts)))]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise WeightsError(f"{_INDEX} of {where} cannot be read") from None
    for name in needed:
        if not (folder / name).is_file():
            raise Unavailable(f"{where} has no {name}")
