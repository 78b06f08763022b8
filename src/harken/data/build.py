"""A build: a recipe's sources through its steps to a data set on disk.

    OUT/rows-*.parquet, audio-*.tar, dropped-*.jsonl    the data set (`harken.data.shards`)
    OUT/build.json                                      the recipe, every prompt, and what they were made with
    OUT/cache/                                          answers of language models
    OUT/work/                                           the pieces that shards begin with, and shards in work

It goes on by itself: what stands is kept, the shards in work when it stopped are done again. Another recipe
in the same folder is refused. How sources become pieces is in `harken.data.ingest`, how shards pass through
the steps in `harken.data.engines`.
"""

from __future__ import annotations

import json
import platform
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata, util
from pathlib import Path
from typing import Any

import harken
from harken.data.build_files import ShardFiles, Tally
from harken.data.build_recipes import BuildRecipe, difference, shaping
from harken.data.engines import engine as named_engine
from harken.data.engines.base import PARTS, Chain, Engine, Finished, Lent, OpenLLM, failure
from harken.data.files import write_text
from harken.data.ingest import Plan, Read, ingest
from harken.data.progress import Quiet, Report
from harken.data.rows import SCHEMA_VERSION
from harken.data.shards import complete
from harken.data.steps import prompts
from harken.data.steps.base import StepConfig
from harken.errors import DataError, HarkenError, RecipeError
from harken.llm.base import LLM
from harken.llm.select import LLMConfig, open_llm

BUILD = "build.json"
_PACKAGES = ("numpy", "pyarrow", "pydantic", "soundfile", "onnxruntime", "transformers", "xllamacpp")


@dataclass(frozen=True)
class Summary:
    """What a data set holds, and what it cost to build."""

    folder: Path
    shards: int
    standing: int
    """Of the shards, how many are whole."""
    source_rows: int
    tally: Tally
    """Of the shards that stand."""
    interrupted: bool = False

    def tokens_line(self) -> str:
        """What each language model was asked, in one line; empty where there is none."""
        lines = []
        for name in dict.fromkeys(key.rpartition(" ")[0] for key in self.tally.tokens):
            of = {part: f"{self.tally.tokens[f'{name} {part}']:,}" for part in PARTS}
            lines.append(
                f"{name}: {of['asked']} prompts asked, {of['cached']} from the cache, {of['failed']} failed; "
                f"{of['read']} tokens read, {of['written']} written"
            )
        return "; ".join(lines)


def build(
    recipe: BuildRecipe,
    out: Path,
    sources: Mapping[str, str] | None = None,
    engine: str = "local",
    workers: int | None = None,
    limit: int | None = None,
    report: Report | None = None,
    answers: Path | None = None,
    open_named_llm: OpenLLM | None = None,
) -> Summary:
    """Make the data set of `recipe` in `out`, going on where an earlier build of it stopped.

    Args:
        sources: source -> its folder or file, instead of what the recipe says.
        engine: inline, local or ray; the rows are the same.
        workers: shards that each step works on at once, instead of the recipe's numbers.
        limit: source rows at most.
        answers: the folder of language models' answers, to share them among builds; OUT/cache if None.
        open_named_llm: opens the recipe's language models, instead of `harken.llm.select`; it is pickled.

    Returns: what stands; after an interrupt (Ctrl-C) too.

    Raises RecipeError where the recipe fits neither its sources nor what is in `out`, DataError where sources
    cannot be read or `out` not written, and any HarkenError that is not about one row.
    """
    report, run = report or Quiet(), named_engine(engine)
    out = out.absolute()
    files, recipe = ShardFiles(out), _placed(recipe, sources or {}, workers, limit)
    llms = open_named_llm or partial(_llm, tuple(recipe.llms.items()), (answers or out / "cache").absolute())
    with _held(out):
        _check_same(recipe, out, limit)
        report.begin("reading sources", limit)
        readers = _readers(recipe, files.work / "sources", report)
        plan = ingest(recipe, readers, files.work / "ingest", limit, report.reached)
        report.end()
        chain = Chain(files, recipe.steps, Lent(out, recipe.seed, llms))
        todo = sorted(set(range(plan.shards)) - complete(out))
        files.wipe_work()
        interrupted = bool(todo) and _interrupted(_finished(run, todo, chain, report), report)
        files.wipe_work()
        return _summary(files, plan, chain.lent.tokens, interrupted)


def _finished(run: Engine, todo: list[int], chain: Chain, report: Report) -> Generator[Finished]:
    """Prepares what all shards share, then runs them."""
    for step in chain.steps:
        if type(step).prepare is not StepConfig.prepare:
            report.begin(f"preparing {step.step}", None)
            try:
                step.prepare(chain.lent)
            except Exception as error:
                raise failure(step.step, None, error) from error
    report.begin("building shards", len(todo))
    yield from run(todo, chain)


def _interrupted(finished: Generator[Finished], report: Report) -> bool:
    """Runs to the end; gives whether somebody stopped it before."""
    try:
        for number, _ in enumerate(finished, 1):
            report.reached(number)
    except KeyboardInterrupt:
        return True
    finally:
        finished.close()  # abandons what is in work
        report.end()
    return False


