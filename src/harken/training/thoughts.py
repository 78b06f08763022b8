"""What Think makes of conversations, computed once and kept on disk: it is frozen wherever Speak learns.

Shapes: T positions of an item, D core width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor


def kept_thoughts(
    path: Path, lengths: Sequence[int], width: int, think: Callable[[int], Tensor]
) -> Callable[[int], Tensor]:
    """Number of an item -> what Think makes of it, (T, D); what stands in `path` is not thought again.

    Args: think: number of an item -> (T, D), with T of `lengths`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    starts = np.cumsum([0, *lengths])
    there = path.stat().st_size // (2 * width) if path.exists() else 0
    begin = int(np.searchsorted(starts, there, side="right")) - 1
    with path.open("ab") as file:
        file.truncate(int(starts[begin]) * 2 * width)
        for n in track(range(begin, len(lengths)), f"thinking of replies, {path.stem}"):
            thought = think(n)
            assert len(thought) == lengths[n], "an item is as long as it was said to be"
            file.write(thought.float().cpu().numpy().astype(np.float16).tobytes())
            if n % 100 == 0:
                file.flush()
    rows = np.memmap(path, np.float16, "r", shape=(int(starts[-1]), width))
    return lambda n: torch.from_numpy(np.array(rows[starts[n] : starts[n + 1]]))
