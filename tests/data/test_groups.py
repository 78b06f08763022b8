"""Groups: near-duplicates are one group whatever the order of rows, and no long turn is in both splits."""

from __future__ import annotations

import random
import sys
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harken.data.groups import Grouper, is_long, normalised, split_of
from harken.data.rows import Row, Turn

LONG = [
    "I lost my job on Friday and cannot sleep",
    "we are moving to the sea in the spring at last",
    "他昨天晚上没有回家我一直在等他",
    "the results came back and they are all fine",
]
SHORT = ["thank you so much", "好的谢谢你", ""]


def make_row(name: str, group: str, *texts: str, split: str = "train", source: str = "one") -> Row:
    turns = tuple(Turn("user", text) for text in texts)
    return Row(name, group, split, "source", "", "en", source, "CC0", True, turns)


def grouped(rows: list[Row], dev_share: float = 0.0, seed: int = 0) -> list[Row]:
    grouper = Grouper(dev_share, seed)
    for row in rows:
        grouper.add(row)
    return [grouper.assign(row) for row in rows]


row_lists = st.lists(
    st.builds(
        lambda group, texts, split: (group, texts, split),
        st.sampled_from([f"g{i}" for i in range(6)]),
        st.lists(st.sampled_from(LONG + SHORT), max_size=3),
        st.sampled_from(["train", "train", "dev"]),
    ),
    max_size=12,
).map(lambda made: [make_row(str(i), g, *texts, split=split) for i, (g, texts, split) in enumerate(made)])


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  I DON’T know…  well-known!", "i dont know well known"),
        ("ＡＢＣ１２ ， x", "abc12 x"),
        ("你 好，世界！ OK吗？", "你好世界ok吗"),
        ("3 of\u200b the soft\u00adest_ones", "3 of the softest ones"),
        ("Straße", "strasse"),
        ("🙂 …", ""),
    ],
)
def test_normalised_forgets_case_width_punctuation_and_spaces(text: str, normal: str) -> None:
    assert normalised(text) == normal


@given(st.text(max_size=30))
def test_normalising_again_changes_nothing(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("text", "long"),
    [
        ("one two three four five", False),
        ("one two three four five six", True),
        ("一二三四五六七八九", False),
        ("一二三四五六七八九十", True),
        ("我说 one two 然后 three four", False),
        ("我说 one two 然后 three four 就 five six", True),
    ],
)
def test_long_turns(text: str, long: bool) -> None:
    assert is_long(normalised(text)) is long


def test_a_shared_long_turn_joins_dialogues_of_two_corpora() -> None:
    a = make_row("a", "x-1", "Hello.", LONG[0] + "!", source="x")
    b = make_row("b", "y-7", LONG[0].upper(), "Oh.", source="y")
    c = make_row("c", "y-8", "Hello.", "Oh.", source="y")
    first, second, third = grouped([a, b, c])
    assert first.group == second.group not in ("x-1", "y-7")
    assert third.group == "y-8", "short turns join nothing, and a group of its own keeps its name"


def test_groups_join_through_others() -> None:
    chain = [make_row(str(i), f"g{i}", LONG[i % 4], LONG[(i + 1) % 4]) for i in range(3)]
    assert len({row.group for row in grouped(chain)}) == 1
    by_source = [make_row("a", "g", LONG[0]), make_row("b", "g", LONG[1]), make_row("c", "h", LONG[1])]
    assert len({row.group for row in grouped(by_source)}) == 1


def test_dev_of_a_source_wins_over_train() -> None:
    rows = [
        make_row("a", "g", LONG[0]),
        make_row("b", "h", LONG[0], split="dev"),
        make_row("c", "i", LONG[1]),
    ]
    assert [row.split for row in grouped(rows)] == ["dev", "dev", "train"]
    alone = [make_row("a", "g", "Hi.", split="dev"), make_row("b", "g", "Yes."), make_row("c", "h", "No.")]
    assert [row.split for row in grouped(alone)] == ["dev", "dev", "train"]


@given(row_lists, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_order_of_rows_does_not_matter(rows: list[Row], dice: random.Random, dev_share: float) -> None:
    shuffled = list(rows)
    dice.shuffle(shuffled)
    wanted = {row.id: row for row in grouped(rows, dev_share)}
    assert {row.id: row for row in grouped(shuffled, dev_share)} == wanted


@given(row_lists, st.sampled_from([0.0, 0.3, 0.7]), st.integers(0, 3))
def test_no_long_turn_and_no_group_is_in_both_splits(rows: list[Row], dev_share: float, seed: int) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    groups: dict[str, set[str]] = defaultdict(set)
    for before, row in zip(rows, grouped(rows, dev_share, seed), strict=True):
        assert row.split == "dev" or before.split == "train"
        keys = [
            f"source {before.group}",
            *(normalised(t.text) for t in row.turns if is_long(normalised(t.text))),
        ]
        for key in keys:
            groups[key].add(row.group)
            splits[key].add(row.split)
        splits[f"group {row.group}"].add(row.split)
    assert all(len(found) == 1 for found in (*splits.values(), *groups.values()))


@given(row_lists)
def test_groups_are_joined_only_by_what_they_share(rows: list[Row]) -> None:
    """Against the plain way: join whatever shares a key until nothing changes."""
    keys = [{r.group, *(n for t in r.turns if is_long(n := normalised(t.text)))} for r in rows]
    parts: list[set[str]] = []
    for own in keys:
        touching = [part for part in parts if part & own]
        parts = [part for part in parts if not part & own] + [own.union(*touching)]
    given_groups = [row.group for row in grouped(rows)]
    expected = [next(i for i, part in enumerate(parts) if own & part) for own in keys]
    assert len(set(zip(given_groups, expected, strict=True))) == len(set(expected)) == len(set(given_groups))


def test_a_split_is_drawn_by_the_group_alone() -> None:
    names = [f"g{i}" for i in range(4000)]
    dev = [split_of(name, 0.1) == "dev" for name in names]
    assert 320 < sum(dev) < 480
    assert [split_of(name, 0.1) == "dev" for name in names] == dev
    assert [split_of(name, 0.1, seed=1) == "dev" for name in names] != dev
    more = [split_of(name, 0.2) == "dev" for name in names]
    assert all(b for a, b in zip(dev, more, strict=True) if a), "a larger share keeps what was dev"
    assert {split_of(name, 0.0) for name in names} == {"train"}
    assert {split_of(name, 1.0) for name in names} == {"dev"}


def test_what_is_kept_of_rows_is_small() -> None:
    grouper = Grouper()
    count = 3000
    for i in range(count):
        grouper.add(
            make_row(str(i), f"g{i}", f"this is the turn number {i} of many", "Oh.", f"and number {i} of all")
        )
    kept = [value for value in vars(grouper).values() if hasattr(value, "buffer_info")]
    assert sum(map(len, kept)) >= 2 * count and sum(map(sys.getsizeof, kept)) < 60 * count
