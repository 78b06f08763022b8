"""What is done beside training: measuring, samples of replies, keeping checkpoints, figures on disk, a bar.

They see a step's scalars in the order in which they are given: what measures stands before what writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from harken.data.files import write_text
from harken.errors import MissingExtra, TrainingError
from harken.training.loop import Callback, Row, Training
from harken.training.states import complete_rows

METRICS, BASELINE = "metrics.jsonl", "baseline.json"
MOST_WORDS_LOST = 0.005
"""Word error rate that a stage may cost: half a point."""


def usual(evaluate: Callable[[], dict[str, float]] | None = None, *others: Callback) -> tuple[Callback, ...]:
    """What every stage has: measuring, others, checkpoints, figures and a bar."""
    measuring = (Evaluate(evaluate),) if evaluate else ()
    return (*measuring, *others, Checkpoints(), Metrics(), Board(), Bar())


class Evaluate(Callback):
    """Measurements on dev data every so many steps, and at the end: `dev_…` among the scalars."""

    def __init__(self, measure: Callable[[], dict[str, float]]) -> None:
        self.measure = measure

    def after(self, run: Training, row: Row) -> None:
        if run.last or run.step % run.schedule.evaluate_every == 0:
            row |= {f"dev_{name}": value for name, value in run.measured(self.measure).items()}


class WordsGuard(Callback):
    """Refuses a stage that costs more word error rate on dev clips than it may; stands behind `Evaluate`."""

    def __init__(self, measure: Callable[[], dict[str, float]], most: float = MOST_WORDS_LOST) -> None:
        """Args: measure: gives `wer`; it is asked before the first step."""
        self.measure, self.most, self.before = measure, most, 0.0

    def begin(self, run: Training) -> None:
        """Measure what the stage begins with, once for all processes that go on with it."""
        kept = run.out / BASELINE
        if kept.exists() and run.step:
            self.before = json.loads(kept.read_text())["wer"]
            return
        self.before = run.measured(self.measure)["wer"]
        if run.world.first:
            kept.write_text(json.dumps({"wer": self.before}))

    def after(self, run: Training, row: Row) -> None:
        if run.last and row["dev_wer"] > self.before + self.most:
            raise TrainingError(
                f"word error rate on dev clips is {row['dev_wer']:.1%}, and was {self.before:.1%} before "
                f"this stage: it may cost {100 * self.most:.1f} points; its parts are not kept",
                "replay more speech, train fewer steps or slower, or allow it: --allow-worse-words",
            )


SampleReply = tuple[str, NDArray[np.float32] | None, int]
"""A reply in words, and its sound with its sample rate in Hz."""


class Samples(Callback):
    """Replies to a few dev turns, in text and sound, whenever measurements are taken: `samples/STEP…`.
    One process that trains alone makes them."""

    def __init__(self, replies: Callable[[], Sequence[tuple[str, SampleReply]]]) -> None:
        """Args: replies: gives what was said, and the reply to it."""
        self.replies = replies

    def after(self, run: Training, row: Row) -> None:
        if run.world.size > 1 or not (run.last or run.step % run.schedule.evaluate_every == 0):
            return
        from harken.audio.io import write

        folder = run.out / "samples"
        replies = run.measured(self.replies)
        folder.mkdir(exist_ok=True)
        lines = [f"{said}\n  -> {text}\n" for said, (text, _, _) in replies]
        (folder / f"{run.step:07d}.txt").write_text("\n".join(lines), "utf-8")
        for number, (_, (_, samples, rate)) in enumerate(replies):
            if samples is not None:
                write(folder / f"{run.step:07d}-{number}.wav", samples, rate)


class Checkpoints(Callback):
    """Keeps the run every so many steps, and at the end."""

    def after(self, run: Training, row: Row) -> None:
        if run.last or run.step % run.schedule.save_every == 0:
            run.save()


class Metrics(Callback):
    """Every scalar of every step, a line each: `metrics.jsonl`. Steps done again stand there once."""

    file: IO[str] | None = None

    def begin(self, run: Training) -> None:
        if run.world.first:
            path = run.out / METRICS
            rows = complete_rows(path)
            write_text(path, "".join(json.dumps(row) + "\n" for row in rows if row["step"] < run.step))
            self.file = path.open("a")

    def after(self, run: Training, row: Row) -> None:
        if self.file:
            self.file.write(json.dumps(row) + "\n")
            self.file.flush()

    def end(self, run: Training) -> None:
        if self.file:
            self.file.close()


class Board(Callback):
    """The same for TensorBoard, in `tensorboard/`. Raises MissingExtra where it is not installed."""

    writer: Any = None

    def begin(self, run: Training) -> None:
        if not run.world.first:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtra("training", "train") from None
        self.writer = SummaryWriter(str(run.out / "tensorboard"), purge_step=run.step)

    def after(self, run: Training, row: Row) -> None:
        if self.writer:
            for name, value in row.items():
                if name != "step":
                    self.writer.add_scalar(name.replace("dev_", "dev/", 1), value, row["step"])

    def end(self, run: Training) -> None:
        if self.writer:
            self.writer.close()


class Bar(Callback):
    """Steps done, time left, and the loss; a line for each measurement."""

    progress: Any = None

    def begin(self, run: Training) -> None:
        if not run.world.first:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=Console(stderr=True))
        self.task = self.progress.add_task("training", total=run.schedule.steps, completed=run.step)
        self.progress.start()

    def after(self, run: Training, row: Row) -> None:
        if self.progress:
            self.progress.update(self.task, completed=run.step, description=f"loss {row['loss']:.3f}")
            if any(name.startswith("dev_") for name in row):
                self.progress.console.print(row)

    def end(self, run: Training) -> None:
        if self.progress:
            self.progress.stop()
