"""The IEAT step with a real teacher on real rows: what it keeps and drops, and whether the kept traces hold.

The step is measured as a build runs it, and with a single try: that one is judged from the same first
answers, so that it asks nothing more. What the figures mean is `harken.data.steps.attribute_figures`'.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from textwrap import wrap
from time import perf_counter
from typing import Any

from harken.data.build_recipes import BuildRecipe, SourceConfig, starter
from harken.data.ingest import chosen
from harken.data.rows import Row
from harken.data.sources import open_source
from harken.data.steps.attribute import Attribute, AttributeStep
from harken.data.steps.attribute_figures import ieat_figures
from harken.data.steps.base import Dropped
from harken.data.steps.injections import FEELINGS
from harken.data.steps.teaching import LANGUAGES, is_query
from harken.data.steps.traces import named_cause, tells
from harken.data.workspace import Workspace
from harken.errors import DataError
from harken.evaluation.report import Report
from harken.llm.base import LLM
from harken.llm.cache import CachedLLM
from harken.llm.select import LLMConfig, open_llm

ROWS, SHOWN = 100, 10
WIDTH = 110
JUDGED = (
    "by the rule that the step itself drops by: the cause that ends the injection's sentence or quotation "
    "has half of the content words of the annotated cause, or two content words of the user's turns that are "
    "a third of its own; tells_the_annotated_cause is judged by the annotation alone, and nothing is dropped "
    "for it"
)

Figures = dict[str, Any]


@dataclass(frozen=True)
class Ieat:
    """What came of the step: its figures, and the rows that it kept."""

    figures: Figures
    kept: tuple[Row, ...]


def bench_ieat(
    place: Path, rows: int | None = None, source: tuple[str, str] | None = None, teacher: str | None = None
) -> Ieat:
    """The first rows of a source that have an emotion, through the step.

    Args:
        place: a folder for the teacher's answers; those that an earlier run left there are not asked again.
        rows: how many.
        source: its name and where it lies; None takes the starter's dialogues.
        teacher: a GGUF language model of the weights catalogue; None takes the starter recipe's.

    Raises HarkenError where the source has no such rows, and where the teacher cannot start.
    """
    recipe = _recipe(source, teacher)
    llm = open_llm(recipe.llms["teacher"], place / "answers.sqlite")
    assert isinstance(llm, CachedLLM)
    try:
        return measured(recipe, llm, felt(recipe, place, rows or ROWS))
    finally:
        llm.close()


def measured(recipe: BuildRecipe, llm: CachedLLM, rows: Sequence[Row]) -> Ieat:
    """The step of the recipe on these source rows."""
    config = next(step for step in recipe.steps if isinstance(step, Attribute))
    begun = perf_counter()
    kept, dropped = _through(config, llm, recipe.seed, rows)
    seconds = perf_counter() - begun
    used = llm.usage
    once = _through(config.model_copy(update={"tries": 1}), llm, recipe.seed, rows)
    figures: Figures = {
        "source": recipe.sources[0].name,
        "teacher": f"{llm.name}@{llm.revision}",
        "support": JUDGED,
        "seconds": round(seconds, 1),
        "prompts": {"asked": used.prompts - used.cached, "cached": used.cached, "failed": used.failed},
        "tries": [_judged(config.tries, rows, kept, dropped), _judged(1, rows, *once)],
    }
    return Ieat(figures, tuple(kept))


def felt(recipe: BuildRecipe, keep: Path, count: int) -> list[Row]:
    """The first rows of the recipe's source that the step asks its teacher about. Raises DataError."""
    source = recipe.sources[0]
    read = {source.name: lambda: open_source(source.name, source.path or "", keep=keep / "source")}
    found = (row for row in chosen(recipe, read) if isinstance(row, Row))
    rows = list(islice((row for row in found if _is_felt(row)), count))
    if not rows:
        raise DataError(f"source {source.name} has no rows with an emotion", "name one that has: --source")
    return rows


def report(figures: Figures) -> Report:
    """The figures as a table for people: a line each, a column for each number of tries."""
    columns = {f"tries: {one['tries']}": one for one in figures["tries"]}
    names = [name for name in figures["tries"][0] if name != "tries"]
    lines = tuple({"measure": name} | {title: one[name] for title, one in columns.items()} for name in names)
    setting = {name: value for name, value in figures.items() if name != "tries"}
    return Report("the IEAT step with a real teacher", setting, lines)


def examples(kept: Sequence[Row], count: int = SHOWN) -> str:
    """So many kept rows, evenly spaced, whole, as Markdown."""
    count = min(count, len(kept))
    chosen_rows = [kept[i * len(kept) // count] for i in range(count)]
    shown = (f"**{number}.** {_markdown(row)}" for number, row in enumerate(chosen_rows, 1))
    return "\n\n".join(shown) + "\n"


def _recipe(source: tuple[str, str] | None, teacher: str | None) -> BuildRecipe:
    recipe = starter()
    changes: dict[str, Any] = {}
    if source is not None:
        changes["sources"] = (SourceConfig(name=source[0], path=source[1]),)
    if teacher is not None:
        changes["llms"] = {"teacher": LLMConfig(weights=teacher)}
    return recipe.model_copy(update=changes)


def _is_felt(row: Row) -> bool:
    return is_query(row) and row.lang in LANGUAGES and row.last_user.emotion in FEELINGS["en"]


def _through(config: Attribute, llm: LLM, seed: int, rows: Sequence[Row]) -> tuple[list[Row], list[Dropped]]:
    results = list(AttributeStep(config, llm, seed)(rows, Workspace(Path("unused"))))
    kept = [one for one in results if isinstance(one, Row) and one.task == "empathy"]
    return kept, [one for one in results if isinstance(one, Dropped)]


def _judged(tries: int, rows: Sequence[Row], kept: Sequence[Row], dropped: Sequence[Dropped]) -> Figures:
    causes = {row.id: row.last_user.cause for row in rows}
    told = [
        tells(named_cause(row.trace or "", row.injection or ""), causes[row.parents[0]], row.lang)
        for row in kept
        if causes[row.parents[0]]
    ]
    return {
        "tries": tries,
        **ieat_figures(kept, dropped),
        "with_annotated_cause": len(told),
        "tells_the_annotated_cause": sum(told) / len(told) if told else None,
    }


def _markdown(row: Row) -> str:
    assert row.teacher is not None, "what the step keeps has a teacher"
    sampling = json.loads(row.teacher.sampling)
    by = f"{row.teacher.name}@{row.teacher.revision[:12]}, prompt {row.teacher.prompt_sha256[:12]}"
    drawn = f"temperature {sampling['temperature']}, top_p {sampling['top_p']}, seed {row.teacher.seed}"
    lines = [
        *((turn.role, turn.text + (f"   ({turn.emotion})" if turn.emotion else "")) for turn in row.turns),
        ("injection", row.injection or ""),
        ("trace", row.trace or ""),
        ("target", row.target or ""),
        ("teacher", f"{by}, {drawn}"),
    ]
    indent = " " * 11
    told = [
        "\n".join(wrap(f"{name:<10} {text}", WIDTH, subsequent_indent=indent, break_on_hyphens=False))
        for name, text in lines
    ]
    return "\n".join([f"`{row.id}`, {row.lang}, {row.source}", "", "```", *told, "```"])
