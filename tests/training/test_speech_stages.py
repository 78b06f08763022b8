"""Some of the replies: so many hours of them, and the same each time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from harken.training.speech_stages import some


def said(lengths: list[int]) -> list[Any]:
    return [SimpleNamespace(units=torch.zeros(length, 2)) for length in lengths]


def test_replies_are_drawn_until_there_are_enough_units() -> None:
    replies = said([5, 10, 15, 20])
    chosen = some(replies, 30.0, seed=0)
    units = [2 * len(replies[n].units) for n in chosen]
    assert 30 <= sum(units) < 30 + 2 * max(len(replies[n].units) for n in chosen)
    assert chosen == sorted(chosen) == some(replies, 30.0, seed=0)
    assert any(some(replies, 30.0, seed=seed) != chosen for seed in range(1, 5))


def test_all_are_learned_where_there_are_no_more() -> None:
    assert some(said([5, 10]), 1e9, seed=0) == [0, 1]
