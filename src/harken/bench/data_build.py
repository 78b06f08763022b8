"""One build of fakes, as a process of its own: `python -m harken.bench.data_build JSON` builds what the
object says and prints an object of times."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from harken.bench.data_steps import steps
from harken.data.build import build
from harken.data.build_recipes import BuildRecipe, SourceConfig
from harken.data.progress import Quiet

SYLLABLES = ("ba", "do", "ki", "lu", "me", "no", "pa", "ri", "su", "te", "vo", "wa")


@dataclass(frozen=True)
class Case:
    """What is built, and how."""

    source: str
    out: str
    rows_per_shard: int
    engine: str
    ms_per_row: tuple[float, float, float]
    """Of the fake language model, labeler and voice."""
    workers: tuple[int, int, int]
    """Of each."""

    @property
    def possible_rows_per_s(self) -> float:
        """What the slowest step allows."""
        pairs = zip(self.workers, self.ms_per_row, strict=True)
        return min(1000 * workers / ms for workers, ms in pairs if ms)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "harken.bench.data_build", json.dumps(asdict(self))]


@dataclass(frozen=True)
class Times:
    """Seconds that a build took; none where all its shards stood already."""

    source_rows: int
    reading_s: float
    building_s: float
    """From the start of the workers to the last shard."""
    shards: int
    half_s: float
    """From the shard in the middle to the last, when all workers have long been at work."""

    @property
    def shards_per_s(self) -> float:
        """The pace over the second half."""
        return (self.shards - 1 - self.shards // 2) / max(self.half_s, 1e-9)


class _Clock(Quiet):
    """Notes when each part of a build begins and each shard stands."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.stood: list[float] = []

    def begin(self, doing: str, total: int | None) -> None:
        self.begun[doing] = perf_counter()

    def reached(self, done: int) -> None:
        if "building shards" in self.begun:
            self.stood.append(perf_counter())


def write_source(folder: Path, rows: int) -> None:
    """Dialogues of one turn in the starter's form, no two alike."""
    folder.mkdir(parents=True)
    dice = random.Random(0)
    with (folder / "en.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            words = ("".join(dice.choices(SYLLABLES, k=2)) for _ in range(12))
            text = f"It was {' '.join(words)} again."
            turn = {"speaker": "user", "text": text, "emotion": "sad", "cause": "again"}
            dialogue = {"id": f"made-up-{number}", "lang": "en", "topic": "none", "turns": [turn]}
            file.write(json.dumps(dialogue) + "\n")


def run(case: Case) -> Times:
    """Build it."""
    recipe = BuildRecipe(
        name="bench",
        sources=(SourceConfig(name="starter", path=case.source),),
        rows_per_shard=case.rows_per_shard,
        steps=tuple(
            step.model_copy(update={"workers": workers})
            for step, workers in zip(steps(case.ms_per_row), case.workers, strict=True)
        ),
    )
    clock = _Clock()
    done = build(recipe, Path(case.out), engine=case.engine, report=clock)
    if not clock.stood:
        return Times(done.source_rows, 0.0, 0.0, 0, 0.0)
    start, stood = clock.begun["building shards"], clock.stood
    reading_s = start - clock.begun["reading sources"]
    half_s = stood[-1] - stood[len(stood) // 2]
    return Times(done.source_rows, reading_s, stood[-1] - start, len(stood), half_s)


if __name__ == "__main__":
    fields = json.loads(sys.argv[1])
    print(json.dumps(asdict(run(Case(**fields)))))
