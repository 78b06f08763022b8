"""A build as a whole: what comes of sources, what is left out, and what becomes of one that is stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Literal

import psutil
import pytest
from filelock import FileLock

pytest.importorskip("pyarrow", reason="data sets are kept in Parquet: extra data")

from harken.bench.data_steps import Delayed, steps
from harken.data import build_files
from harken.data.build import build
from harken.data.build_recipes import BuildRecipe, SourceConfig
from harken.data.ingest import chosen
from harken.data.progress import Lines
from harken.data.rows import derive
from harken.data.shards import read_dropped, read_rows
from harken.data.sources import open_source
from harken.data.steps.base import Dropped
from harken.data.steps.prompts import PROMPTS
from harken.errors import DataError, HarkenError, RecipeError
from harken.llm.base import Completion, LLMError, Sampling
from harken.llm.select import LLMConfig

SCRIPT = Path(__file__).with_name("stopping_build.py")
ADVERBS = ("slowly", "gladly", "kindly", "oddly")


def dialogue(number: int, **changes) -> dict:
    text = f"I walked {ADVERBS[number % 4]} past house number {number} on the long road this morning."
    turn = {"speaker": "user", "text": text, "emotion": "happy", "cause": f"house number {number}"}
    return {"id": f"d{number}", "lang": "en", "topic": "walks", "turns": [turn | changes]}


@pytest.fixture
def source(tmp_path) -> Path:
    """Fourteen dialogues of one turn each, in the starter's form."""
    folder = tmp_path / "source"
    folder.mkdir()
    write(folder, [dialogue(number) for number in range(14)])
    return folder


def write(folder: Path, lines: list) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "en.jsonl").write_text("\n".join(texts) + "\n")


def recipe(source: Path | None, **changes) -> BuildRecipe:
    fields = {
        "name": "test",
        "sources": (SourceConfig(name="starter", path=source and str(source)),),
        "rows_per_shard": 4,
        "steps": steps((0.0, 0.0, 0.0)),
    }
    return BuildRecipe(**fields | changes)


def files(out: Path) -> dict[str, bytes]:
    """The data set's files, by name."""
    return {path.name: path.read_bytes() for path in sorted(out.glob("*-*"))}


def reasons(out: Path) -> list[str]:
    return sorted(f"{one.step}: {one.reason}" for one in read_dropped(out))


def test_every_source_row_is_a_row_or_a_dropped_row(source, tmp_path):
    done = build(recipe(source, dev_share=0.5), tmp_path / "out", engine="inline")
    rows = list(read_rows(done.folder))
    assert (done.shards, done.standing, done.source_rows) == (4, 4, 14)
    assert done.tally.rows == {"respond": len(rows)} and len({row.id for row in rows}) == len(rows)
    assert len(rows) + done.tally.dropped.total() == 14
    assert {row.source for row in rows} == {"starter"} and {row.task for row in rows} == {"respond"}
    assert {row.split for row in rows} == {"train", "dev"}
    assert sorted(path.name for path in (done.folder / "work").glob("shard-*")) == []
    record = json.loads((done.folder / "build.json").read_text())
    assert record["digest"] == recipe(source, dev_share=0.5).digest
    assert BuildRecipe.model_fields.keys() == record["recipe"].keys()


def test_ids_are_of_recipe_and_source_alone(source, tmp_path):
    def ids(name: str, made: BuildRecipe) -> set[str]:
        return {row.parents[0] for row in read_rows(build(made, tmp_path / name, engine="inline").folder)}

    first = ids("a", recipe(source))
    assert first == ids("b", recipe(source, name="other", steps=steps((0.0, 0.0, 0.0), workers=3)))
    assert not first & ids("c", recipe(source, seed=1))


def test_a_second_run_does_what_is_missing_and_nothing_else(source, tmp_path):
    out = build(recipe(source), tmp_path / "out", engine="inline").folder
    before, times = files(out), {path: path.stat().st_mtime_ns for path in out.glob("*-*")}
    (out / "rows-00002.parquet").unlink()
    (out / "rows-00001.parquet").write_bytes(before["rows-00001.parquet"][:200])  # cut short
    done = build(recipe(source), out, engine="inline")
    assert done.standing == 4 and files(out) == before
    redone = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert redone == {
        f"{kind}-0000{n}.{e}" for n in (1, 2) for kind, e in (("rows", "parquet"), ("dropped", "jsonl"))
    }


def test_figures_of_shards_outlive_their_files(source, tmp_path):
    done = build(recipe(source), tmp_path / "out", engine="inline")
    for path in (done.folder / "work").glob("tally-*"):
        path.unlink()
    again = build(recipe(source), done.folder, engine="inline")
    assert (again.tally.rows, again.tally.dropped) == (done.tally.rows, done.tally.dropped)


