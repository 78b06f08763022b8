"""`harken bench`: options for what is measured in the room of that name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from harken.cli.command import (
    DONE,
    Command,
    check_counts,
    check_known,
    check_unused,
    named_places,
    named_recipe,
)

if TYPE_CHECKING:
    from harken.bench.data import Ask

Part = Literal["overhead", "engines", "kills", "ieat", "starter"]
Serving = Literal["overhead", "sessions", "bargein", "hostile", "soak", "steps"]
TrainedCore = Literal["recipe", "qwen3-0.6b"]
TrainedStage = Literal["core", "align", "joint"]


@dataclass(frozen=True, kw_only=True)
class Bench(Command):
    """Measure time and memory, side by side with a named alternative."""

    name: Positional[str]
    """What is measured: latency (warm), reflect (what reflecting while speaking costs), cold (from the start
    of the process), turns (memory over many), train (tokens a second that are learned, beside the
    transformers Trainer), data (building data sets), judging (verdicts from a judge that takes its time),
    serving (the realtime server)."""
    recipe: str = "mini"
    """The system."""
    checkpoint: Path | None = None
    """A folder of trained parts, instead of those that ship with Harken."""
    json: bool = False
    """Print one JSON object and nothing else on standard output."""
    runs: int | None = None
    """Measure so often, instead of the bench's own number; of train, so many turns of each system, five if
    none; of data, kill so many builds."""
    part: tuple[Part, ...] = ()
    """Of data, what is measured, one or more; the three with fakes if none. With fakes for models: overhead
    (what a build adds to its steps), engines (local and Ray), kills (builds that are killed and resumed).
    With real models: ieat (what the IEAT step keeps, drops and writes), starter (`harken data build starter`,
    four times)."""
    rows: int | None = None
    """Of data, source rows: of the largest build of fakes (100,000), of ieat (100), of starter (all)."""
    source: str | None = None
    """Of ieat, another source than the starter's dialogues, as NAME=PATH."""
    teacher: str | None = None
    """Of ieat, another embedded teacher than the starter's, by its name in `harken weights list`."""
    data: tuple[Path, ...] = ()
    """Of latency and reflect, folders of recordings to answer: speech packs, renders, people reading; of
    train --stage align or joint, the data folder of the stages."""
    voice: str = "recipe"
    """Of latency and reflect, who speaks Harken's replies, as in `harken reply`."""
    alone: bool = False
    """Of latency, measure nothing beside Harken."""
    core: TrainedCore = "recipe"
    """Of train, which core learns: the recipe's, or one of Qwen3-0.6B's architecture with random weights."""
    stage: TrainedStage = "core"
    """Of train, what learns: the core's update on dialogues that come with Harken, or a stage of training."""
    out: Path | None = None
    """Of train --stage align or joint, a folder for what they prepare, which later calls find again. Of data,
    a folder for the figures of each part; of ieat also ten rows as Markdown and the teacher's answers, from
    which it goes on; of starter also what was built."""

    what: Serving = "overhead"
    """Of serving: overhead (what the socket adds), sessions (1, 2, 4 and 8 speakers), bargein (how soon it is
    silent), hostile (broken events), soak (memory over many sessions), steps (a token of several replies, in
    turn and together)."""
    seconds: float | None = None
    """Of serving --what sessions, how long they speak (120)."""

    def run(self) -> int:
        from harken import bench

        check_known("bench", self.name, bench.BENCHES)
        check_counts({"--runs": self.runs, "--rows": self.rows})
        self._check_used()
        bench.run(
            self.name,
            recipe=named_recipe(self.recipe),
            checkpoint=self.checkpoint,
            json=self.json,
            runs=self.runs,
            ask=self._ask() if self.name == "data" else None,
            data=self.data,
            voice=self.voice,
            alone=self.alone,
            core=self.core,
            stage=self.stage,
            out=self.out if self.name == "train" else None,
            what=self.what,
            seconds=self.seconds,
        )
        return DONE

    def _check_used(self) -> None:
        """Raises WrongUse for an option that this bench cannot use."""
        name, staged = self.name, self.name == "train" and self.stage != "core"
        answering = name in ("latency", "reflect")
        sessions = name == "serving" and self.what == "sessions"
        used: dict[str, tuple[object, bool]] = {
            "--checkpoint": (self.checkpoint, staged or name not in ("train", "data", "judging")),
            "--runs": (self.runs, name != "judging" and not sessions),
            "--part": (self.part, name == "data"),
            "--rows": (self.rows, name == "data"),
            "--data": (self.data, answering or staged),
            "--voice": (self.voice != "recipe", answering),
            "--alone": (self.alone, name == "latency"),
            "--core": (self.core != "recipe", name == "train" and not staged),
            "--stage": (self.stage != "core", name == "train"),
            "--out": (self.out, name == "data" or staged),
            "--what": (self.what != "overhead", name == "serving"),
            "--seconds": (self.seconds, sessions),
        }
        command = f"bench {name}" + (f" --what {self.what}" if name == "serving" else "")
        check_unused(command, {option: given for option, (given, uses) in used.items() if not uses})
        if name != "data" or "ieat" not in self.part:
            command = "bench data without --part ieat" if name == "data" else f"bench {name}"
            check_unused(command, {"--source": self.source, "--teacher": self.teacher})

    def _ask(self) -> Ask:
        from harken.bench.data import FAKES, Ask

        sources = named_places((self.source,)) if self.source else {}
        source = next(iter(sources.items()), None)
        return Ask(self.part or FAKES, self.rows, source=source, teacher=self.teacher, out=self.out)
