"""What the pages of runs share: which items are shown, what is hashed, where a judge is trusted.

Items are drawn by the hash of their ids, each group once before any twice: nobody chooses them. What a page
shows of a benchmark is left to the benchmark, the page itself to `harken.evaluation.page.page`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TypeVar

import harken
from harken.evaluation.asking.answers import FILE, Kept
from harken.evaluation.judges.rubrics import rubric
from harken.evaluation.language import Language
from harken.evaluation.page.examples import Example
from harken.evaluation.page.page import EXAMPLES, write_page
from harken.evaluation.page.plots import Plots
from harken.evaluation.planted import Trust
from harken.evaluation.report import Report, hardware

Shown = TypeVar("Shown")
UNREADABLE = "cannot be read"


def write_run_page(
    out: Path,
    report: Report,
    *,
    groups: str,
    examples: Sequence[Example],
    plots: Plots = Plots(),
    trust: Mapping[Language, Trust] = {},
    command: str | None = None,
    hashes: Mapping[str, str],
) -> None:
    """Write `OUT/<benchmark>.html`.

    Args:
        out: the run's folder. groups: what the examples were drawn from in turns, in words.
        trust: of the judge, where it was tried. command: as it was typed.
    """
    drawn_by = f"drawn by the hash of their ids, each {groups} before any twice"
    write_page(
        out / f"{report.benchmark}.html",
        report.with_setting(harken=harken.__version__, hardware=hardware(), examples=drawn_by),
        examples=examples,
        plots=plots,
        trust=" ".join(f"{language}: {found.why}" for language, found in trust.items()) or None,
        command=command,
        hashes=hashes,
    )


def drawn(
    groups: Iterable[Sequence[Shown]], name: Callable[[Shown], str], count: int = EXAMPLES
) -> list[Shown]:
    """The items that are shown, from one group after the other. Args: name: of an item, its id."""

    def rank(item: Shown) -> str:
        return hashlib.sha256(name(item).encode(errors="surrogatepass")).hexdigest()

    in_turns = zip_longest(*(sorted(group, key=rank) for group in groups))
    return [item for item in chain.from_iterable(in_turns) if item is not None][:count]


def hashed(
    out: Path, files: Iterable[Path], recordings: Iterable[Path], rubrics: Iterable[str] = ()
) -> dict[str, str]:
    """Hashes of data files, of recordings together, and of the answers in `out`; the rubrics' versions."""
    digests = [_sha256(recording) for recording in dict.fromkeys(recordings)]
    there = [digest for digest in digests if digest is not None]
    together = hashlib.sha256("".join(there).encode()).hexdigest()
    lost = f"; {len(digests) - len(there)} {UNREADABLE}" if len(there) < len(digests) else ""
    found = {f"{file.parent.name}/{file.name}": _told(file) for file in dict.fromkeys(files)}
    return {
        **found,
        "recordings": f"{len(there)}, sha256 of their sha256, in order: {together}{lost}",
        FILE: _told(out / FILE),
        **{f"rubric {name}": f"version {rubric(name).version}" for name in rubrics},
    }


def by_label(scores: Iterable[tuple[str, float | None]]) -> dict[str, list[float]]:
    """Label -> its scores; what has no score is left out."""
    found: dict[str, list[float]] = {}
    for label, score in scores:
        if score is not None:
            found.setdefault(label, []).append(score)
    return found


def sound_of(out: Path, kept: Kept | None) -> Path | None:
    """The recording of an answer; None where it was not spoken."""
    return out / kept.sound if kept is not None and kept.sound is not None else None


def _told(path: Path) -> str:
    digest = _sha256(path)
    return UNREADABLE if digest is None else f"sha256 {digest}"


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