def test_another_recipe_in_the_same_folder_is_refused_with_the_difference(source, tmp_path):
    out = build(recipe(source), tmp_path / "out", engine="inline").folder
    before = files(out)
    with pytest.raises(RecipeError, match=r"seed: 0 -> 7") as refused:
        build(recipe(source, seed=7), out, engine="inline")
    assert "\n" not in refused.value.message
    with pytest.raises(RecipeError, match=r"steps\[1\].ms_per_row: 0.0 -> 0.5"):
        build(recipe(source, steps=steps((0.0, 0.5, 0.0))), out, engine="inline")
    with pytest.raises(RecipeError, match=r"limit: null -> 3"):
        build(recipe(source), out, engine="inline", limit=3)
    assert build(recipe(source), out, engine="inline", workers=2).standing == 4  # how it is run is no matter
    assert files(out) == before


def test_shards_of_unknown_origin_are_not_built_upon(source, tmp_path):
    out = build(recipe(source), tmp_path / "out", engine="inline").folder
    (out / "build.json").unlink()
    with pytest.raises(DataError, match=r"no build\.json"):
        build(recipe(source), out, engine="inline")


def test_bad_items_are_dropped_with_their_reason_and_the_build_goes_on(source, tmp_path):
    good = [dialogue(number) for number in range(5)]
    bad = [
        '{"id": "broken", ',
        dialogue(20, text="   ", cause=""),
        dialogue(21, emotion="hangry"),
        dialogue(22, text="今天早上我在路上走得很慢，看见了很多房子。", cause="房子"),
        dialogue(3),
        json.dumps(dialogue(23)).replace("long road", r"long \ud800 road"),
    ]
    write(source, [*good[:2], *bad, *good[2:]])
    done = build(recipe(source), tmp_path / "out", engine="inline")
    assert done.source_rows == 5 and done.standing == 2
    kinds = [reason for reason in reasons(done.folder) if reason.startswith("ingest")]
    assert kinds == sorted(
        [
            "ingest: broken JSON",
            "ingest: empty text",
            "ingest: label outside the set",
            "ingest: other language",
            "ingest: duplicate",
            "ingest: not of the source's form",
        ]
    )
    assert done.tally.dropped.total() == len(reasons(done.folder))


def test_nothing_usable_is_one_line(source, tmp_path):
    write(source, ["{", "["])
    with pytest.raises(DataError, match=r"gave no rows: .*broken JSON"):
        build(recipe(source), tmp_path / "out", engine="inline")
    with pytest.raises(DataError, match="nowhere"):
        build(recipe(tmp_path / "nowhere"), tmp_path / "out2", engine="inline")


def test_limits_shares_and_languages_choose_rows(source, tmp_path):
    def count(limit: int | None = None, **chosen) -> int:
        sources = (SourceConfig(name="starter", path=str(source), **chosen),)
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        return build(recipe(source, sources=sources), out, engine="inline", limit=limit).source_rows

    assert count(limit=6) == 6
    assert 0 < count(share=0.5) < 14
    assert count(langs=("en",)) == 14
    with pytest.raises(DataError, match="not in a language asked for"):
        count(langs=("zh",))


def test_a_limit_of_one_source_is_not_that_of_all(source, tmp_path):
    sources = (SourceConfig(name="starter", path=str(source), limit=3),)
    assert build(recipe(source, sources=sources), tmp_path / "out", engine="inline").source_rows == 3


def test_sources_are_read_by_turns_and_ids_once(source):
    names = ("starter", "recordings")
    made = recipe(None, sources=tuple(SourceConfig(name=name) for name in names))
    readers = {name: lambda: open_source("starter", source) for name in names}
    kinds = [getattr(item, "reason", "row") for item in chosen(made, readers)]
    assert kinds == ["row", "id was read before"] * 14


def test_what_may_not_be_shipped_is_left_out_unless_asked_for(tmp_path):
    said = []
    sources = (SourceConfig(name="ecf", path=str(tmp_path)),)
    report = Lines(said.append)
    with pytest.raises(RecipeError, match="no source of recipe test may be in weights that are shipped"):
        build(recipe(None, sources=sources), tmp_path / "out", engine="inline", report=report)
    assert "source ecf is left out: it may not be in weights that are shipped" in said
    with pytest.raises(DataError):  # now it is looked for, and is not there
        build(recipe(None, sources=sources, shippable_only=False), tmp_path / "out2", engine="inline")


def test_places_of_sources(source, tmp_path):
    with pytest.raises(RecipeError, match="no source 'mine'"):
        build(recipe(source), tmp_path / "out", {"mine": "x"})
    optional = recipe(None, sources=(SourceConfig(name="starter", optional=True),))
    with pytest.raises(RecipeError, match="has a place"):
        build(optional, tmp_path / "out")
    assert build(optional, tmp_path / "out", {"starter": str(source)}, engine="inline").source_rows == 14


