"""`harken train` and `evaluate`: options for what is done in the rooms of those names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from harken.cli.command import (
    DONE,
    Command,
    WrongUse,
    check_counts,
    check_known,
    check_seed,
    check_unused,
    command_line,
    named_recipe,
)

if TYPE_CHECKING:
    from harken.evaluation.asking.options import Asking

Reading = Literal["second", "last"]
Metadata = Literal["none", "heard", "labelled"]
Given = dict[str, object]
"""Option -> its value, or whether it was given."""


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train one stage of a recipe; it goes on by itself from the last checkpoint in --out."""

    stage: Positional[str]
    """Which stage; a wrong name lists those there are."""
    recipe: str = "mini"
    """What is trained."""
    data: Path | None = None
    """The folder of training data."""
    out: Path | None = None
    """Where checkpoints and measurements go."""
    steps: int | None = None
    """Train so many steps instead of the stage's own number."""
    batch: int = 1
    """Take batches N times as large as the stage's own, since a GPU needs as long for small ones, with
    learning rates √N times as high."""
    recompute: bool = False
    """Of stages with layers of a core, keep no activations of these and compute them again in the backward
    pass, not compiled: slower, for a core that would not fit into memory otherwise."""
    hours: float | None = None
    """Of speak, learn from so many hours of replies, drawn by chance, instead of all."""
    begin: Annotated[str | None, arg(name="from")] = None
    """Of affect, joint and reflect, begin with these trained parts instead of those in --out: a folder, or
    the name of a recipe whose parts ship with Harken."""
    arm: str | None = None
    """Of affect and reflect, train an arm of the comparison in docs/training.md and docs/reflection.md, in a
    folder of its own; a wrong name lists those there are."""
    seed: int = 0
    """Of affect and reflect, draws batches and how they are heard."""
    allow_worse_words: bool = False
    """Of affect, keep parts that cost more than half a point of word error rate."""
    resume: bool = False
    """Go on from the checkpoint in --out, and fail where there is none."""
    dry_run: bool = False
    """Print the resolved stage; needs neither data nor weights."""

    def run(self) -> int:
        from harken.training import stages

        check_known("stage", self.stage, stages.STAGES)
        check_counts({"--steps": self.steps, "--batch": self.batch})
        check_seed(self.seed)
        if not stages.STAGES[self.stage].stepwise:
            stepwise: dict[str, object] = {"--steps": self.steps, "--batch": self.batch != 1}
            given: Given = {"--resume": self.resume, "--recompute": self.recompute}
            check_unused(f"train {self.stage}", stepwise | given)
        if self.stage in ("words", "codec"):
            check_unused(f"train {self.stage}", {"--recompute": self.recompute})
        if self.stage != "speak":
            check_unused(f"train {self.stage}", {"--hours": self.hours})
        if self.stage not in ("affect", "joint", "reflect"):
            check_unused(f"train {self.stage}", {"--from": self.begin})
        if self.stage not in ("affect", "reflect"):
            check_unused(f"train {self.stage}", {"--arm": self.arm, "--seed": self.seed})
        if self.stage != "affect":
            check_unused(f"train {self.stage}", {"--allow-worse-words": self.allow_worse_words})
        if self.hours is not None and self.hours <= 0:
            raise WrongUse(f"--hours {self.hours:g} is nothing to learn from", "--hours 5, for example")
        if not self.dry_run and (self.data is None or self.out is None):
            raise WrongUse("training needs --data and --out", "or --dry-run, to see what would be trained")
        stages.run(
            self.stage,
            recipe=named_recipe(self.recipe),
            data=self.data,
            out=self.out,
            steps=self.steps,
            hours=self.hours,
            resume=self.resume,
            dry_run=self.dry_run,
            begin=_parts(self.begin) if self.begin else None,
            arm=self.arm,
            seed=self.seed,
            allow_worse_words=self.allow_worse_words,
            batch=self.batch,
            recompute=self.recompute,
        )
        return DONE


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Score a system by one benchmark. Beside them, `harken evaluate build-dialogues` builds dialogues for
    it, `compare` sets two runs side by side, `judge` tries a judge, `empathy-scorer` trains a small one,
    `rate` has people rate replies."""

    benchmark: Positional[str]
    """Which benchmark, for example: words, alignment, humdial, televal; a wrong name lists them all. Those
    that ask a system under test are humdial, dialogues, televal, paralinguistic and empathy."""
    data: tuple[Path, ...]
    """Folders of evaluation data, one or more: speech packs, renders, people reading, annotated dialogues; of
    those that ask, one folder or file of questions with their recordings (docs/benchmarks.md), of dialogues a
    set of build-dialogues."""
    recipe: str = "mini"
    """What is scored."""
    checkpoint: Path | None = None
    """A folder of trained parts, instead of those that ship with Harken."""
    out: Path | None = None
    """A folder for the figures, as JSON lines and as Markdown; of those that ask also for what was answered,
    from which they go on."""
    limit: int | None = None
    """Score so many items at most; of humdial so many dialogues and of dialogues so many items of each task
    and language, of televal so many questions of each set, of paralinguistic of each type."""
    seed: int = 0
    """Draws items and bootstrap samples."""
    json: bool = False
    """Print the figures as JSON lines and nothing else on standard output."""
    system: str | None = None
    """Of those that ask, what is scored instead of Harken: the URL of a server that speaks OpenAI's chat
    completions with audio input (http://localhost:8000/v1) or its Realtime protocol
    (ws://localhost:8000/v1/realtime), a folder of predictions, or cascade (recogniser, language model and
    Kokoro, of the parts of --recipe)."""
    model: str | None = None
    """Of --system: a server's model, if it has several, or a name for the predictions."""
    api_key_env: str | None = None
    """Of --system, the environment variable with a server's key."""
    voice: str | None = None
    """Of those that ask, who speaks the replies, as in `harken reply`; of a server one of its voices. Without
    it, a server of chat completions is asked for text alone, and a Realtime server chooses."""
    reflect: bool = False
    """Of those that ask, let Harken reflect while it replies; it has to be taught to (docs/reflection.md)."""
    judge: str = "none"
    """Of those that ask but for televal, who judges the texts: the URL of an OpenAI-compatible server, local
    (a model in this process), or none; of empathy and dialogues also scorer, the small one that ships, or
    scorer:FOLDER, one that `harken evaluate empathy-scorer` trained."""
    judge_model: str | None = None
    """The judge's name at its server, or in `harken weights list`."""
    judge_key_env: str | None = None
    """The environment variable with the key of the judge's server."""
    ears: str | None = None
    """Of humdial and dialogues, who judges how the replies of the task empathy sound: the URL of a server of
    OpenAI's chat completions whose model hears. People's --ratings stand over its scores."""
    ears_model: str | None = None
    """The name of that model at its server."""
    ears_key_env: str | None = None
    """The environment variable with the key of that server."""
    trial: int | None = None
    """Of humdial and dialogues, try the judge first on replies planted in so many dialogues of each language,
    instead of 12; what it scores is withheld where it cannot tell them apart. --ears is tried on the run's
    first six spoken replies. 0 shows the scores of both untried."""
    columns: Path | None = None
    """Of televal, a TOML file that says what the files call their columns (key, audio, query, answer) and
    sets."""
    metadata: Metadata = "none"
    """Of paralinguistic, tell the system beside each question the emotion and gender, as the affect readout
    heard them or as the data label them."""
    ratings: Path | None = None
    """People's ratings, a CSV file with id, dimension, rating, rater: of humdial of the replies' sound, of
    empathy of the replies."""
    reading: Reading = "second"
    """Of humdial, which turn with an emotion task 3 scores: the second, as the challenge's script has it, or
    the last, as its guide says."""
    only: UseAppendAction[tuple[str, ...]] = ()
    """Of dialogues, ask about one language and task alone, called as in the report, as "en contrast"; may be
    said again."""
    ask: bool = False
    """Of humdial, put the question of tasks 1 and 2 beside the last turn, for dialogues that do not end with
    it."""

    def run(self) -> int:
        from harken import evaluation

        check_known("benchmark", self.benchmark, evaluation.BENCHMARKS)
        check_counts({"--limit": self.limit})
        check_seed(self.seed)
        self._check_asking()
        if self.benchmark == "affect":
            more = {"a second folder of --data": self.data[1:], "--limit": self.limit}
            check_unused("evaluate affect", more | {"--checkpoint": self.checkpoint})
        evaluation.run(
            self.benchmark,
            recipe=named_recipe(self.recipe),
            data=self.data,
            checkpoint=self.checkpoint,
            out=self.out,
            limit=self.limit,
            seed=self.seed,
            json=self.json,
            asking=self._asking() if self.benchmark in evaluation.ASKED else None,
        )
        return DONE

    def _check_asking(self) -> None:
        """Options of the benchmarks that ask a system, and those of systems and judges."""
        from harken.evaluation import ASKED, JUDGED, SCORED, TRIED
        from harken.evaluation.judges.select import names_scorer
        from harken.evaluation.systems.select import CASCADE

        command = f"evaluate {self.benchmark}"
        of_system: dict[str, object] = {"--model": self.model, "--api-key-env": self.api_key_env}
        of_judge: dict[str, object] = {
            "--judge-model": self.judge_model,
            "--judge-key-env": self.judge_key_env,
        }
        of_ears: dict[str, object] = {"--ears-model": self.ears_model, "--ears-key-env": self.ears_key_env}
        of_trial: dict[str, object] = {"--trial": self.trial is not None}
        options: tuple[tuple[Collection[str], dict[str, object]], ...] = (
            (ASKED, {"--system": self.system, "--voice": self.voice, "--reflect": self.reflect, **of_system}),
            (JUDGED, {"--judge": self.judge != "none", **of_judge}),
            (TRIED, {"--ears": self.ears, **of_ears, **of_trial}),
            (("humdial",), {"--reading": self.reading != "second", "--ask": self.ask}),
            (("humdial", "empathy"), {"--ratings": self.ratings}),
            (("televal",), {"--columns": self.columns}),
            (("dialogues",), {"--only": self.only}),
            (("paralinguistic",), {"--metadata": self.metadata != "none"}),
        )
        for benchmarks, given in options:
            if self.benchmark not in benchmarks:
                check_unused(command, given)
        if self.benchmark not in ASKED:
            return
        if len(self.data) != 1 or self.out is None:
            raise WrongUse(f"{command} takes one folder of --data, and --out", "--data DIR --out DIR")
        if self.system is None:
            check_unused(f"{command} without --system", of_system)
        else:
            if self.system == CASCADE:
                check_unused(f"{command} --system cascade", of_system)
            of_harken: dict[str, object] = {"--checkpoint": self.checkpoint, "--reflect": self.reflect}
            check_unused(f"{command} --system", of_harken)
        if names_scorer(self.judge):
            if self.benchmark not in SCORED:
                raise WrongUse(f"{command} has no use for the scorer", f"it scores: {', '.join(SCORED)}")
            check_unused(f"{command} --judge {self.judge}", of_judge)
        if self.judge == "none":
            check_unused(f"{command} without --judge", of_judge | ({} if self.ears else of_trial))
        if self.ears is None:
            check_unused(f"{command} without --ears", of_ears)
        if self.trial is not None and (self.trial < 0 or self.trial == 1):
            raise WrongUse(f"--trial {self.trial} is neither 0 nor 2 or more", "--trial 12, for example")

    def _asking(self) -> Asking:
        from harken.evaluation.asking.options import Asking
        from harken.evaluation.judges.trial import DIALOGUES

        return Asking(
            self.system,
            self.model,
            self.api_key_env,
            self.voice,
            reflect=self.reflect,
            judge=None if self.judge == "none" else self.judge,
            judge_model=self.judge_model,
            judge_key_env=self.judge_key_env,
            ears=self.ears,
            ears_model=self.ears_model,
            ears_key_env=self.ears_key_env,
            columns=self.columns,
            metadata=self.metadata,
            ratings=self.ratings,
            reading=self.reading,
            only=self.only,
            ask=self.ask,
            trial=DIALOGUES if self.trial is None else self.trial,
            command=command_line(),
        )


def _parts(named: str) -> Path:
    """A folder of trained parts, or that of the parts that ship."""
    from harken.checkpoint import shipped

    return Path(named) if Path(named).is_dir() else shipped(named)
