"""The other commands: recipes, and the doors to the rooms that train and measure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import pytest
from command_line import run

from harken.recipes import RECIPES, Recipe, recipe
from harken.weights import store

COMMANDS = ("reply", "weights", "recipes", "train", "evaluate", "bench", "data")


def test_help_names_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0 and all(command in out for command in COMMANDS)
    for command in COMMANDS:
        assert run(capsys, command, "--help")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    (
        (),
        ("sing",),
        ("weights",),
        ("weights", "pull", "nothing"),
        ("recipes", "show", "nothing"),
        ("data", "sing"),
    ),
)
def test_wrong_use_is_exit_code_2(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "") and err


def test_recipes_are_listed_and_shown_whole(capsys):
    code, out, _ = run(capsys, "recipes", "list")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == list(RECIPES)
    for name in RECIPES:
        code, out, _ = run(capsys, "recipes", "show", name)
        assert code == 0 and Recipe.model_validate_json(out) == recipe(name)


def kept_calls(monkeypatch, module):
    """How the `run` of a room is called, instead of running it."""
    calls = []
    monkeypatch.setattr(module, "run", lambda *args, **options: calls.append((args, options)))
    return calls


def test_train_dispatches_its_stage(capsys, monkeypatch):
    from harken.training import stages

    calls = kept_calls(monkeypatch, stages)
    arguments = ("train", "words", "--data", "d", "--out", "o", "--steps", "7", "--resume")
    assert run(capsys, *arguments)[0] == 0
    ((stage,), options) = calls[0]
    assert (stage, options["data"], options["out"], options["steps"]) == ("words", Path("d"), Path("o"), 7)
    assert options["recipe"].name == "mini" and options["resume"] and not options["dry_run"]
    assert run(capsys, "train", "words")[0] == 2
    assert run(capsys, "train", "words", "--dry-run")[0] == 0 and calls[1][1]["dry_run"]


def test_a_training_that_was_told_to_end_is_no_failure(capsys, monkeypatch):
    from harken.errors import Stopped
    from harken.training import stages

    def stopped(*_, **__):
        raise Stopped("stopped after step 5 of 10; saved in o/words", "the same command goes on")

    monkeypatch.setattr(stages, "run", stopped)
    code, out, err = run(capsys, "train", "words", "--data", "d", "--out", "o")
    assert code == 0 and not out
    assert "after step 5 of 10" in err and "hint: the same command goes on" in err


def test_options_of_one_stage_are_refused_by_others(capsys, monkeypatch):
    from harken.training import stages

    calls = kept_calls(monkeypatch, stages)
    given = ("--data", "d", "--out", "o")
    for option in (("--arm", "label"), ("--allow-worse-words",), ("--from", "mini")):
        code, _, err = run(capsys, "train", "words", *given, *option)
        assert code == 2 and option[0] in err
    assert run(capsys, "train", "affect", *given, "--allow-worse-words")[0] == 0
    assert calls[0][1]["allow_worse_words"]
    code, _, err = run(capsys, "train", "reflect", *given, "--allow-worse-words")
    assert code == 2 and "--allow-worse-words" in err
    assert run(capsys, "train", "reflect", *given, "--arm", "dpo", "--seed", "3", "--from", "mini")[0] == 0
    assert (calls[1][1]["arm"], calls[1][1]["seed"]) == ("dpo", 3)


@pytest.mark.parametrize(
    "command", [("train", "affect", "--dry-run"), ("evaluate", "words", "--data", "d", "--out", "o")]
)
def test_a_seed_below_zero_is_wrong_use(capsys, command):
    code, out, err = run(capsys, *command, "--seed", "-1")
    assert (code, out) == (2, "") and "--seed -1 is below 0" in err


def test_evaluate_and_bench_dispatch_by_name(capsys, monkeypatch):
    from harken import bench, evaluation

    evaluated, benched = kept_calls(monkeypatch, evaluation), kept_calls(monkeypatch, bench)
    assert run(capsys, "evaluate", "words", "--data", "d", "e", "--limit", "5")[0] == 0
    assert run(capsys, "bench", "latency", "--json", "--runs", "2")[0] == 0
    ((name,), options) = evaluated[0]
    assert (name, options["data"], options["limit"]) == ("words", (Path("d"), Path("e")), 5)
    ((name,), options) = benched[0]
    assert (name, options["json"], options["runs"], options["ask"]) == ("latency", True, 2, None)
    train = ("bench", "train", "--stage", "align", "--data", "d", "--out", "o", "--checkpoint", "c")
    assert run(capsys, *train)[0] == 0
    ((name,), options) = benched[1]
    assert (name, options["stage"], options["data"]) == ("train", "align", (Path("d"),))
    assert (options["out"], options["checkpoint"]) == (Path("o"), Path("c"))


def test_evaluate_humdial_names_system_and_judge(capsys, monkeypatch):
    from harken import evaluation
    from harken.evaluation.asking.options import Asking

    evaluated = kept_calls(monkeypatch, evaluation)
    monkeypatch.setattr("sys.argv", ["harken", "evaluate", "humdial", "--data", "my set"])
    typed = "harken evaluate humdial --data 'my set'"
    humdial = ("evaluate", "humdial", "--data", "d", "--out", "o")
    served = ("--system", "http://here/v1", "--model", "m", "--judge", "local", "--reading", "last", "--ask")
    assert run(capsys, *humdial, *served)[0] == 0
    assert run(capsys, *humdial, "--checkpoint", "c", "--voice", "none", "--reflect")[0] == 0
    assert run(capsys, *humdial, "--judge", "local", "--trial", "0")[0] == 0
    heard = ("--ears", "http://e/v1", "--ears-model", "e", "--ears-key-env", "K", "--trial", "4")
    assert run(capsys, *humdial, *heard)[0] == 0
    assert [options["asking"] for _, options in evaluated] == [
        Asking("http://here/v1", "m", judge="local", reading="last", ask=True, command=typed),
        Asking(voice="none", reflect=True, command=typed),
        Asking(judge="local", trial=0, command=typed),
        Asking(ears="http://e/v1", ears_model="e", ears_key_env="K", trial=4, command=typed),
    ]


def test_evaluate_of_each_benchmark_that_asks_takes_its_own_options(capsys, monkeypatch):
    from harken import evaluation
    from harken.evaluation.asking.options import Asking

    evaluated = kept_calls(monkeypatch, evaluation)
    monkeypatch.setattr("sys.argv", ["harken", "evaluate"])
    dialogues = ("evaluate", "dialogues", "--data", "d", "--out", "o")
    assert run(capsys, *dialogues, "--system", "p", "--judge", "local")[0] == 0
    asked = ("--data", "d.jsonl", "--out", "o")
    assert run(capsys, "evaluate", "televal", *asked, "--columns", "c.toml")[0] == 0
    assert run(capsys, "evaluate", "paralinguistic", *asked, "--metadata", "heard")[0] == 0
    assert run(capsys, "evaluate", "empathy", *asked, "--ratings", "r.csv")[0] == 0
    assert run(capsys, "evaluate", "empathy", *asked, "--judge", "scorer:d")[0] == 0
    assert [options["asking"] for _, options in evaluated] == [
        Asking("p", judge="local", command="harken evaluate"),
        Asking(columns=Path("c.toml"), command="harken evaluate"),
        Asking(metadata="heard", command="harken evaluate"),
        Asking(ratings=Path("r.csv"), command="harken evaluate"),
        Asking(judge="scorer:d", command="harken evaluate"),
    ]


def test_evaluate_refuses_options_that_a_benchmark_has_no_use_for(capsys, monkeypatch):
    from harken import evaluation

    evaluated = kept_calls(monkeypatch, evaluation)
    humdial = ("evaluate", "humdial", "--data", "d", "--out", "o")
    dialogues = ("evaluate", "dialogues", "--data", "d", "--out", "o")
    unfit = (
        (*dialogues, "--ask"),
        (*dialogues, "--reading", "last"),
        ("evaluate", "humdial", "--data", "d", "--out", "o", "--only", "en contrast"),
        ("evaluate", "dialogues", "--data", "d"),
        ("evaluate", "words", "--data", "d", "--judge", "local"),
        ("evaluate", "words", "--data", "d", "--ask"),
        ("evaluate", "humdial", "--data", "d"),
        ("evaluate", "humdial", "--data", "d", "e", "--out", "o"),
        (*humdial, "--model", "m"),
        (*humdial, "--judge-model", "m"),
        (*humdial, "--trial", "4"),
        (*humdial, "--ears-model", "e"),
        ("evaluate", "empathy", "--data", "d", "--out", "o", "--ears", "http://e/v1"),
        (*humdial, "--judge", "local", "--trial", "1"),
        (*humdial, "--judge", "scorer"),
        (*dialogues, "--judge", "scorer:d", "--judge-model", "m"),
        (*humdial, "--system", "p", "--checkpoint", "c"),
        (*humdial, "--system", "cascade", "--model", "m"),
        (*humdial, "--columns", "c.toml"),
        ("evaluate", "televal", "--data", "d", "--out", "o", "--judge", "local"),
        ("evaluate", "televal", "--data", "d"),
        ("evaluate", "paralinguistic", "--data", "d", "--out", "o", "--ratings", "r.csv"),
        ("evaluate", "empathy", "--data", "d", "--out", "o", "--metadata", "heard"),
    )
    for arguments in unfit:
        code, _, err = run(capsys, *arguments)
        assert code == 2 and err
    assert evaluated == []


def test_evaluate_compare_takes_two_runs(capsys, tmp_path):
    code, out, _ = run(capsys, "evaluate", "compare", "--help")
    assert code == 0 and "harken evaluate compare" in out
    code, _, err = run(capsys, "evaluate", "compare", str(tmp_path), str(tmp_path))
    assert code == 1 and "item-scores.jsonl: cannot be read" in err


def test_bench_data_asks_for_parts(capsys, monkeypatch):
    from harken import bench
    from harken.bench.data import FAKES, PARTS, Ask
    from harken.cli.bench import Part

    benched = kept_calls(monkeypatch, bench)
    assert get_args(Part) == PARTS
    arguments = (
        "--part",
        "ieat",
        "kills",
        "--rows",
        "9",
        "--source",
        "reccon=r",
        "--teacher",
        "t",
        "--out",
        "o",
    )
    assert run(capsys, "bench", "data", *arguments)[0] == 0
    assert run(capsys, "bench", "data")[0] == 0
    assert [options["ask"] for _, options in benched] == [
        Ask(("ieat", "kills"), 9, source=("reccon", "r"), teacher="t", out=Path("o")),
        Ask(FAKES),
    ]
    assert run(capsys, "bench", "data", "--rows", "0")[0] == 2
    assert run(capsys, "bench", "data", "--source", "r.jsonl")[0] == 2


@pytest.mark.parametrize("arguments", (("train", "x"), ("evaluate", "x", "--data", "d"), ("bench", "x")))
def test_a_name_that_there_is_not_is_wrong_use_and_lists_those_there_are(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "") and "'x'" in err and "choose one of: " in err


def test_data_render_takes_named_sources(capsys, monkeypatch):
    from harken.data import render as room

    calls = []

    def render(*arguments, replies=False):
        calls.append(arguments)
        return room.Rendered(turns=3, seconds=3600.0, unspeakable=0, interrupted=False)

    monkeypatch.setattr(room, "render", render)
    sources = ("--source", "a=r.jsonl", "--source", "b=s", "c=t")
    code, out, _ = run(capsys, "data", "render", *sources, "--out", "o", "--hours", "2")
    assert code == 0 and "1.00 h" in out and "nothing to speak" not in out
    assert calls == [({"a": Path("r.jsonl"), "b": Path("s"), "c": Path("t")}, Path("o"), "train", 2.0, 1, 0)]
    assert run(capsys, "data", "render", "--source", "r.jsonl", "--out", "o")[0] == 2
    assert run(capsys, "data", "render", "--out", "o")[0] == 2
    assert len(calls) == 1


def test_an_interrupted_render_says_what_was_not_spoken_and_that_it_goes_on(capsys, monkeypatch):
    from harken.data import render as room

    monkeypatch.setattr(
        room, "render", lambda *_, **__: room.Rendered(3, 36.0, unspeakable=2, interrupted=True)
    )
    code, out, _ = run(capsys, "data", "render", "--source", "a=b", "--out", "o")
    assert code == 130 and "3 turns rendered; 2 held nothing to speak; " in out
    assert out.endswith("interrupted; run it again: it goes on\n")


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("train words --dry-run --steps 0", "--steps 0"),
        ("train words --dry-run --steps -3", "--steps -3"),
        ("data render --source a=b --out o --workers 0", "--workers 0"),
        ("evaluate words --data d --limit 0", "--limit 0"),
        ("evaluate words --data d --limit -1", "--limit -1"),
        ("bench data --rows 0", "--rows 0"),
        ("bench latency --runs 0", "--runs 0"),
    ],
)
def test_numbers_below_one_are_wrong_use(capsys, command, named):
    code, out, err = run(capsys, *command.split())
    assert (code, out) == (2, "") and f"{named} is not 1 or more" in err


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("train readout --dry-run --steps 7", "train readout does not use --steps"),
        ("train readout --data d --out o --resume", "train readout does not use --resume"),
        ("evaluate affect --data d e", "evaluate affect does not use a second folder"),
        ("evaluate affect --data d --limit 5", "evaluate affect does not use --limit"),
        ("evaluate affect --data d --checkpoint c", "evaluate affect does not use --checkpoint"),
        ("bench latency --rows 5", "bench latency does not use --rows"),
        ("bench latency --part ieat", "bench latency does not use --part"),
        ("bench cold --source a=b", "bench cold does not use --source"),
        ("bench cold --teacher t", "bench cold does not use --teacher"),
        ("bench cold --out o", "bench cold does not use --out"),
        ("bench data --checkpoint c", "bench data does not use --checkpoint"),
        ("bench train --checkpoint c", "bench train does not use --checkpoint"),
        ("bench latency --core qwen3-0.6b", "bench latency does not use --core"),
        ("bench train --stage align --core qwen3-0.6b", "bench train does not use --core"),
        ("bench cold --stage align", "bench cold does not use --stage"),
        ("bench train --data d", "bench train does not use --data"),
        ("bench train --out o", "bench train does not use --out"),
        ("bench data --part kills --teacher t", "without --part ieat does not use --teacher"),
        ("bench serving --what soak --seconds 5", "bench serving --what soak does not use --seconds"),
        ("bench serving --what sessions --runs 5", "bench serving --what sessions does not use --runs"),
    ],
)
def test_options_that_would_change_nothing_are_wrong_use(capsys, command, named):
    code, out, err = run(capsys, *command.split())
    assert (code, out) == (2, "") and named in err


def test_an_unexpected_failure_is_one_line(capsys, monkeypatch):
    def broken():
        raise KeyError("surprise")

    monkeypatch.setattr(store, "status", broken)
    code, out, err = run(capsys, "weights", "list")
    assert (code, out) == (1, "") and err.count("\n") == 1 and "unexpected KeyError" in err


@pytest.mark.parametrize(
    ("before", "after", "spins"), [(None, "passive", "10000"), ("active", "active", None)]
)
def test_waiting_threads_hardly_spin_unless_somebody_wants_it(monkeypatch, capsys, before, after, spins):
    monkeypatch.setenv("OMP_WAIT_POLICY", before or "")
    monkeypatch.setenv("GOMP_SPINCOUNT", "")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    if before is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    run(capsys, "recipes", "list")
    assert (os.environ["OMP_WAIT_POLICY"], os.environ.get("GOMP_SPINCOUNT")) == (after, spins)