def test_one_build_at_a_time_in_a_folder(source, tmp_path):
    (tmp_path / "out" / "work").mkdir(parents=True)
    with FileLock(tmp_path / "out" / "work" / "lock"), pytest.raises(DataError, match="another build"):
        build(recipe(source), tmp_path / "out", engine="inline")


class Interrupting(Delayed):
    step: Literal["interrupting"] = "interrupting"

    def change(self, row):
        if row.last_user.text.endswith("number 6 on the long road this morning."):
            raise KeyboardInterrupt
        return derive(row, self.maker, task="respond", stage="1-1", target="Yes.")


def test_an_interrupt_ends_the_build_cleanly(source, tmp_path):
    done = build(recipe(source, steps=(Interrupting(),)), tmp_path / "out", engine="inline")
    assert done.interrupted and (done.standing, done.shards) == (1, 4)
    assert list((done.folder / "work").glob("shard-*")) == []


def test_a_full_disk_stops_with_one_line(source, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(build_files.shutil, "disk_usage", lambda path: usage(1 << 40, 1 << 40, 5 << 20))
    with pytest.raises(HarkenError, match="only 5 MB are free") as full:
        build(recipe(source), tmp_path / "out", engine="inline")
    assert "\n" not in full.value.message and "shard 0" in full.value.message


@pytest.mark.parametrize("engine", ["inline", "local"])
@pytest.mark.parametrize("moment", ["ingest", "step", "finish"])
def test_killed_in_the_middle_it_goes_on_and_ends_the_same(source, tmp_path, engine, moment):
    build(_of_script(str(source)), tmp_path / "whole", engine="inline")
    command = [sys.executable, str(SCRIPT), engine, str(source), str(tmp_path / "out")]
    with subprocess.Popen([*command, moment], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline().strip() == moment
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == [], "a worker outlives its build"
    assert len(files(tmp_path / "out")) < len(files(tmp_path / "whole"))
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (again.stdout.strip(), again.stderr) == ("4", "")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def _of_script(source: str) -> BuildRecipe:
    """The recipe of the script, whose last step has another class here but the same rows."""
    made = steps((0.0, 0.0, 0.0))
    return recipe(Path(source), name="stopping", steps=made)


class EchoLLM:
    name, revision, template, thinks = "echo", "1", "chatml", False

    def complete(self, prompts, sampling):
        return [
            LLMError("refused")
            if "number 2 " in prompt
            else Completion("\ud800" if "number 3 " in prompt else "Yes.", "stop", 7, 3, cached)
            for cached, prompt in zip((True, False) * len(prompts), prompts, strict=False)
        ]


class Asking(Delayed):
    step: Literal["asking"] = "asking"

    def prepare(self, resources):
        resources.llm("teacher").complete(["once"], Sampling())

    def open(self, resources):
        llm = resources.llm("teacher")
        assert llm.name == "echo"

        def step(rows, workspace):
            answers = llm.complete([row.last_user.text for row in rows], Sampling())
            for row, answer in zip(rows, answers, strict=True):
                if isinstance(answer, LLMError):
                    yield Dropped(row, self.step, "teacher failed", answer.message)
                else:
                    yield derive(row, self.maker, task="respond", stage="1-1", target=answer.text)

        return step


def test_tokens_are_counted_over_all_shards(source, tmp_path):
    made = recipe(source, steps=(Asking(),), llms={"teacher": LLMConfig()})
    done = build(made, tmp_path / "out", engine="inline", open_named_llm={"teacher": EchoLLM()}.__getitem__)
    tokens = done.tally.tokens
    assert (tokens["teacher failed"], tokens["teacher asked"] + tokens["teacher cached"]) == (1, 14)
    assert tokens["teacher read"] == 7 * tokens["teacher asked"]
    assert done.tokens_line().startswith("teacher: ") and "1 failed" in done.tokens_line()
    assert done.tally.dropped == {"asking: teacher failed": 1, "write: cannot be stored": 1}


def test_a_language_model_that_the_recipe_lacks_is_named(source, tmp_path):
    with pytest.raises(HarkenError, match="no language model 'teacher'"):
        build(recipe(source, steps=(Asking(),)), tmp_path / "out", engine="inline")


def test_prompts_are_kept_beside_the_shards(source, tmp_path):
    done = build(recipe(source), tmp_path / "out", engine="inline")
    texts = json.loads((done.folder / "build.json").read_text())["prompts"]
    assert PROMPTS and all(texts[prompt.sha256] == prompt.text for prompt in PROMPTS.values())
