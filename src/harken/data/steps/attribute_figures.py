"""Figures of an IEAT run: what was kept, what was dropped and why, and how the kept traces hold up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harken.data.rows import Row
from harken.data.steps.base import Dropped
from harken.data.steps.replies import words
from harken.data.steps.traces import supported


def ieat_figures(rows: Sequence[Row], dropped: Sequence[Dropped]) -> dict[str, Any]:
    """Counts and shares over the kept rows (task "empathy") and the dropped ones of the attribute step.

    `begins` is the share of kept traces that begin with their row's injection, `supported` of those that go
    on to a supported cause (`traces.supported`), `begins_and_supported` of those that do both;
    `distinct_per_100` counts continuations that differ in more than case and punctuation, and
    `distinct_replies_per_100` replies. Shares of nothing are 0.
    """
    kept = [row for row in rows if row.task == "empathy"]
    begins = [bool(row.injection) and (row.trace or "").startswith(row.injection or "") for row in kept]
    rests = [supported(row) for row in kept]
    both = [a and b for a, b in zip(begins, rests, strict=True)]
    traces = {tuple(words((row.trace or "").removeprefix(row.injection or ""))) for row in kept}
    replies = {tuple(words(row.target or "")) for row in kept}
    return {
        "rows": len(kept) + len(dropped),
        "kept": len(kept),
        "dropped": len(dropped),
        "dropped_share": _share(len(dropped), len(kept) + len(dropped)),
        "reasons": dict(Counter(drop.reason for drop in dropped).most_common()),
        "begins": _share(sum(begins), len(kept)),
        "supported": _share(sum(rests), len(kept)),
        "begins_and_supported": _share(sum(both), len(kept)),
        "distinct_per_100": 100 * _share(len(traces), len(kept)),
        "distinct_replies_per_100": 100 * _share(len(replies), len(kept)),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
