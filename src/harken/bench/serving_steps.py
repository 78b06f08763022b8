"""A token of several replies: read one after the other, and in one pass."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import torch

from harken.bench.result import spread
from harken.model.eight_bit import MOST_ROWS
from harken.model.spoken_lm import SpokenLM

LENGTHS = (120, 160, 200, 240)
"""Positions that each reply has read before: some turns of talk."""


@torch.no_grad()
def steps(model: SpokenLM, count: int) -> dict[str, Any]:
    """Times of a token of 1 to MOST_ROWS replies, `count` of each kind in turns."""
    vocabulary = model.recipe.core.vocabulary
    ids = torch.randint(0, vocabulary, (max(LENGTHS) + MOST_ROWS,), generator=torch.manual_seed(0)).tolist()
    states = [model.read(model.embed(ids[:length])[None]).state for length in LENGTHS[:MOST_ROWS]]
    tokens = model.embed(ids[-len(states) :])  # (R, D)
    found: dict[str, Any] = {"in_one_pass": model.core.reads_each}
    times: dict[tuple[int, str], list[float]] = {}
    for number in range(count + 1):
        for rows in range(1, len(states) + 1):
            for kind in ("in_turn", "together"):
                begun_s = perf_counter()
                if kind == "in_turn":
                    for token, state in zip(tokens[:rows], states[:rows], strict=True):
                        model.read(token[None, None], state)
                else:
                    model.read_each(tokens[:rows], states[:rows])
                if number:  # the first warms up
                    times.setdefault((rows, kind), []).append(1000 * (perf_counter() - begun_s))
    for (rows, kind), ms in times.items():
        found.setdefault(f"replies_{rows}", {})[f"{kind}_ms"] = spread(ms)
    return found
