"""The parts of the bench of builds that use real models, with fakes: what they ask, count, keep and print."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyarrow", reason="data sets are kept in Parquet: extra data")

from harken import bench
from harken.bench import data_ieat, data_starter
from harken.bench.data import Ask
from harken.bench.data_build import Case, run, write_source
from harken.bench.data_ieat import examples
from harken.data.steps import attribute
from harken.errors import DataError, HarkenError, InputError
from harken.llm.cache import CachedLLM
from harken.llm.select import WEIGHTS
from harken.recipes import mini
from harken.testing import Answer, FakeLLM

CLOSED = "\n</think>\n\nThat must have hurt, I am so sorry."
TURNS = {
    "one": ("They gave my desk to someone else.", "sad", "gave my desk"),
    "two": ("The bakery on our street closed down for good.", "sad", "closed down for good"),
    "three": ("My landlord raised the rent without a word.", "anger", "raised the rent"),
}


@pytest.fixture
def dialogues(tmp_path: Path) -> Path:
    """Three, of one turn each, in the starter's form."""
    folder = tmp_path / "dialogues"
    folder.mkdir()
    lines = [
        {"id": key, "lang": "en", "topic": "none", "turns": [
            {"speaker": "user", "text": text, "emotion": emotion, "cause": cause}
        ]}
        for key, (text, emotion, cause) in TURNS.items()
    ]  # fmt: skip
    (folder / "en.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


def says(prompt: str, seed: int) -> Answer:
    """Of the desk the annotated cause; of the bakery other words of the turn; of the rent nonsense, until
    it is asked again."""
    asked, close = prompt.rsplit("<|im_start|>user\n", 1)[1], '"' if prompt.endswith('"') else "."
    if "desk" in asked:
        return f" someone gave the desk away{close}" + CLOSED
    if "bakery" in asked:
        return f" there is a bakery in the street{close}" + CLOSED
    return (f" the landlord raised the rent{close}" if seed else f" a cat ate fish soup{close}") + CLOSED


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> FakeLLM:
    """The fake that answers, behind the cache that the bench names."""
    fake = FakeLLM(says, name="fake-teacher", revision="9" * 40)
    monkeypatch.setattr(data_ieat, "open_llm", lambda config, cache: CachedLLM(fake, cache))
    return fake


def test_ieat_judges_the_step_and_a_single_try_from_the_same_answers(
    dialogues: Path, teacher: FakeLLM, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = Ask(("ieat",), source=("starter", str(dialogues)), out=tmp_path / "out")
    found = bench.run("data", recipe=mini(), json=True, ask=ask)["ieat"]
    assert json.loads(capsys.readouterr().out)["ieat"] == found
    three, one = found["tries"]
    assert (three["tries"], three["kept"], three["dropped"]) == (3, 3, 0)
    assert (one["tries"], one["kept"], one["reasons"]) == (1, 2, {attribute.NOT_IN_THE_WORDS: 1})
    assert three["begins_and_supported"] == one["begins_and_supported"] == 1.0
    assert three["with_annotated_cause"] == 3 and three["tells_the_annotated_cause"] == pytest.approx(2 / 3)
    assert found["prompts"] == {"asked": 4, "cached": 0, "failed": 0} and len(teacher.asked) == 4
    assert found["teacher"] == "fake-teacher@" + "9" * 40 and "annotated cause" in found["support"]

    again = bench.run("data", recipe=mini(), ask=ask)["ieat"]
    assert again["prompts"] == {"asked": 0, "cached": 4, "failed": 0} and len(teacher.asked) == 4
    assert again["tries"] == found["tries"]
    printed = capsys.readouterr().out
    assert "tries: 3" in printed and "tries: 1" in printed and "dropped_share" in printed


def test_ieat_takes_so_many_rows_and_wants_some(dialogues: Path, teacher: FakeLLM, tmp_path: Path) -> None:
    source = ("starter", str(dialogues))
    found = data_ieat.bench_ieat(tmp_path / "a", rows=2, source=source)
    assert found.figures["tries"][0]["rows"] == 2 and len(found.kept) == 2
    (dialogues / "en.jsonl").write_text('{"id": "x", "lang": "en", "topic": "none", "turns": []}\n')
    with pytest.raises(DataError, match="no rows with an emotion"):
        data_ieat.bench_ieat(tmp_path / "b", source=source)


def test_ieat_names_another_teacher_by_its_weights() -> None:
    recipe = data_ieat._recipe(("reccon", "r.jsonl"), "qwen2.5-coder-1.5b-instruct")
    assert recipe.llms["teacher"].weights == "qwen2.5-coder-1.5b-instruct"
    assert [(one.name, one.path) for one in recipe.sources] == [("reccon", "r.jsonl")]
    assert data_ieat._recipe(None, None).llms["teacher"].weights is None


def test_examples_are_evenly_spaced_whole_and_ready_for_a_page(
    dialogues: Path, teacher: FakeLLM, tmp_path: Path
) -> None:
    kept = data_ieat.bench_ieat(tmp_path, source=("starter", str(dialogues))).kept
    text = examples(kept, 2)
    assert text.startswith(f"**1.** `{kept[0].id}`, en, starter\n\n```\n") and text.count("```") == 4
    assert kept[1].id in text and kept[2].id not in text
    for row in kept[:2]:
        assert row.teacher is not None and row.target is not None
        assert row.target in text and row.turns[0].text in text and f"({row.last_user.emotion})" in text
        assert f"fake-teacher@{'9' * 12}, prompt {row.teacher.prompt_sha256[:12]}" in text
    flat = " ".join(text.split())
    assert all(f"trace {row.trace}" in flat for row in kept[:2])
    assert examples(kept, 10).count("**") == 6 and examples([], 10) == "\n"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that are run; each gives a small build of fakes in their place."""
    write_source(tmp_path / "source", 8)
    ran: list[list[str]] = []

    def fake_run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        out = command[command.index("--out") + 1]
        run(Case(str(tmp_path / "source"), out, 4, "inline", (0.0, 0.0, 0.0), (1, 1, 1)))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(data_starter.subprocess, "run", fake_run)
    monkeypatch.setattr(data_starter, "pull", lambda: ran.append(["pulled"]))
    return ran


def test_starter_is_built_four_times_on_weights_that_are_here(
    commands: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = bench.run("data", recipe=mini(), ask=Ask(("starter",), rows=20, out=tmp_path / "out"))
    pulled, few, first, again, anew = commands
    assert (
        pulled == ["pulled"] and first == again and first[1:6] == ["-m", "harken", "data", "build", "starter"]
    )
    places = [
        {name: Path(c[c.index(name) + 1]).name for name in ("--out", "--answers", "--limit")}
        for c in (first, anew, few)
    ]
    assert places == [
        {"--out": "starter", "--answers": "answers", "--limit": "20"},
        {"--out": "starter-anew", "--answers": "answers", "--limit": "20"},
        {"--out": "few", "--answers": "answers-few", "--limit": "12"},
    ]
    builds = result["starter"]
    assert len(builds) == 4 and all(one["rows"] + one["dropped"] == 8 for one in builds)
    assert json.loads((tmp_path / "out" / "starter.json").read_text())["starter"] == builds
    assert "all of it stands" in capsys.readouterr().out
    with pytest.raises(InputError, match="is there already"):
        bench.run("data", recipe=mini(), ask=Ask(("starter",), out=tmp_path / "out"))


def test_a_whole_starter_has_no_limit(tmp_path: Path) -> None:
    commands = [case.command() for case in data_starter.cases(tmp_path, None)]
    assert ["--limit" in command for command in commands] == [True, False, False, False]


def test_a_starter_that_fails_is_said_and_what_was_measured_is_kept(
    commands: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = data_starter.subprocess.run

    def breaks(command: list[str], **how: Any) -> Any:
        return (
            subprocess.CompletedProcess(command, 1)
            if "starter-anew" in " ".join(command)
            else works(command, **how)
        )

    monkeypatch.setattr(data_starter.subprocess, "run", breaks)
    with pytest.raises(HarkenError, match=r"exit code 1: into a new folder"):
        bench.run("data", recipe=mini(), ask=Ask(("starter",), out=tmp_path / "out"))
    assert len(json.loads((tmp_path / "out" / "starter.json").read_text())["starter"]) == 3


def test_pulling_names_every_model_of_the_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    from harken.voices import kokoro  # before its import of `ensure` could be the stand-in
    from harken.weights import store

    assert kokoro.WEIGHTS == "kokoro-82m"
    pulled: list[str] = []
    monkeypatch.setattr(store, "ensure", pulled.append)
    data_starter.pull()
    assert sorted(pulled) == ["kokoro-82m", WEIGHTS, "whisper-base"]
