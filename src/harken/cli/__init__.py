"""The command line: options in, exit codes out (0 done, 1 some input failed, 2 wrong use, 130 interrupted).

One file a group of commands; each command is a frozen dataclass that `tyro` fills and `run` does. What they
do is in the rooms below; here are only options, output and errors. Results go to standard output, all else to
standard error.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, Union

from harken.cli.bench import Bench
from harken.cli.command import DONE, FAILED, INTERRUPTED, WRONG_USE, Command, WrongUse, say_error
from harken.cli.compare import Compare, CompareArms
from harken.cli.data import AuditData, BuildData, RenderData, ShowData, TimeData
from harken.cli.dialogue_sets import BuildDialogues
from harken.cli.empathy_scorer import TrainEmpathyScorer
from harken.cli.judges import EvaluateJudge
from harken.cli.rate import Rate
from harken.cli.recipes import ListRecipes, ShowRecipe
from harken.cli.reply import Reply
from harken.cli.serve import Serve
from harken.cli.talk import Talk
from harken.cli.weights import ListWeights, PullWeights, VerifyWeights
from harken.cli.work import Evaluate, Train
from harken.errors import Stopped

__all__ = ["main"]

BESIDE_BENCHMARKS = {
    "arms": CompareArms,
    "build-dialogues": BuildDialogues,
    "compare": Compare,
    "empathy-scorer": TrainEmpathyScorer,
    "judge": EvaluateJudge,
    "rate": Rate,
}
"""Commands of `harken evaluate`, which has a positional argument: tyro takes no command beside one."""
ABOUT = "Harken hears how something is said and why, and answers in words and in a voice that fit."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and give its exit code."""
    # Threads that wait by spinning make each other ten times slower on a machine that is busy with something
    # else; threads that sleep at once wake too late for the next token. So they spin for some microseconds.
    # Read by torch's thread library when that is loaded, which is later.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "10000"}
    _never_fail_to_print()
    try:
        return _run(_parse(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _run(command: Command) -> int:
    try:
        return command.run()
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:
        if command.debug:
            traceback.print_exc()
        say_error(error)
        return DONE if isinstance(error, Stopped) else WRONG_USE if isinstance(error, WrongUse) else FAILED


def _parse(arguments: Sequence[str] | None) -> Command:
    """Exits with code 2 where the arguments are not understood, and with 0 after `--help`."""
    import tyro
    from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes

    given = list(sys.argv[1:] if arguments is None else arguments)
    asked, prog = _commands(), "harken"
    if given[:1] == ["evaluate"] and (beside := BESIDE_BENCHMARKS.get(" ".join(given[1:2]))):
        asked, prog, given = beside, f"harken evaluate {given[1]}", given[2:]
    command: Command = tyro.cli(
        asked,
        prog=prog,
        description=ABOUT if prog == "harken" else None,
        args=given,
        config=(FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes),
    )
    return command


def _commands() -> Any:
    """All commands, as the type that tyro parses into."""
    from tyro.conf import subcommand

    def named(name: str, *commands: Any, about: str | None = None) -> Any:
        return Annotated[Union[commands], subcommand(name, description=about)]  # noqa: UP007

    weights = (named("list", ListWeights), named("pull", PullWeights), named("verify", VerifyWeights))
    recipes = (named("list", ListRecipes), named("show", ShowRecipe))
    data = (
        named("render", RenderData),
        named("time", TimeData),
        named("build", BuildData),
        named("show", ShowData),
        named("audit", AuditData),
    )
    groups = (
        named("reply", Reply),
        named("talk", Talk),
        named("serve", Serve),
        named("weights", *weights, about="List, fetch and check weights."),
        named("recipes", *recipes, about="List and show recipes."),
        named("train", Train),
        named("evaluate", Evaluate),
        named("bench", Bench),
        named("data", *data, about="Make training data, look at it, and audit it."),
    )
    return Union[groups]  # noqa: UP007


def _never_fail_to_print() -> None:
    """File names may hold anything; a terminal's encoding may not."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
