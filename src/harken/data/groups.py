"""Groups and splits: dialogues that nearly repeat each other are one group, and a group is in one split.

Corpora copy from one another, and a dialogue that is trained on in one may be judged on in the next. Two rows
are of one group where their sources say so (`Row.group`, whose names hold across sources) or where they share
a long turn, whatever its case, punctuation and spacing. Rows go by twice and are not kept: what is kept is
16 bytes for each long turn and 8 for each dev row. Which voices speak in a split is left to
`harken.voices.casts`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harken.data.rows import Row

LONG_WORDS, LONG_HAN = 6, 10
"""A turn of so many words, or so many Chinese characters, is not said twice by chance."""

_APART = re.compile(r"[\W_]+")
_APOSTROPHES = re.compile(r"['’ʼ]")
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_ONE_HAN = re.compile(f"[{_HAN}]")
_BESIDE_HAN = re.compile(f"(?<=[{_HAN}]) | (?=[{_HAN}])")

Hashes = NDArray[np.uint64]


def normalised(text: str) -> str:
    """A text without what the same words may differ in: case, width, punctuation and spaces."""
    shown = "".join(c for c in text if unicodedata.category(c) != "Cf")  # zero-width and other marks
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", shown).casefold())
    words = _APART.sub(" ", _APOSTROPHES.sub("", folded)).strip()
    return _BESIDE_HAN.sub("", words)


def is_long(normal: str) -> bool:
    """Is a normalised text long enough to show that two dialogues are the same?"""
    han = len(_ONE_HAN.findall(normal))
    return han >= LONG_HAN or len(_ONE_HAN.sub(" ", normal).split()) >= LONG_WORDS


def split_of(group: str, dev_share: float, seed: int = 0) -> str:
    """dev for `dev_share` of all groups, else train; the same for the same group and seed, anywhere."""
    return "dev" if _hash(f"{seed}\n{group}") < dev_share * 2**64 else "train"


class Grouper:
    """Groups rows in two passes: `add` every row, then `assign` each; the order of rows does not matter.

    Args:
        dev_share: of the groups of which no row is of its source's own dev split, how many become dev.
        seed: draws other ones.
    """

    def __init__(self, dev_share: float = 0.0, seed: int = 0) -> None:
        self.dev_share, self.seed = dev_share, seed
        self._turns, self._owners = array("Q"), array("Q")  # a long turn, and the group that its source names
        self._dev = array("Q")  # groups that are dev by their source
        self._joined: _Joined | None = None

    def add(self, row: Row) -> None:
        assert self._joined is None, "rows are added before the first is assigned"
        owner = _hash(row.group)
        if row.split == "dev":
            self._dev.append(owner)
        for normal in {normalised(turn.text) for turn in row.turns}:
            if is_long(normal):
                self._turns.append(_hash(normal))
                self._owners.append(owner)

    def assign(self, row: Row) -> Row:
        """The row with its group and split. A group that was joined with no other keeps its name."""
        if self._joined is None:
            self._joined = _Joined(_hashes(self._turns), _hashes(self._owners), _hashes(self._dev))
            self._turns, self._owners, self._dev = array("Q"), array("Q"), array("Q")
        owner = _hash(row.group)
        root = self._joined.root(owner)
        group = row.group if root is None else f"joined-{root:016x}"
        is_dev = self._joined.is_dev(owner if root is None else root)
        return replace(
            row, group=group, split="dev" if is_dev else split_of(group, self.dev_share, self.seed)
        )


class _Joined:
    """Which groups are one, after all rows were seen.

    Args:
        turns: (T,) hashes of long turns.
        owners: (T,) the group of each.
        dev: (D,) groups that are dev by their source.
    """

    def __init__(self, turns: Hashes, owners: Hashes, dev: Hashes) -> None:
        order = np.argsort(turns)
        turns, owners = turns[order], owners[order]
        same = turns[1:] == turns[:-1]
        a, b = owners[:-1][same], owners[1:][same]
        a, b = a[a != b], b[a != b]
        self._members = np.unique(np.concatenate([a, b]))  # sorted; groups joined with another
        places_a, places_b = np.searchsorted(self._members, a), np.searchsorted(self._members, b)
        self._roots = self._members[_union(places_a, places_b, len(self._members))]
        tops = (owner if (root := self.root(owner)) is None else root for owner in np.unique(dev).tolist())
        self._dev = np.unique(np.fromiter(tops, dtype=np.uint64))

    def root(self, owner: int) -> int | None:
        """The least group of those that one was joined with; None where it was with none."""
        place = _find(self._members, owner)
        return None if place is None else int(self._roots[place])

    def is_dev(self, group: int) -> bool:
        return _find(self._dev, group) is not None


def _union(a: NDArray[np.int64], b: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Edges between 0..count-1 -> (count,) the least member of each one's component."""
    parent = array("q", range(count))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for left, right in zip(a.data, b.data, strict=True):  # plain integers, one at a time
        low, high = sorted((find(left), find(right)))
        parent[high] = low
    return np.array([find(node) for node in range(count)], dtype=np.int64)


def _find(sorted_hashes: Hashes, wanted: int) -> int | None:
    place = int(np.searchsorted(sorted_hashes, np.uint64(wanted)))
    return place if place < len(sorted_hashes) and sorted_hashes[place] == wanted else None


def _hashes(numbers: array[int]) -> Hashes:
    return np.frombuffer(numbers, dtype=np.uint64) if numbers else np.zeros(0, np.uint64)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8], "big")