def _placed(
    recipe: BuildRecipe, sources: Mapping[str, str], workers: int | None, limit: int | None
) -> BuildRecipe:
    """The recipe with the places of its sources, so many workers, and its limit. Raises RecipeError."""
    names = [source.name for source in recipe.sources]
    strange = [name for name in sources if name not in names]
    if strange:
        raise RecipeError(
            f"recipe {recipe.name} has no source {strange[0]!r}", f"its sources: {', '.join(names)}"
        )
    placed = tuple(s.model_copy(update={"path": sources.get(s.name, s.path)}) for s in recipe.sources)
    placed = tuple(s for s in placed if s.path is not None or not s.optional)
    if not placed:
        raise RecipeError(
            f"no source of recipe {recipe.name} has a place",
            f"--source NAME=DIR for any of: {', '.join(names)}",
        )
    steps = recipe.steps
    if limit is not None:
        steps = tuple(step.limited(limit) for step in steps)
    if workers is not None:
        steps = tuple(step.model_copy(update={"workers": workers}) for step in steps)
    return recipe.model_copy(update={"sources": placed, "steps": steps})


def _readers(recipe: BuildRecipe, keep: Path, report: Report) -> dict[str, Read]:
    """What opens each source. Those that may not be in shipped weights are left out, unless asked for."""
    from harken.data.sources import SOURCES, open_source

    readers: dict[str, Read] = {}
    for source in recipe.sources:
        name = source.name
        if recipe.shippable_only and name in SOURCES and not SOURCES[name].shippable:
            report.say(f"source {name} is left out: it may not be in weights that are shipped")
            continue
        readers[name] = partial(
            open_source, name, source.path or "", keep=keep / name, options=source.options
        )
    if not readers:
        raise RecipeError(
            f"no source of recipe {recipe.name} may be in weights that are shipped",
            "take them for research: shippable_only: false, or --research",
        )
    return readers


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Nobody else builds in `out` meanwhile. Raises DataError where somebody does, or it cannot be made."""
    from filelock import FileLock, Timeout

    try:
        (out / "work").mkdir(parents=True, exist_ok=True)
        with FileLock(out / "work" / "lock", timeout=0):
            yield
    except Timeout:
        raise DataError(
            f"{out}: another build is at work there", "wait for it, or name another --out"
        ) from None
    except OSError as error:
        if isinstance(error, HarkenError):
            raise
        raise DataError(f"{error.filename or out}: {error.strerror or error}", "name another --out") from None


def _check_same(recipe: BuildRecipe, out: Path, limit: int | None) -> None:
    """Writes down what is built in `out`. Raises RecipeError where that was something else before."""
    path = out / BUILD
    record: dict[str, Any] = {"recipe": recipe.dump(), "limit": limit}
    if path.is_file():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
            lines = difference(_essence(old), _essence(record))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: cannot be read: {error!r}", "build in another folder") from None
        if lines:
            raise RecipeError(
                f"{out} holds another build: {'; '.join(lines[:5])}{'; …' if len(lines) > 5 else ''}",
                "name another --out, or take the recipe it was begun with",
            )
        record = old
    elif complete(out):
        raise DataError(f"{out} holds shards and no {BUILD}", "build in another folder")
    else:
        record |= {
            "digest": recipe.digest, "schema_version": SCHEMA_VERSION, "harken": harken.__version__,
            "python": platform.python_version(), "packages": _versions(), "prompts": _prompts(recipe),
        }  # fmt: skip
    write_text(path, json.dumps(record, ensure_ascii=False, indent=2) + "\n")


def _essence(record: Mapping[str, Any]) -> dict[str, Any]:
    """What makes two builds the same one."""
    places = {source["name"]: source["path"] for source in record["recipe"]["sources"]}
    return {**shaping(record["recipe"]), "path": places, "limit": record["limit"]}


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _PACKAGES if util.find_spec(name)}


def _prompts(recipe: BuildRecipe) -> dict[str, str]:
    """The text of each prompt that the steps may use, by the hash that rows name it by."""
    modules = dict.fromkeys([prompts.__name__, *(type(step).__module__ for step in recipe.steps)])
    found = [getattr(sys.modules[module], "PROMPTS", {}) for module in modules]
    return {prompt.sha256: prompt.text for of_module in found for prompt in of_module.values()}


@cache
def _opened_llm(config: LLMConfig, answers: Path) -> LLM:
    return open_llm(config, answers)


def _llm(configs: tuple[tuple[str, LLMConfig], ...], answers: Path, name: str) -> LLM:
    """One language model of the recipe, shared by all who ask for it in this process."""
    config = dict(configs).get(name)
    if config is None:
        raise RecipeError(
            f"the recipe has no language model {name!r}", f"it has: {', '.join(dict(configs)) or 'none'}"
        )
    return _opened_llm(config, answers / "answers.sqlite")


def _summary(files: ShardFiles, plan: Plan, prepared: Counter[str], interrupted: bool) -> Summary:
    standing, tally = complete(files.out), Tally(tokens=Counter(prepared))
    for number in sorted(standing):
        tally.add(files.tally(number))
    return Summary(files.out, plan.shards, len(standing), plan.rows, tally, interrupted)
